"""A catalogue in memory: for a runner without a registry, as in tests."""

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
