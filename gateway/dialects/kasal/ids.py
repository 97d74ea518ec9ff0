"""Ids as Kasal shows them: a prefix that says what they are of, and the mesh's own id in hex.

Only what this module shows is read back: another prefix, another length or capital letters lead to nothing.
"""

import dataclasses
import re
import uuid

from google.protobuf import struct_pb2

from gateway.core.values import value
from meshkit.errors import NotFound

_UUID = re.compile(r"[0-9a-f]{32}")
_JOB = re.compile(r"[0-9a-f]{24}")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What an id is of."""

    prefix: str
    """Such as `crew_`."""
    collection: str
    """Such as `crews`."""
    pattern: re.Pattern[str] = _UUID
    """Of what stands behind the prefix."""

    def of(self, name: str) -> str:
        """Return the id of `crews/{uuid}`: `crew_0198…`."""
        return f"{self.prefix}{name.partition('/')[2].replace('-', '')}"

    def of_optional(self, name: str) -> struct_pb2.Value:
        """Return the same; null for another collection's name, or none."""
        return value(self.of(name) if name.startswith(f"{self.collection}/") else None)

    def is_id(self, text: str) -> bool:
        """Return whether a text may be an id of this kind."""
        return text.startswith(self.prefix) and self.pattern.fullmatch(text.removeprefix(self.prefix)) is not None

    def name(self, text: str) -> str:
        """Return the name of an id.  Raises `NotFound` for what is none of this kind."""
        if not self.is_id(text):
            raise self.missing(text)
        key = text.removeprefix(self.prefix)
        return f"{self.collection}/{key if self.pattern is _JOB else uuid.UUID(key)}"

    def missing(self, text: str) -> NotFound:
        """Return the error for an id that leads to nothing."""
        noun = self.prefix.strip("_")
        return NotFound(f"there is no {noun} {text[:80]!r}", field=f"{noun}_id")


CREW = Kind("crew_", "crews")
AGENT = Kind("agent_", "agents")
TASK = Kind("task_", "taskDefs")
JOB = Kind("job_", "jobs", _JOB)
_CUSTOM_TOOL = Kind("tool_custom_", "tools")


def of_tool(name: str) -> str:
    """Return the id of a tool: `tool_calculator` of one that comes with the mesh, else `tool_custom_0198…`."""
    shown = _CUSTOM_TOOL.of(name)
    return shown if _CUSTOM_TOOL.is_id(shown) else f"tool_{name.partition('/')[2]}"
