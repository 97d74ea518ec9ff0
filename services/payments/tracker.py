"""One network's payments: asked for, followed and settled.

One poller asks the provider for what has changed since the last time, however many payments are open, and not at all
when none is.  Workers carry out what `planning.plan` says about a payment, one at a time for each, and try again by the
class of what went wrong.  Both only ever write what they learnt through `PaymentStore.update`, so a crash between any
two lines leaves a payment that the next start carries on with.
"""

import asyncio
import heapq

import structlog

from meshkit.bus import Bus
from meshkit.errors import Conflict, MeshError, NotFound, Unauthenticated
from meshkit.tasks import lasting
from meshkit.turns import ALONE, Turns
from services.payments import domain
from services.payments.agenda import Agenda
from services.payments.domain import Escrow, Payment, planning
from services.payments.domain.pace import Pace
from services.payments.domain.planning import NEVER, Step
from services.payments.poller import Poller
from services.payments.ports.provider import Provider
from services.payments.ports.store import PaymentStore, Rule
from services.payments.readiness import Readiness
from services.payments.steps import Steps
from services.payments.watches import ALL, Watches

log = structlog.get_logger()
_WORKERS = 8
_LOOK_AGAIN_S = 60.0
"""How long to sleep while nothing is open, unless woken."""
_HEARD_MAX = 100
_HEAR_AGAIN_S = 1.0


