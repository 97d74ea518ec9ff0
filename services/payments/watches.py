"""The live end of payments: for whoever watches one or all of them.

A watcher holds a number, not a queue: what changed behind it is read from the store, so one that never reads costs
nothing, and several changes of a payment between two reads are one.  The bus only says when to look.
"""

from collections.abc import AsyncIterator, Callable

from meshkit import clock
from meshkit.bus import Bus
from services.payments.domain import Payment
from services.payments.ports.store import PaymentStore

ALL = "payments"
"""The topic of every payment; each also has one of its own."""
_BATCH_MAX = 100
_LOOK_AGAIN_S = 5.0


class Watches:
    """Shows payments as they change."""

    def __init__(self, store: PaymentStore, bus: Bus) -> None:
        self._store = store
        self._bus = bus

    async def tell(self, payment: Payment) -> None:
        """Wake whoever watches the payment: it has changed in the store."""
        await self._bus.publish(ALL, _one(payment.payment_id))

    async def until(self, payment_id: str, satisfied: Callable[[Payment], bool], timeout_s: float) -> Payment:
        """Return the payment once it is as wanted, or as it is after `timeout_s`."""
        ends_at = clock.monotonic() + timeout_s
        async with self._bus.subscribe(_one(payment_id)) as waker:
            while True:
                payment = await self._store.get(payment_id)
                left_s = ends_at - clock.monotonic()
                if satisfied(payment) or left_s <= 0 or waker.closed:
                    return payment
                await waker.wait(min(left_s, _LOOK_AGAIN_S))

    async def watch(self, payment_id: str, heartbeat_s: float) -> AsyncIterator[list[Payment]]:
        """Yield the payment as it is and after each change, to its end; an empty list is a heartbeat."""
        shown: Payment | None = None
        async with self._bus.subscribe(_one(payment_id)) as waker:
            while not waker.closed:
                payment = await self._store.get(payment_id)
                if payment != shown:
                    shown = payment
                    yield [payment]
                    if payment.ended:
                        return
                elif not await waker.wait(heartbeat_s):
                    yield []

    async def watch_all(self, heartbeat_s: float) -> AsyncIterator[list[Payment]]:
        """Yield what has not ended, then what changes, in batches; an empty one is a heartbeat."""
        async with self._bus.subscribe(ALL) as waker:
            seen = await self._store.revision()  # before the snapshot: what changes meanwhile comes again
            async for batch in self._snapshot():
                yield batch
            yield []  # says that the snapshot is over
            while not waker.closed:
                if changed := await self._store.changed(seen, _BATCH_MAX):
                    seen = changed[-1][0]
                    yield [payment for _, payment in changed]
                elif not await waker.wait(heartbeat_s):
                    yield []

    async def _snapshot(self) -> AsyncIterator[list[Payment]]:
        after = ""
        while batch := await self._store.unended(after=after, limit=_BATCH_MAX):
            yield batch
            after = batch[-1].payment_id


def _one(payment_id: str) -> str:
    return f"{ALL}/{payment_id}"
