"""What can be done to jobs: create, hand out, take reports, stop."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence

import structlog
from mesh.runner.v1 import host_pb2

from meshkit.errors import MeshError, NotFound, Unavailable
from services.runner import domain
from services.runner.domain import Change, End, Event, Job, OpenLock, Reason, Request, State
from services.runner.hosts import Hosts, Link
from services.runner.store import JobStore
from services.runner.tails import Tails

log = structlog.get_logger()
# Beyond the grace that a job is given, the time until we say that it could not be stopped.
_STOP_MARGIN_S = 5.0


class Jobs:
    """The jobs of this mesh."""

    def __init__(
        self, store: JobStore, hosts: Hosts, *, cancel_grace_s: float, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._cancel_grace_s = cancel_grace_s
        self._now = now
        self.tails = Tails(store)
        self.listeners: list[Callable[[Job, Change], None]] = []
        """Called with each change that is on disk."""
        self.returned: list[Callable[[Job], None]] = []
        """Called with each job that a host still holds after a reconnect."""
        self.wait: Callable[[Job], bool] = lambda job: False
        """Lets a queued job wait for its app's host, or returns False if none will come; set by `Apps`."""
        self._endings: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- starting ------------------------------------------------------------------------------------------------

    async def create(self, job: Job, request: Request | None) -> Job:
        """Keep a new job and hand it to its host.  It is on disk when this returns.

        Raises `AlreadyExists` if `request` was made before.
        """
        link = self._hosts.serving.get(job.expose)
        head = domain.first_events(job)
        if job.state != State.QUEUED:
            link = None  # it must be paid for first
        elif link is not None and link.has_room and link.attached and not link.waiting:
            # Leased in the same write that creates it: a job that need not wait costs one commit, not two.
            link.leasing.add(job.job_id)
            job = domain.lease(job, link.host_id, job.created_at).job
        try:
            job, events = await self._store.create(job, head, request)
        finally:
            if link is not None:
                link.leasing.discard(job.job_id)
        self._announce(job, events, Change(job=job))
        if job.host_id:
            self._hand_over(job)
        elif job.state == State.QUEUED:
            self.enqueue(job)
        return job

    def enqueue(self, job: Job) -> None:
        """Let a queued job wait in the line of its app."""
        if (serving := self._hosts.serving.get(job.expose)) is not None:
            serving.waiting.append(job.job_id)
            self.feed(serving)
        elif not self.wait(job):
            self._spawn(self.lose([job.job_id], "its app was stopped"))

    def _hand_over(self, job: Job) -> None:
        """Tell the host to run a job whose lease to it is on disk."""
        link = self._hosts.links.get(job.host_id)
        if link is None:
            self._spawn(self.lose([job.job_id], "the job's host was lost"))
            return
        link.jobs.add(job.job_id)
        run = host_pb2.Run(
            job=f"jobs/{job.job_id}",
            epoch=job.epoch,
            entry_point=job.entry_point,
            inputs_json=job.inputs_json,
            inputs_blob=job.inputs_blob,
            owner=job.owner,
            base_url=job.base_url,
        )
        link.post(host_pb2.RunnerMessage(run=run))

    def feed(self, link: Link) -> None:
        """Hand out waiting jobs while the host has room."""
        while link.waiting and link.has_room and link.attached:
            job_id = link.waiting.popleft()
            link.leasing.add(job_id)
            self._spawn(self._lease(job_id, link))

    async def _lease(self, job_id: str, link: Link) -> None:
        try:
            job = await self.change(job_id, lambda job: domain.lease(job, link.host_id, self._now()))
        except MeshError:  # stopped or deleted while it waited
            link.leasing.discard(job_id)
            self.feed(link)
            return
        link.leasing.discard(job_id)
        self._hand_over(job)

    async def resume(self, host_ids: set[str]) -> None:
        """After our own start: what a living host holds goes on, what waited waits on, the rest has ended unseen."""
        for job in self._store.open_jobs():
            link = self._hosts.links.get(job.host_id)
            if job.host_id and (link is not None or job.host_id in host_ids):
                if link is None:  # a host that was draining: it may still finish
                    link = self._hosts.links[job.host_id] = Link(job.host_id, job.expose, 0)
                    link.started = True
                    link.loaded.set_result(host_pb2.Loaded())  # its lease runs from now
                link.jobs.add(job.job_id)
            elif job.state == State.AWAITING_PAYMENT:
                continue  # `Billing` follows it
            elif job.host_id or not self.wait(job):
                await self.lose([job.job_id], "its host was lost while the runner was down")

    # -- what hosts say ------------------------------------------------------------------------------------------

    async def report(
        self,
        job_id: str,
        epoch: int,
        source_seq: int,
        events: Sequence[Event],
        outcome: End | None,
        opening: OpenLock | None = None,
    ) -> bool:
        """Keep what a host reports; return False if its lease is over."""
        try:
            job = await self.change(
                job_id, lambda job: domain.report(job, epoch, source_seq, events, outcome, self._now(), opening)
            )
        except (domain.Stale, NotFound):
            # A resend of what ended the job is not stale: the host only missed our answer.
            return self._ended_by(job_id, epoch)
        if job.state == State.STOPPING and outcome is not None:
            self._tell_stop(job)  # it was told before its process had taken the job up
        return True

    def _ended_by(self, job_id: str, epoch: int) -> bool:
        try:
            job = self._store.get(job_id)
        except NotFound:
            return False
        return job.ended and job.epoch == epoch and job.reason != Reason.WORKER_LOST

    async def lose(self, job_ids: Sequence[str], why: str) -> None:
        """End jobs whose host is gone."""
        for job_id in job_ids:
            with contextlib.suppress(NotFound):
                await self.change(job_id, lambda job: domain.lose(job, why, self._now()))

    async def shut_down(self, job_ids: Sequence[str]) -> None:
        """End jobs whose app is being removed."""
        end = End(state=State.CANCELLED, reason=Reason.SHUTDOWN, error="stopped: its app was shut down")
        for job_id in job_ids:
            with contextlib.suppress(NotFound):
                await self.change(job_id, lambda job: domain.finish(job, end, self._now()))

    async def reclaim(self, link: Link, expected: set[str], held: set[str]) -> None:
        """Compare what a host that has just attached holds with what it is expected to hold.

        A lease it does not know was never received: it is given again.  One whose process had started is lost.
        """
        for job_id in sorted(expected - held):
            try:
                job = self._store.get(job_id)
            except NotFound:
                continue
            if job.state == State.STARTING:
                self._hand_over(await self.change(job_id, lambda job: domain.lease(job, link.host_id, self._now())))
            elif not job.ended:
                await self.lose([job_id], "its host lost the job's process")
        for job_id in held:
            with contextlib.suppress(NotFound):
                job = self._store.get(job_id)
                if job.state == State.STOPPING:
                    self._tell_stop(job)
                for listener in self.returned:
                    listener(job)

    # -- stopping ------------------------------------------------------------------------------------------------

    async def cancel(self, job_id: str, reason: Reason) -> Job:
        """Stop a job; return it when its process is gone.  One that has ended is returned as it is.

        Raises `NotFound`, and `Unavailable` if the process could not be ended in time: it goes on being stopped.
        """
        ending = self._endings.setdefault(job_id, asyncio.Event())
        try:
            job = await self.change(job_id, lambda job: domain.stop(job, reason, self._now()))
            if job.ended:
                return job
            self._tell_stop(job)
            async with asyncio.timeout(self._cancel_grace_s + _STOP_MARGIN_S):
                await ending.wait()
        except TimeoutError:
            raise Unavailable("the job's host does not answer: the job is being stopped, look again") from None
        finally:
            self._endings.pop(job_id, None)
        return self._store.get(job_id)

    def _tell_stop(self, job: Job) -> None:
        link = self._hosts.links.get(job.host_id)
        if link is not None:
            cancel = host_pb2.Cancel(job=f"jobs/{job.job_id}", epoch=job.epoch, grace_s=self._cancel_grace_s)
            link.post(host_pb2.RunnerMessage(cancel=cancel))

    async def delete(self, job_id: str, reason: Reason) -> None:
        """Stop a job if it runs, and forget it."""
        await self.cancel(job_id, reason)
        await self._store.delete(job_id)
        self.tails.forget(job_id)

    # -- inside --------------------------------------------------------------------------------------------------

    async def change(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Job:
        """Apply a rule, then tell whoever listens and free the host's room if the job has ended.

        Raises what the rule raises, `NotFound`, and `AlreadyExists` if `request` was made before.
        """
        decided: list[Change] = []

        def decide(job: Job) -> Change:
            decided.append(rule(job))
            return decided[-1]

        job, events = await self._store.update(job_id, decide, request)
        self._announce(job, events, decided[-1])
        if job.ended:
            if (ending := self._endings.get(job_id)) is not None:
                ending.set()
            for link in self._hosts.links.values():
                if job_id in link.jobs:
                    link.jobs.discard(job_id)
                    self.feed(link)
                    break
        return job

    def _announce(self, job: Job, events: Sequence[Event], change: Change) -> None:
        self.tails.push(job, events)
        for listener in self.listeners:
            listener(job, change)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for work that was begun."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
