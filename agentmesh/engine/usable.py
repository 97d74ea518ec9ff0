"""What a model may call, whatever it is."""

import base64
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from agentmesh_protos.registry.v1 import tool_pb2

BYTES_MAX = 1024 * 1024
"""Of what a tool may answer."""
SHOWN_CHARS = 2_000
"""Of what a tool says is wrong."""


class ToolError(Exception):
    """Why a tool has no result: told to the model, which may try something else."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """One thing that a model may call."""

    name: str
    description: str
    schema: dict[str, Any]
    needs_approval: bool
    call: Callable[[dict[str, Any]], Awaitable[str]]
    """Returns the result, or raises `ToolError`."""
    definition: str = ""
    """`tools/{id}`."""


def credentials(tool: tool_pb2.Tool, token: str) -> dict[str, str]:
    """Return the headers that authorise calls of a tool."""
    if not token:
        return {}
    match tool.auth:
        case tool_pb2.TOOL_AUTH_BEARER:
            return {"authorization": f"Bearer {token}"}
        case tool_pb2.TOOL_AUTH_API_KEY:
            return {"x-api-key": token}
        case tool_pb2.TOOL_AUTH_BASIC:
            return {"authorization": f"Basic {base64.b64encode(token.encode()).decode()}"}
    return {}
