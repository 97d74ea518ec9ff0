"""Where payments are kept.  `tests/payments/stores/test_store.py` holds every store to this."""

from collections.abc import Callable
from typing import Protocol

from meshkit.idempotency import Request, RequestStore
from services.payments.domain import Payment, Terms

Rule = Callable[[Payment], Payment]
"""What is to become of a payment.  It returns the very same object if nothing is, and may raise."""


class PaymentStore(RequestStore, Protocol):
    """Keeps payments.  When a method returns, what it wrote is on disk."""

    async def record(self, payment: Payment, given: Terms | None = None, request: Request | None = None) -> Payment:
        """Keep the payment unless the job has one; return the one it has.  `request` is kept with it.

        Raises `AlreadyExists` if that one is for something else (`domain.check_same`), or the request was made before.
        """

    async def update(self, payment_id: str, rule: Rule) -> tuple[Payment, Payment]:
        """Apply a rule to the payment as it is, in one step; return it before and after.

        Raises `NotFound`, and whatever the rule raises; then nothing has changed.
        """

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""

    async def by_identifier(self, network: str, blockchain_identifier: str) -> Payment | None:
        """Return the payment with this identifier, if it is one of ours."""

    async def unended(self, network: str = "", after: str = "", limit: int = 500) -> list[Payment]:
        """Return payments that have not ended, by id, of one network or all; a page of those behind `after`."""

    async def revision(self) -> int:
        """Return the number of the last change of any payment; 0 if there is none."""

    async def changed(self, after: int, limit: int) -> list[tuple[int, Payment]]:
        """Return up to `limit` payments that have changed since the change of number `after`, by those numbers.

        A payment that has changed several times comes once, with the number of the last.
        """

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return up to `limit` payments with their numbers, newest first: those below `before` (0: from the top).

        `owner` narrows to one user; empty means everybody's.
        """

    async def cursor(self, source: str) -> int:
        """Return up to when the changes of `source` have been taken in; 0 at first."""

    async def save_cursor(self, source: str, since: int) -> None:
        """Keep it."""
