"""Payments in memory."""

from meshkit import clock
from meshkit.idempotency import MemoryRequests, Request
from services.payments import domain
from services.payments.domain import Payment, Terms
from services.payments.ports.store import Rule


class MemoryStore:
    """A store that is gone with its process."""

    def __init__(self) -> None:
        self._payments: dict[str, Payment] = {}
        self._revisions: dict[str, int] = {}
        """By payment, in the order of the changes."""
        self._revision = 0
        self._cursors: dict[str, int] = {}
        self._requests = MemoryRequests()

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return self._requests.find(owner, request_id)

    async def record(self, payment: Payment, given: Terms | None = None, request: Request | None = None) -> Payment:
        """Keep the payment unless the job has one."""
        known = self._payments.get(payment.payment_id)
        recorded = domain.check_same(known or payment, payment.owner, given or payment.terms)
        self._requests.keep(request, clock.now())
        if known is None:
            self._keep(payment)
        return recorded

    async def update(self, payment_id: str, rule: Rule) -> tuple[Payment, Payment]:
        """Apply a rule in one step."""
        before = await self.get(payment_id)
        after = rule(before)
        if after != before:
            self._keep(after)
        return before, after

    def _keep(self, payment: Payment) -> None:
        self._payments[payment.payment_id] = payment
        self._revision += 1
        self._revisions.pop(payment.payment_id, None)
        self._revisions[payment.payment_id] = self._revision

    async def get(self, payment_id: str) -> Payment:
        """Return the payment, or raise `NotFound`."""
        try:
            return self._payments[payment_id]
        except KeyError:
            raise domain.no_payment(payment_id) from None

    async def by_identifier(self, network: str, blockchain_identifier: str) -> Payment | None:
        """Return the payment with this identifier."""
        wanted = (network, blockchain_identifier)
        found = (p for p in self._payments.values() if (p.network, p.blockchain_identifier) == wanted)
        return next(found, None) if blockchain_identifier else None

    async def unended(self, network: str = "", after: str = "", limit: int = 500) -> list[Payment]:
        """Return payments that have not ended, by id."""
        found = [payment for payment in self._payments.values() if not payment.ended and payment.payment_id > after]
        mine = [payment for payment in found if not network or payment.network == network]
        return sorted(mine, key=lambda payment: payment.payment_id)[:limit]

    async def revision(self) -> int:
        """Return the number of the last change."""
        return self._revision

    async def changed(self, after: int, limit: int) -> list[tuple[int, Payment]]:
        """Return payments that have changed since."""
        found = [(number, self._payments[name]) for name, number in self._revisions.items() if number > after]
        return found[:limit]

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return a page, newest first."""
        numbered = list(enumerate(self._payments.values(), start=1))[::-1]
        mine = [(number, payment) for number, payment in numbered if not owner or payment.owner == owner]
        return [(number, payment) for number, payment in mine if not before or number < before][:limit]

    async def cursor(self, source: str) -> int:
        """Return up to when the changes have been taken in."""
        return self._cursors.get(source, 0)

    async def save_cursor(self, source: str, since: int) -> None:
        """Keep it."""
        self._cursors[source] = since
