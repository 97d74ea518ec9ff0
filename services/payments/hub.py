"""The live end of payments: wakes whoever watches one or all of them.

A watcher holds a number, not a queue: what changed behind it is read from the store, so one that never reads costs
nothing, and several changes of a payment between two reads are one.  The store is the truth.
"""

import asyncio
import contextlib
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from meshkit.tasks import either
from services.payments.domain import Payment
from services.payments.store import PaymentStore

_RECENT_MAX = 10_000
_BATCH_MAX = 100


class _Bell:
    """Wakes everybody who waits at the moment."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def listen(self) -> asyncio.Event:
        """Return what will be set at the next `ring`: take it before looking, so that nothing is missed."""
        return self._event

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()


class Hub:
    """Says which payments have changed."""

    def __init__(self, store: PaymentStore) -> None:
        self._store = store
        self._revision = 0
        self._recent: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        """Revisions up to this one are no longer in `_recent`."""
        self._any = _Bell()
        self._one: weakref.WeakValueDictionary[str, _Bell] = weakref.WeakValueDictionary()

    def push(self, payment: Payment) -> None:
        """Tell of a change that is on disk."""
        self._revision += 1
        self._recent[payment.payment_id] = self._revision
        self._recent.move_to_end(payment.payment_id)
        while len(self._recent) > _RECENT_MAX:
            _, self._forgotten = self._recent.popitem(last=False)
        self._any.ring()
        if bell := self._one.get(payment.payment_id):
            bell.ring()

    async def until(self, payment_id: str, satisfied: Callable[[Payment], bool], timeout_s: float) -> Payment:
        """Return the payment once it is as wanted, or as it is after `timeout_s`."""
        bell = self._one.setdefault(payment_id, _Bell())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while True:
                    changed = bell.listen()
                    payment = await self._store.get(payment_id)
                    if satisfied(payment):
                        return payment
                    await changed.wait()
        return await self._store.get(payment_id)

    async def watch(self, payment_id: str, heartbeat_s: float, stopping: asyncio.Event) -> AsyncIterator[list[Payment]]:
        """Yield the payment as it is and after each change, to its end; an empty list is a heartbeat."""
        bell = self._one.setdefault(payment_id, _Bell())
        stopped = asyncio.ensure_future(stopping.wait())
        shown: Payment | None = None
        try:
            while not stopping.is_set():
                changed = bell.listen()
                payment = await self._store.get(payment_id)
                if payment != shown:
                    shown = payment
                    yield [payment]
                    if payment.ended:
                        return
                elif not await either(changed, stopped, heartbeat_s):
                    yield []
        finally:
            stopped.cancel()

    async def watch_all(self, heartbeat_s: float, stopping: asyncio.Event) -> AsyncIterator[list[Payment]]:
        """Yield what has not ended, then what changes, in batches; an empty one is a heartbeat."""
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            revision = self._revision
            async for batch in self._snapshot():
                yield batch
            yield []  # says that the snapshot is over
            while not stopping.is_set():
                changed = self._any.listen()
                if revision < self._forgotten:  # we read too slowly: start over
                    revision = self._revision
                    async for batch in self._snapshot():
                        yield batch
                    continue
                fresh, revision = self._after(revision), self._revision
                for start in range(0, len(fresh), _BATCH_MAX):
                    yield [await self._store.get(payment_id) for payment_id in fresh[start : start + _BATCH_MAX]]
                if not fresh and not await either(changed, stopped, heartbeat_s):
                    yield []
        finally:
            stopped.cancel()

    async def _snapshot(self) -> AsyncIterator[list[Payment]]:
        after = ""
        while batch := self._store.unended(after=after, limit=_BATCH_MAX):
            yield batch
            after = batch[-1].payment_id

    def _after(self, revision: int) -> list[str]:
        found = []
        for payment_id, changed in reversed(self._recent.items()):
            if changed <= revision:
                break
            found.append(payment_id)
        return found[::-1]
