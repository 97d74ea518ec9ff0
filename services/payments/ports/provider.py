"""The port to whoever keeps the escrows.  `tests/payments/test_providers.py` holds every provider to it.

Every method raises `meshkit.errors` by class, and callers go by the class: `Invalid` the request can never succeed,
`Unauthenticated` and `Denied` an operator must act, `NotFound` there is no such escrow or its state forbids this,
`Conflict` it moved meanwhile (look, then decide again), `Exhausted` later, `Unavailable` and `DeadlineExceeded` nobody
knows whether it happened (look before asking again).
"""

from typing import Protocol

from services.payments.domain import Amount, Escrow, Terms


class Provider(Protocol):
    """Keeps escrows on one network.  All methods have deadlines of their own."""

    name: str
    """`ledger` or `masumi`."""

    def now(self) -> int:
        """Return the provider's time in epoch milliseconds, by what was last heard: deadlines are compared with it."""

    async def time(self) -> int:
        """Return the same, having asked, where the provider's clock is not our own.  Never raises."""

    async def check(self) -> None:
        """Raise, with the reason and its remedy, unless payments can be made: key, network, registry entry, price."""

    async def price(self, agent_identifier: str) -> tuple[Amount, ...]:
        """Return the agent's fixed price as registered; empty if it is not known or not fixed.

        Raises `Invalid` if the agent is not registered, or free: nothing can be asked for its work.
        """

    async def request(self, terms: Terms) -> Escrow:
        """Make an escrow.  Not idempotent: after a lost answer, `find` first."""

    async def find(self, job_id: str, since_ms: int) -> list[Escrow]:
        """Return every escrow that was asked for with this job id at or after `since_ms`, oldest first."""

    async def resolve(self, blockchain_identifier: str) -> Escrow:
        """Return one escrow as it stands.  Raises `NotFound`."""

    async def changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        """Return a page of what changed at or after `since_ms`, by `changed_at` and then id, ascending.

        `cursor` is the id of an escrow to start at, that one included; empty starts at `since_ms`.
        """

    async def submit_result(self, blockchain_identifier: str, result_hash: str) -> None:
        """Ask for the hash to be put on the chain."""

    async def authorize_refund(self, blockchain_identifier: str) -> None:
        """Ask for a disputed escrow to be given back."""

    async def recover(self, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """Leave `WaitingForManualAction`.

        `retry` queues the action that failed again.  Raises `NotFound` if the escrow is no longer at `updated_at`.
        """


PAGE = 100
"""How many escrows a page of `changes` has at most; a shorter page is the last."""
