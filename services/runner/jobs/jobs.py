"""What happens to jobs that hosts hold: reports, losses, stops."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping

import structlog
from agentmesh_protos.runner.v1 import host_pb2

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import FailedPrecondition, NotFound, Unavailable
from meshkit.tasks import Apart
from services.runner import domain
from services.runner.callers.masking import Report
from services.runner.callers.shares import Shares
from services.runner.domain import Change, End, Job, Lease, LockState, Reason, State
from services.runner.domain.attempts import Completion
from services.runner.hosts.links import Hosts, Link
from services.runner.hosts.roll import Doubtful
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import APPS, QUEUE, Journal, lock_end
from services.runner.jobs.tails import topic
from services.runner.jobs.walks import each
from services.runner.ports.store import JobStore

log = structlog.get_logger()
# Beyond the grace that a job is given, the time until we say that it could not be stopped.
_STOP_MARGIN_S = 5.0
# How long a job may take to begin that is to be paused.
_STARTING_S = 10.0


class Jobs:
    """The jobs of this mesh."""

    def __init__(
        self,
        store: JobStore,
        journal: Journal,
        dispatcher: Dispatcher,
        hosts: Hosts,
        shares: Shares,
        bus: Bus,
        *,
        cancel_grace_s: float,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._store = store
        self._journal = journal
        self._dispatcher = dispatcher
        self._hosts = hosts
        self._shares = shares
        self._bus = bus
        self._cancel_grace_s = cancel_grace_s
        self._now = now

    # -- what hosts say ------------------------------------------------------------------------------------------

    async def report(
        self,
        job_id: str,
        holder: Lease,
        source_seq: int,
        said: Report,
    ) -> bool:
        """Keep what a host reports; return False if it does not hold the job.

        Raises `domain.Gap` if a report before it has not been kept, and `Unavailable` if it cannot be kept now.
        """
        kept_bytes = 0

        def rule(job: Job) -> Change:
            nonlocal kept_bytes
            kept_bytes = job.stored_bytes
            return self._reported(job, holder, source_seq, self._journal.masks.report(job, said))

        try:
            job = await self._journal.change(job_id, rule)
        except (domain.Stale, NotFound):
            # A resend of what ended the job is not stale: the host only missed our answer.
            one_more = said.outcome is not None or said.opening is not None or said.step is not None
            last = source_seq + len(said.events) - 1 + one_more
            return await self._has_taken(job_id, holder, last) and not said.is_refused
        opening = said.opening
        if job.state == State.STOPPING and said.outcome is not None:
            self._tell_stop(job)  # it was told before its process had taken the job up
        if opening is not None and opening.again and opening.lock_id not in job.pending_locks:
            await self._tell_lock_ends(job)  # it may have ended while the host was told to run the job
        if (end := domain.budgets.spent(job, job.stored_bytes)) is not None:
            await self.give_up(job.job_id, end)
        if await self._shares.is_beyond(job.owner, job.stored_bytes - kept_bytes) and not job.ended:
            await self._cut_off(job)
        is_parked = opening is not None and opening.park and job.parked
        return not is_parked and not said.is_refused  # its host keeps neither

    async def _cut_off(self, job: Job) -> None:
        """End a job whose owner keeps too much: what it still says is stale."""
        end = End(state=State.FAILED, reason=Reason.BUDGET_EXCEEDED, error=self._shares.words())
        log.warning("a job is ended: its owner keeps too much", job=job.job_id, owner=job.owner)
        await self._end([job.job_id], end)
        self._tell_stop(job)

    def _reported(self, job: Job, holder: Lease, source_seq: int, said: Report) -> Change:
        return domain.report(job, holder, source_seq, said.events, said.outcome, self._now(), said.opening, said.step)

    async def _has_taken(self, job_id: str, holder: Lease, last: int) -> bool:
        """Return whether a job has ended with what its holder has said up to a number.

        A report that only the store has refused was not taken, and neither is what a job says that was cut off.
        """
        try:
            job = await self._store.get(job_id)
        except NotFound:
            return False
        # An end takes the job out of all hands; its epoch is told to its host alone.
        is_theirs = job.ended and job.epoch == holder.epoch and job.reason != Reason.WORKER_LOST
        return is_theirs and job.source_seq >= last

    async def break_off(self, job_id: str, holder: Lease, end: End) -> None:
        """Take in that what a host says of a job cannot be used; nothing happens if it does not hold the job."""
        with contextlib.suppress(NotFound, domain.Stale):
            await self._journal.insist(job_id, lambda job: domain.break_off(job, holder, end, self._now()))

    async def reclaim(self, link: Link, expected: set[str], leases: Mapping[str, int]) -> None:
        """Compare what a host that has just attached holds, epochs by job, with what it is expected to hold.

        A lease it does not know was never received: it is given again.  One whose process had started is lost.  What it
        says of jobs that it does not hold counts for nothing.
        """
        held = set()
        for job_id, epoch in leases.items():
            with contextlib.suppress(NotFound, domain.Stale):
                job = await self._store.get(job_id)
                domain.check_lease(job, Lease(link.host_id, epoch))
                held.add(job_id)
                await self._remind(job)
        for job_id in sorted(expected - held):
            with contextlib.suppress(NotFound):
                job = await self._store.get(job_id)
                if job.state == State.STARTING:
                    await self._dispatcher.lease_again(job_id, link)
                elif not job.ended:
                    await self.orphaned(job, "its host lost the job's process")
        await self._bus.publish(QUEUE, APPS)

    async def _remind(self, job: Job) -> None:
        """Tell the host that holds a job, and has just come back, what it may have missed."""
        if job.state == State.STOPPING:
            self._tell_stop(job)
        else:
            self._tell_pause(job)
        await self._tell_lock_ends(job)

    async def _tell_lock_ends(self, job: Job) -> None:
        ends = functools.partial(self._store.lock_ends, job.job_id)
        async for end in each(ends, lambda end: end.lock_id):
            answered = end.state == LockState.ANSWERED
            result_json = self._journal.masks.answer(end.lock_id, end.result_json, end.sealed)
            self._hosts.tell(job, lock_end(job, end.lock_id, result_json, answered=answered))

    async def settle(self, doubtful: Doubtful, step_s: float) -> None:
        """Have jobs and hosts agree where replicas of the runner were at odds for a moment, until cancelled."""
        apart = Apart("held")
        while True:
            await asyncio.sleep(step_s)
            try:
                missed, over = await doubtful.look()
                for job, link in missed:
                    if job.state == State.STARTING:  # it moved while the job was being given to it
                        with apart(job.job_id), contextlib.suppress(NotFound, FailedPrecondition):
                            await self._dispatcher.lease_again(job.job_id, link)
                    else:
                        link.slots.hold(job)
            except Unavailable:
                continue
            for job_id, link in over:
                link.slots.release(job_id)
            if over:
                await self._bus.publish(QUEUE)

    # -- ends ----------------------------------------------------------------------------------------------------

    async def lose(self, job_ids: Iterable[str], why: str) -> None:
        """Take in that the host of jobs is gone: those that may be started again are, the others end."""
        end = domain.lost(why)
        for job_id in job_ids:
            with contextlib.suppress(NotFound):
                await self._journal.insist(job_id, lambda job: domain.attempts.lose(job, end, self._now()))

    async def orphaned(self, job: Job, why: str) -> None:
        """Take care of a job whose host ended while nobody looked: one that waits, or is paused, does so without it."""
        if job.state not in (State.AWAITING_INPUT, State.PAUSED):
            await self.lose([job.job_id], why)
            return
        with contextlib.suppress(NotFound):
            orphan = domain.locks.orphan
            left = await self._journal.change(job.job_id, lambda now: orphan(now, job, self._now()))
            if left.state == State.QUEUED:
                await self._dispatcher.enqueue(left)

    async def shut_down(self, job_ids: Iterable[str]) -> None:
        """End jobs whose app is being removed."""
        await self._end(job_ids, domain.SHUT_DOWN)

    async def _end(self, job_ids: Iterable[str], how: End) -> None:
        for job_id in job_ids:
            with contextlib.suppress(NotFound):
                await self._journal.insist(job_id, lambda job: domain.end(job, how, self._now()))

    async def cancel(self, job_id: str, reason: Reason) -> Job:
        """Stop a job; return it when its process is gone.  One that has ended is returned as it is.

        Raises `NotFound`, and `Unavailable` if the process could not be ended in time: it goes on being stopped.
        """
        async with self._bus.subscribe(topic(job_id)) as waker:
            job = await self._journal.change(job_id, lambda job: domain.stop(job, reason, self._now()))
            if not job.ended:
                self._tell_stop(job)
            until = asyncio.get_running_loop().time() + self._cancel_grace_s + _STOP_MARGIN_S
            while not job.ended:
                left_s = until - asyncio.get_running_loop().time()
                if left_s <= 0 or waker.closed:
                    raise Unavailable("the job's host does not answer: the job is being stopped, look again")
                await waker.wait(left_s)
                job = await self._store.get(job_id)
        return job

    async def pause(self, job_id: str) -> Job:
        """Halt a job.  Raises `NotFound`, `FailedPrecondition`, and `Unavailable` if it does not get to its host."""
        async with self._bus.subscribe(topic(job_id)) as waker:
            until = asyncio.get_running_loop().time() + _STARTING_S
            while (await self._store.get(job_id)).state == State.STARTING:
                left_s = until - asyncio.get_running_loop().time()
                if left_s <= 0 or waker.closed:
                    raise Unavailable("the job is being started: try again")
                await waker.wait(left_s)
        job = await self._journal.change(job_id, lambda job: domain.pauses.pause(job, self._now()))
        self._tell_pause(job)
        return job

    async def resume(self, job_id: str) -> Job:
        """Let a job go on.  Raises `NotFound` and `FailedPrecondition`."""
        job = await self._journal.change(job_id, lambda job: domain.pauses.resume(job, self._now()))
        self._tell_pause(job)
        if job.state == State.QUEUED:
            await self._dispatcher.enqueue(job)
        return job

    def _tell_pause(self, job: Job) -> None:
        """Tell the host of a job whether it is paused."""
        name = f"jobs/{job.job_id}"
        if job.state == State.PAUSED:
            message = host_pb2.RunnerMessage(pause=host_pb2.Pause(job=name, epoch=job.epoch))
        else:
            message = host_pb2.RunnerMessage(resume=host_pb2.Resume(job=name, epoch=job.epoch))
        self._hosts.tell(job, message)

    async def give_up(self, job_id: str, end: End) -> None:
        """Begin to stop a job that has come to its limits; nothing happens to one that has ended or is forgotten."""
        with contextlib.suppress(NotFound):
            job = await self._journal.insist(job_id, lambda job: domain.give_up(job, end, self._now()))
            if not job.ended:
                self._tell_stop(job)

    async def complete(self, job_id: str, done: Completion, *, take_over: bool) -> Job:
        """End a job with what somebody outside made of it.  Raises `NotFound` and `FailedPrecondition`."""
        before = await self._store.get(job_id)
        rule = domain.attempts.complete
        job = await self._journal.change(job_id, lambda job: rule(job, done, self._now(), take_over=take_over))
        if before.host_id:  # its epoch is over: nothing that it says is taken any more
            self._tell_stop(before)
        return job

    async def delete(self, job_id: str, reason: Reason) -> None:
        """Stop a job if it runs, and forget it."""
        await self.cancel(job_id, reason)
        await self._journal.delete(job_id, self._now())

    def _tell_stop(self, job: Job) -> None:
        cancel = host_pb2.Cancel(job=f"jobs/{job.job_id}", epoch=job.epoch, grace_s=self._cancel_grace_s)
        self._hosts.tell(job, host_pb2.RunnerMessage(cancel=cancel))
