"""What the service does with payments: records what is wanted, and hands it to the network's tracker."""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping

from meshkit import clock
from meshkit.errors import Invalid, NotFound
from meshkit.idempotency import Request, once
from services.payments import domain
from services.payments.domain import NETWORKS, Payment, Terms, Windows, planning
from services.payments.ports.store import PaymentStore
from services.payments.tracker import Tracker
from services.payments.watches import Watches

_READY_S = 5.0


class Payments:
    """Payments of every network that has a provider."""

    def __init__(
        self,
        store: PaymentStore,
        watches: Watches,
        trackers: Mapping[str, Tracker],
        *,
        windows: Windows,
        ask_wait_s: float,
    ) -> None:
        self._store = store
        self._watches = watches
        self._trackers = trackers
        self._windows = windows
        self._ask_wait_s = ask_wait_s

    async def get(self, payment_id: str) -> Payment:
        """Return a payment, or raise `NotFound`."""
        return await self._store.get(payment_id)

    async def page(self, owner: str, before: int, limit: int) -> list[tuple[int, Payment]]:
        """Return up to `limit` payments with their numbers, newest first; see `PaymentStore.page`."""
        return await self._store.page(owner, before, limit)

    async def create(self, job: str, owner: str, terms: Terms, request: Request | None = None) -> Payment:
        """Record the intent, then have the provider asked; return the payment as it is after a short wait.

        The answer means: on disk.  Whether the provider has answered is in the state.  The same job, or the same
        `request`, again returns the payment there is.
        """
        terms = dataclasses.replace(terms, job_id=job.removeprefix("jobs/"))

        async def make() -> bytes:
            try:
                recorded = await self._store.get(terms.job_id)
            except NotFound:
                recorded = await self._intend(job, owner, terms, request)
            else:
                domain.check_same(recorded, owner, terms)
                if request is not None:
                    await self._store.record(recorded, terms, _answered_by(request, recorded))
            return recorded.payment_id.encode()

        payment_id = (await once(self._store, request, make)).decode()
        return await self._watches.until(payment_id, _answered, self._ask_wait_s)

    async def _intend(self, job: str, owner: str, terms: Terms, request: Request | None) -> Payment:
        tracker = self._tracker(terms.network)

        def intent(now: int) -> Payment:
            return domain.new_payment(
                job=job,
                owner=owner,
                terms=terms,
                provider=tracker.provider.name,
                windows=self._windows,
                now=now,
            )

        intent(tracker.provider.now())  # what no provider can take is refused although nobody can be asked
        await tracker.readiness.require(_READY_S)
        payment = intent(await tracker.provider.time())
        recorded = await self._store.record(payment, terms, _answered_by(request, payment))
        if recorded == payment:
            await self._watches.tell(recorded)
        await tracker.begin(recorded, fresh=recorded == payment)
        return recorded

    async def hear_times(self) -> None:
        """Ask the providers for their time, each of which `ahead_s` goes by."""
        await asyncio.gather(*(tracker.provider.time() for tracker in self._trackers.values()))

    def ahead_s(self, payment: Payment) -> int:
        """Return how far the clock of a payment's provider is ahead of ours, in whole seconds; 0 if nobody asks it."""
        tracker = self._trackers.get(payment.network)
        if tracker is None or tracker.provider.name != payment.provider:
            return 0
        return round((tracker.provider.now() - clock.now_ms()) / 1000)

    async def submit_result(self, payment_id: str, result_hash: str) -> Payment:
        """Record the hash; the tracker submits it.  See `domain.with_result` for what is refused."""
        return await self._change(
            payment_id, lambda old, now: planning.noted(domain.with_result(old, result_hash, now), now)
        )

    async def authorize_refund(self, payment_id: str) -> Payment:
        """Record that a refund is intended; the tracker authorises it once there is something to authorise."""
        return await self._change(payment_id, domain.with_refund)

    async def _change(self, payment_id: str, rule: Callable[[Payment, int], Payment]) -> Payment:
        tracker = self._trackers.get((await self._store.get(payment_id)).network)
        if tracker is not None:
            now = tracker.provider.now()
            return await tracker.change(payment_id, lambda old: rule(old, now))
        # Its network has no provider any more: kept for when it has one again.
        before, after = await self._store.update(payment_id, lambda old: rule(old, clock.now_ms()))
        if after != before:
            await self._watches.tell(after)
        return after

    def _tracker(self, network: str) -> Tracker:
        try:
            return self._trackers[network]
        except KeyError:
            pass
        if network in NETWORKS:
            text = "has no payment provider here: configure one in AGENTMESH_PAYMENTS"
        else:
            text = f"must be one of {', '.join(NETWORKS)}"
        raise Invalid(f"network {network[:40] or 'is empty and'} {text}", {"network": [text]})


def _answered_by(request: Request | None, payment: Payment) -> Request | None:
    return None if request is None else request.answered(payment.payment_id.encode())


def _answered(payment: Payment) -> bool:
    return payment.state is not domain.State.CREATED
