"""What operators say of flows, as a port: whether one may run, and what it costs."""

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A flow as it is offered."""

    enabled: bool = True
    agent_identifier: str = ""
    """The seller's registered agent; empty if the flow costs nothing."""
    network: str = ""
    """`Preprod` or `Mainnet`; empty if the flow costs nothing."""

    @property
    def priced(self) -> bool:
        """Whether its jobs are paid for."""
        return bool(self.agent_identifier)


class Catalogue(Protocol):
    """Knows every flow that is offered."""

    async def find(self, flow: str) -> Offer | None:
        """Return what is said of `flows/{expose}[/{path}]`, or `None` if it is not offered.

        Raises `Unavailable` if that cannot be told now: a priced flow must not run free of charge by mistake.
        """
