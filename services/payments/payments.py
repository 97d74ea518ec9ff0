"""What the service does with payments: records what is wanted, and hands it to the network's tracker."""

import dataclasses
import time
from collections.abc import Callable, Mapping

from meshkit.errors import Invalid, NotFound
from services.payments import domain, planning
from services.payments.domain import NETWORKS, Payment, Terms, Windows
from services.payments.hub import Hub
from services.payments.store import PaymentStore
from services.payments.tracker import Tracker

_READY_S = 5.0


class Payments:
    """Payments of every network that has a provider."""

    def __init__(
        self, store: PaymentStore, hub: Hub, trackers: Mapping[str, Tracker], *, windows: Windows, ask_wait_s: float
    ) -> None:
        self.store = store
        self.hub = hub
        self._trackers = trackers
        self._windows = windows
        self._ask_wait_s = ask_wait_s

    async def create(self, job: str, owner: str, terms: Terms) -> Payment:
        """Record the intent, then have the provider asked; return the payment as it is after a short wait.

        The answer means: on disk.  Whether the provider has answered is in the state.
        """
        terms = dataclasses.replace(terms, job_id=job.removeprefix("jobs/"))
        try:
            recorded = await self.store.get(terms.job_id)
        except NotFound:
            recorded = await self._record(job, owner, terms)
        else:
            domain.check_same(recorded, owner, terms)
        return await self.hub.until(recorded.payment_id, _answered, self._ask_wait_s)

    async def _record(self, job: str, owner: str, terms: Terms) -> Payment:
        tracker = self._tracker(terms.network)
        payment = domain.new_payment(
            job=job,
            owner=owner,
            terms=terms,
            provider=tracker.provider.name,
            windows=self._windows,
            now=tracker.provider.now(),
        )
        await tracker.readiness.require(_READY_S)
        recorded = await self.store.record(payment, terms)
        if recorded == payment:
            self.hub.push(recorded)
        tracker.begin(recorded, fresh=recorded == payment)
        return recorded

    async def submit_result(self, payment_id: str, result_hash: str) -> Payment:
        """Record the hash; the tracker submits it.  See `domain.with_result` for what is refused."""
        return await self._change(
            payment_id, lambda old, now: planning.noted(domain.with_result(old, result_hash, now), now)
        )

    async def authorize_refund(self, payment_id: str) -> Payment:
        """Record that a refund is intended; the tracker authorises it once there is something to authorise."""
        return await self._change(payment_id, domain.with_refund)

    async def _change(self, payment_id: str, rule: Callable[[Payment, int], Payment]) -> Payment:
        tracker = self._trackers.get((await self.store.get(payment_id)).network)
        if tracker is not None:
            now = tracker.provider.now()
            return await tracker.change(payment_id, lambda old: rule(old, now))
        # Its network has no provider any more: kept for when it has one again.
        before, after = await self.store.update(payment_id, lambda old: rule(old, int(time.time() * 1000)))
        if after != before:
            self.hub.push(after)
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


def _answered(payment: Payment) -> bool:
    return payment.state is not domain.State.CREATED
