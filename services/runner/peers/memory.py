"""A catalogue and definitions in memory: for a runner without a registry, as in tests."""

from collections.abc import Mapping, Sequence

from agentmesh_protos.registry.v1 import definition_pb2

from meshkit.errors import NotFound
from services.runner.ports.catalogue import Offer


class MemoryCatalogue:
    """A `Catalogue` of what it is told; of every other flow it says `default`."""

    def __init__(self, default: Offer | None = None) -> None:
        self._offers: dict[str, Offer] = {}
        self._default = default

    def offer(self, flow: str, offer: Offer) -> None:
        """Offer `flows/{expose}[/{path}]`, in place of what was said of it."""
        self._offers[flow] = offer

    async def find(self, flow: str) -> Offer | None:
        """As `Catalogue.find`."""
        return self._offers.get(flow, self._default)


class MemoryDefinitions:
    """`Definitions` of what it is told."""

    def __init__(self) -> None:
        self.known: dict[str, definition_pb2.Definition] = {}
        """By target."""
        self.values: dict[str, str] = {}
        """Keys and tokens, by the names of what they are of."""

    async def resolve(self, target: str, owner: str, *, is_operator: bool) -> definition_pb2.Definition:
        """As `Definitions.resolve`."""
        if target not in self.known:
            raise NotFound(f"{target} not found", resource=target)
        return self.known[target]

    async def secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """As `Definitions.secrets`."""
        return {name: self.values[name] for name in names if name in self.values}
