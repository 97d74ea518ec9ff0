"""What agents and crews are, as a port: the registry keeps them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agentmesh_protos.registry.v1 import definition_pb2


class Definitions(Protocol):
    """Knows every agent and crew."""

    async def resolve(self, target: str, owner: str, *, is_operator: bool) -> definition_pb2.Definition:
        """Return what a target is now, for the owner of a job.

        Raises `NotFound` for what that owner may not see, `FailedPrecondition` for what cannot be run, and
        `Unavailable` if that cannot be told now.
        """

    async def secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the keys and tokens of agents, crews and tools, by their names; what has none is left out.

        Raises `Unavailable` if they cannot be told now.
        """
