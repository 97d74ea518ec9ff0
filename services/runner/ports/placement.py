"""Where hosts run, as a port: the only difference between a laptop and a cluster."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Protocol

from agentmesh_protos.runner.v1.placement_pb2 import HostSpec


@dataclasses.dataclass(frozen=True, slots=True)
class Present:
    """The ids of all hosts that live: said first, and again when the placement has been out of sight."""

    host_ids: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Exited:
    """A host has ended."""

    host_id: str
    reason: str
    """How, for people: `was killed by SIGKILL`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unplaced:
    """A host that was to be started cannot be: nothing of it runs, and it will not come."""

    host_id: str
    reason: str
    """Why, for people, in the words of whoever has tried."""
    detail: str = ""
    """The rest of them, for operators."""


Event = Present | Exited | Unplaced
"""What happens to hosts."""


class Placement(Protocol):
    """Starts and stops hosts, and tells when one has ended."""

    async def start(self, spec: HostSpec, badge: str) -> None:
        """Start a host, and hand it the badge that it dials with, past all that forks or runs apps.

        Raises `Unavailable` if that cannot be done now.
        """

    async def stop(self, host_id: str) -> None:
        """End a host and all it runs; nothing happens if there is none of that id.

        Raises `Unavailable` if that cannot be done now.
        """

    def events(self) -> AsyncIterator[Event]:
        """Yield what happens to hosts, without end; one caller at a time."""