class Tracker:
    """Works on the payments of one network, if it is this replica's turn.  `run` must run.

    Whatever a replica is asked to change it writes; the one whose turn it is hears of it, and does what follows.
    """

    def __init__(
        self,
        network: str,
        provider: Provider,
        store: PaymentStore,
        watches: Watches,
        bus: Bus,
        pace: Pace,
        turns: Turns = ALONE,
    ) -> None:
        self.network = network
        self.provider = provider
        self._store = store
        self._watches = watches
        self._bus = bus
        self._topic = f"trackers/{network}"
        self._pace = pace
        self._turns = turns
        self._is_ours = False
        """Whether it is our turn: else somebody else has an agenda."""
        self.readiness = Readiness(network, provider, pace)
        self._forget_all()

    def _forget_all(self) -> None:
        """Know nothing of any payment, as at the start: while it was not our turn, others worked on them."""
        self._agenda = Agenda()
        self._poller = Poller(self.network, self.provider, self._store, self._pace.overlap_ms)
        self._open: set[str] = set()
        self._urgent: set[str] = set()
        self._deadlines: dict[str, int] = {}
        self._deadline_heap: list[tuple[int, str]] = []
        self._looks: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._steps = Steps(self.network, self.provider, self.change)

    async def begin(self, payment: Payment, *, fresh: bool) -> None:
        """Work on a payment that is in the store.

        `fresh` promises that its provider has never been asked for it: then it need not be searched for first.
        """
        if fresh and self._is_ours:
            self._steps.is_fresh(payment.payment_id)
        await self._arrange(payment)

    async def change(self, payment_id: str, rule: Rule) -> Payment:
        """Apply a rule to a payment, tell who watches, and do what follows from it."""
        before, after = await self._store.update(payment_id, rule)
        if after != before:
            await self._watches.tell(after)
            if after.result_hash != before.result_hash:
                self._steps.recover_anew(payment_id)  # there is more to recover for
            if after.state is not before.state:
                log.info("payment", payment=payment_id, state=after.state.value, network=self.network)
        await self._arrange(after)
        return after

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.readiness.run(), name=f"check-{self.network}")
            group.create_task(self._turns.run(self._topic, lambda: lasting(self._track)), name=self._topic)

    async def _track(self) -> None:
        """Do what is to be done about this network's payments, while it is our turn."""
        self._forget_all()
        self._is_ours = True
        try:
            seen = await self._store.revision()  # before they are read: what changes meanwhile comes again
            after = ""
            while page := await self._store.unended(self.network, after):
                for payment in page:
                    if payment.provider != self.provider.name:
                        name, provider = payment.payment_id, payment.provider
                        log.warning("payment is of another provider", payment=name, provider=provider)
                    await self._arrange(payment)
                after = page[-1].payment_id
                await asyncio.sleep(0)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(), name=f"poll-{self.network}")
                if self._turns.shared:
                    group.create_task(self._hear(seen), name=f"hear-{self.network}")
                for _ in range(_WORKERS):
                    group.create_task(self._work(), name=f"work-{self.network}")
        finally:
            self._is_ours = False

    async def _hear(self, seen: int) -> None:
        """Take up what any replica has changed behind `seen`."""
        async with self._bus.subscribe(ALL) as waker:
            while not waker.closed:
                changed = await self._store.changed(seen, _HEARD_MAX)
                for number, payment in changed:
                    seen = number
                    if payment.network == self.network:
                        await self._arrange(payment)
                if not changed:
                    await waker.wait(_HEAR_AGAIN_S)

    # -- following -----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Poll while anything is open, and start work at deadlines exactly."""
        loop = asyncio.get_running_loop()
        poll_at, failures = loop.time(), 0
        async with self._bus.subscribe(self._topic) as waker:
            while not waker.closed:
                if self._open and loop.time() >= poll_at:
                    failures = await self._poll(failures)
                    retry_s = self._pace.retry_delay_s(failures)
                    poll_at = loop.time() + (retry_s if failures else self._poll_delay_s())
                elif not failures:  # somebody may be in more of a hurry than when we last looked
                    poll_at = min(poll_at, loop.time() + self._poll_delay_s())
                deadline_s = (self._start_due() - self.provider.now()) / 1000
                wait_s = max(0.0, min(poll_at - loop.time(), deadline_s)) if self._open else _LOOK_AGAIN_S
                await waker.wait(wait_s)

    def _poll_delay_s(self) -> float:
        return self._pace.poll_delay_s(urgent=bool(self._urgent))

    async def _poll(self, failures: int) -> int:
        """Take in what has changed; return how many times in a row that has failed."""
        try:
            await self._poller.poll(self._take)
        except MeshError as error:
            if not failures:
                log.warning("poll failed", network=self.network, error=str(error), kind=type(error).__name__)
            if isinstance(error, Unauthenticated):
                self.readiness.doubt(error)
            return failures + 1
        except Exception:  # ours to mend; the other payments go on
            log.exception("poll failed", network=self.network)
            return failures + 1
        if failures:
            log.info("poll works again", network=self.network)
        return 0

    async def _take(self, escrow: Escrow) -> None:
        payment = await self._store.by_identifier(self.network, escrow.blockchain_identifier)
        if payment is None:
            if escrow.job_id in self._open:  # the answer that was lost, perhaps: the worker looks for it
                self._agenda.put(escrow.job_id)
        elif payment.ended:
            return
        elif payment.state in domain.UNPAID and escrow.on_chain_state is not None:
            # Work starts on this: it is verified by a look at this very identifier.
            self._look_at(payment.payment_id)
        else:
            await self._steps.learn(payment.payment_id, escrow)

    async def _arrange(self, payment: Payment) -> None:
        """Note what comes next for the payment; wake who must know."""
        payment_id = payment.payment_id
        if not self._is_ours or payment.provider != self.provider.name:
            return  # the network was on another when it was made: this one knows nothing about it
        if payment.ended:
            self._forget(payment_id)
            return
        was_idle = not self._urgent
        self._open.add(payment_id)
        if planning.urgent(payment):
            self._urgent.add(payment_id)
        else:
            self._urgent.discard(payment_id)
        todo = planning.plan(payment, self.provider.now())
        if todo.step is Step.WAIT:
            await self._deadline(payment_id, todo.at)
        elif payment_id not in self._attempts:  # else its retry has its time
            self._agenda.put(payment_id)
        if was_idle and self._urgent:
            await self._bus.publish(self._topic)

    def _forget(self, payment_id: str) -> None:
        for held in (self._open, self._urgent, self._looks):
            held.discard(payment_id)
        for counted in (self._deadlines, self._attempts):
            counted.pop(payment_id, None)
        self._steps.forget(payment_id)

    async def _deadline(self, payment_id: str, at: int) -> None:
        if self._deadlines.get(payment_id) == at or at >= NEVER:
            return
        self._deadlines[payment_id] = at
        heapq.heappush(self._deadline_heap, (at, payment_id))
        if self._deadline_heap[0] == (at, payment_id):
            await self._bus.publish(self._topic)

    def _start_due(self) -> int:
        """Start what is due by the provider's time; return when the next is."""
        now = self.provider.now()
        while self._deadline_heap:
            at, payment_id = self._deadline_heap[0]
            if self._deadlines.get(payment_id) != at:
                heapq.heappop(self._deadline_heap)
                continue
            if at > now:
                return at
            heapq.heappop(self._deadline_heap)
            del self._deadlines[payment_id]
            self._look_at(payment_id)
        return NEVER

    def _look_at(self, payment_id: str) -> None:
        self._looks.add(payment_id)
        self._agenda.put(payment_id)

    # -- working -------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            payment_id = await self._agenda.take()
            try:
                await self._step(payment_id)
            finally:
                self._agenda.release(payment_id)

    async def _step(self, payment_id: str) -> None:
        """Do one thing about a payment, and see to it that the next one follows."""
        step = Step.WAIT
        self._attempts.setdefault(payment_id, 0)  # what changes meanwhile is arranged for below, and not before
        try:
            payment = await self._store.get(payment_id)
            if payment_id in self._looks and payment.blockchain_identifier:
                self._looks.discard(payment_id)
                payment = await self._steps.look(payment)
            step = planning.plan(payment, self.provider.now()).step
            if step is not Step.WAIT:
                await self._steps.do(step, payment)
            payment = await self._store.get(payment_id)
        except MeshError as error:
            await self._trouble(payment_id, step, error)
            return
        except Exception:
            log.exception("payment step failed", payment=payment_id, step=step.value)
            self._retry(payment_id, None)
            return
        planned = planning.plan(payment, self.provider.now())
        if planned.step is Step.RECOVER and self._steps.has_given_up(payment_id):
            await self._deadline(payment_id, planning.next_deadline(payment, self.provider.now()))
        elif planned.step is step and step is not Step.WAIT:
            self._retry(payment_id, None)  # it has changed nothing: not at once again
            return
        self._attempts.pop(payment_id, None)
        if planned.step is not Step.RECOVER or step is not Step.RECOVER:
            await self._arrange(payment)

    # -- when it goes wrong --------------------------------------------------------------------------------------------

    async def _trouble(self, payment_id: str, step: Step, error: MeshError) -> None:
        """Say what went wrong, and try again: sooner or later by what it was."""
        kind = type(error).__name__
        log.warning("payment step failed", payment=payment_id, step=step.value, kind=kind, error=str(error))
        if isinstance(error, Unauthenticated):
            self.readiness.doubt(error)
        try:
            if not isinstance(error, Conflict):  # somebody was faster: no trouble of the payment's
                text = f"{step.value}: {error}" if step is not Step.WAIT else str(error)
                now = self.provider.now()
                await self.change(payment_id, lambda payment: domain.troubled(payment, text, now))
        except NotFound:
            log.exception("payment is gone", payment=payment_id)
            self._forget(payment_id)
            return
        except MeshError:  # it cannot be written down now: that is the trouble, perhaps
            pass
        if payment_id in self._open:
            if step is not Step.ASK:
                self._looks.add(payment_id)  # it may have happened all the same; or it was the look that failed
            self._retry(payment_id, error)

    def _retry(self, payment_id: str, error: MeshError | None) -> None:
        attempt = self._attempts[payment_id] = self._attempts.get(payment_id, 0) + 1
        self._agenda.put(payment_id, self._pace.retry_delay_s(attempt, error))
