"""The queue: which job waits, who is next, and on which host it runs.

A job that need not wait is leased in the same write that creates it.  The others stand in a line of their app
(`lines`), where owners take turns.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import structlog
from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import FailedPrecondition, MeshError, NotFound, Unavailable
from meshkit.idempotency import Request
from meshkit.tasks import Apart, Tasks
from services.runner import domain
from services.runner.domain import Asked, Birth, Change, End, Isolation, Job, LockState, Reason, State, Step
from services.runner.hosts.lines import Line, Waiting
from services.runner.hosts.links import Hosts, Link
from services.runner.jobs import spans
from services.runner.jobs.briefs import Briefs
from services.runner.jobs.journal import QUEUE, ROOM, Journal
from services.runner.jobs.turns import Turns
from services.runner.ports.store import ASKED_BYTES_MAX

log = structlog.get_logger()
_LOOK_AGAIN_S = 5.0
_AGAIN_S = 0.5
ISOLATIONS = {
    Isolation.PROCESS: app_pb2.ISOLATION_PROCESS,
    Isolation.SHARED: app_pb2.ISOLATION_SHARED,
}


class Dispatcher:
    """Hands jobs to hosts.

    Jobs of an app that shall be served may wait, whether or not a host serves it at the moment; others end.
    """

    def __init__(
        self,
        journal: Journal,
        hosts: Hosts,
        turns: Turns,
        briefs: Briefs,
        bus: Bus,
        tasks: Tasks,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._journal = journal
        self._hosts = hosts
        self._turns = turns
        self._briefs = briefs
        self._bus = bus
        self._tasks = tasks
        self._now = now
        self._settled = False
        self._lines: dict[str, dict[Isolation, Line]] = {}
        """By expose; one that is missing shall not be served."""

    # -- lines ---------------------------------------------------------------------------------------------------

    def open(self, expose: str) -> None:
        """Let jobs of an app wait for a host; nothing happens if they may."""
        if expose not in self._lines:
            self._lines[expose] = {isolation: Line() for isolation in Isolation}

    def settle(self) -> None:
        """Know that every app that shall be served has its line: from now on a job without one cannot wait.

        What is enqueued before stays in the store, where it is found after this.
        """
        self._settled = True

    @property
    def exposes(self) -> list[str]:
        """The apps that shall be served."""
        return list(self._lines)

    def waiting(self, expose: str) -> int:
        """Return how many jobs of an app stand in line."""
        return sum(len(line) for line in self._lines.get(expose, {}).values())

    async def close(self, expose: str, end: End) -> None:
        """Let no job of an app wait any more; those that do end as `end` says."""
        for line in self._lines.pop(expose, {}).values():
            for job_id in line:
                await self._end(job_id, end)

    async def sweep(self) -> None:
        """End jobs that wait for an app that shall not be served: those of this process have ended by themselves."""

    async def run(self) -> None:
        """Hand out jobs as hosts get room, until cancelled."""
        apart = Apart("queue")
        async with self._bus.subscribe(QUEUE, ROOM) as waker:
            while not waker.closed:
                await waker.wait(_LOOK_AGAIN_S)
                await self._enqueue_ready(apart)
                for expose, lines in self._lines.items():
                    for isolation, line in lines.items():
                        if line:
                            self._feed(expose, isolation, line)

    async def _enqueue_ready(self, apart: Apart) -> None:
        """Enqueue the jobs whose turn it is.  One that cannot be gives its place up, and waits for another."""
        left = {job.job_id: job for job in self._turns.ready()}
        try:
            for job in list(left.values()):
                with apart(job.job_id):
                    await self.enqueue(job)
                    del left[job.job_id]
        finally:
            for job in left.values():
                self._turns.free(job)
                self._turns.wait(job)

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def admit(
        self,
        jobs: Sequence[Job],
        request: Request | None = None,
        brief: bytes = b"",
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
        uploads: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Job]:
        """Keep new jobs of one owner and hand them out; one that must be paid for first is only kept.

        `uploads` is the payload of the event that tells of a job's files, by its id.

        They are on disk when this returns; `brief` is kept with each (`Birth.brief`).  Raises as `JobStore.create`.
        """
        reserved: dict[str, Link] = {}
        births = []
        for job in jobs:
            birth = dataclasses.replace(domain.born(job, uploads.get(job.job_id, "")), brief=brief)
            link = self._room_now(job)
            if link is not None:
                link.slots.reserve(Waiting.of(job), job.isolation)
                reserved[job.job_id] = link
                # Leased in the same write that creates it: a job that need not wait costs one commit, not two.
                birth = dataclasses.replace(birth, job=domain.lease(job, link.host_id, job.created_at).job)
            births.append(birth)
        try:
            kept = await self._kept(births, request, open_max=open_max, stored_max=stored_max)
            for job in kept:
                if job.host_id:
                    self._hand_over(job)
        finally:
            for job_id, link in reserved.items():
                link.slots.unreserve(job_id)
        for job in kept:
            if not job.host_id and job.state == State.QUEUED:
                await self.enqueue(job)
        return kept

    async def _kept(self, births: Sequence[Birth], request: Request | None, **limits: int | None) -> list[Job]:
        try:
            return await self._journal.create(births, request, **limits)
        except BaseException:
            for birth in births:
                self._turns.free(birth.job)
            raise

    async def knows(self, job_id: str) -> bool:
        """Return whether there is a job.  Raises `Unavailable`."""
        try:
            await self._journal.look(job_id)
        except NotFound:
            return False
        return True

    def _room_now(self, job: Job) -> Link | None:
        lines = self._lines.get(job.expose)
        if job.state != State.QUEUED or lines is None or lines[job.isolation]:
            return None
        link = self._hosts.roomiest(job.expose, job.isolation, job.owner)
        return link if link is not None and self._turns.take(job) else None

    async def enqueue(self, job: Job) -> None:
        """Let a queued job wait for a host of its app, or end it if none will come."""
        if not self._settled:
            return
        lines = self._lines.get(job.expose)
        if lines is None:
            await self._end(job.job_id, domain.lost("its app was stopped"))
            return
        if not self._turns.take(job):
            self._turns.wait(job)
            return
        line = lines[job.isolation]
        line.add(job)
        self._feed(job.expose, job.isolation, line)

    def expect(self, job: Job) -> None:
        """Know that a host holds a job since before our own start."""
        self._turns.take(job)

    async def lease_again(self, job_id: str, link: Link) -> None:
        """Hand a job to a host that never received its lease.  Raises `NotFound`."""
        job = await self._journal.change(job_id, lambda job: domain.lease(job, link.host_id, self._now()))
        await self._hand_over_again(job)

    def _feed(self, expose: str, isolation: Isolation, line: Line) -> None:
        while line and self._hosts.roomiest(expose, isolation) is not None:
            taken = line.take(lambda owner: self._hosts.roomiest(expose, isolation, owner))
            if taken is None:  # whoever waits has their share
                return
            waiting, link = taken
            link.slots.reserve(waiting, isolation)
            self._tasks.spawn(self._lease(line, waiting, link), f"lease-{waiting.job_id}")

    async def _lease(self, line: Line, waiting: Waiting, link: Link) -> None:
        try:
            job = await self._journal.change(waiting.job_id, lambda job: self._leased(job, link))
        except Unavailable:  # it cannot be written down now: it waits on, until the queue is looked at again
            line.put_back(waiting)
        except MeshError:  # stopped or deleted while it waited
            await self._bus.publish(QUEUE)
        except Exception:
            line.put_back(waiting)
            raise
        else:
            await self._insist_on_handing_over(job)
        finally:
            link.slots.unreserve(waiting.job_id)

    def _leased(self, job: Job, link: Link) -> Change:
        if job.state == State.STARTING and job.host_id in self._hosts.links:
            raise FailedPrecondition("the job has been handed out")
        return domain.lease(job, link.host_id, self._now())

    async def _insist_on_handing_over(self, job: Job) -> None:
        """As `_hand_over_again`, however often what the job has had cannot be read: nobody else will do it."""
        while True:
            try:
                await self._hand_over_again(job)
                return
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
            if not await self._is_for_its_host(job):
                return

    async def _hand_over_again(self, job: Job) -> None:
        """Do as `_hand_over` with a job that may have had attempts, and asked something in them."""
        asked = await self._journal.asked(job)
        if sum(map(domain.pages.bytes_of_asked, asked)) > ASKED_BYTES_MAX:
            await self._end(job.job_id, domain.lost("its questions and answers are too large to be told again"))
            return
        self._hand_over(job, asked, await self._journal.steps(job))

    def _hand_over(self, job: Job, asked: Sequence[Asked] = (), steps: Sequence[Step] = ()) -> None:
        """Tell the host to run a job whose lease to it is on disk."""
        link = self._hosts.links.get(job.host_id)
        if link is None:  # it ended a moment ago, and has never heard of the job: another may run it
            self._tasks.spawn(self.enqueue(job), f"enqueue-{job.job_id}")
            return
        link.slots.hold(job)
        run = host_pb2.Run(
            job=f"jobs/{job.job_id}",
            epoch=job.epoch,
            entry_point=job.entry_point,
            owner=job.owner,
            base_url=job.base_url,
            traceparent=spans.handed(job),
            isolation=ISOLATIONS[job.isolation],
            attempt=job.attempt + 1,
            conversation=job.conversation,
        )
        masks = self._journal.masks
        try:
            masks.tell(job, run)
            run.asked.extend(_asked(each, masks.answer(each.lock_id, each.result_json, each.sealed)) for each in asked)
            for step in steps:
                result_json = masks.result(job.job_id, step)
                run.steps.add(name=step.name, result_json=result_json, place=step.place, occurrence=step.occurrence)
        except FailedPrecondition as error:  # the key of this mesh is another one now
            lost = End(state=State.FAILED, reason=Reason.ERROR, error=str(error))
            self._tasks.spawn(self._end(job.job_id, lost), f"end-{job.job_id}")
            return
        if job.is_defined:
            self._tasks.spawn(self._brief(job, run, link), f"brief-{job.job_id}")
        else:
            link.post(host_pb2.RunnerMessage(run=run))

    async def _brief(self, job: Job, run: host_pb2.Run, link: Link) -> None:
        """Tell the host what an agent's or crew's job is; one that cannot be told is tried again, or ends."""
        try:
            await self._briefs.complete(job, run)
        except Exception as error:  # whatever it is: nobody else would end the job
            log.warning("a job could not be handed over", job=job.job_id, exc_info=not isinstance(error, MeshError))
            why = str(error) if isinstance(error, MeshError) else "internal error"
            failed = End(state=State.FAILED, reason=Reason.WORKER_LOST, error=f"it could not be handed over: {why}")
            with contextlib.suppress(NotFound):
                await self._journal.insist(job.job_id, lambda now: self._not_handed_over(now, job, failed))
            return
        if await self._is_for_its_host(job):
            link.post(host_pb2.RunnerMessage(run=run))

    async def _is_for_its_host(self, job: Job) -> bool:
        """Return whether a host is still to hear of a job that was leased to it before something else was awaited.

        One that was told to stop meanwhile ends here.
        """
        while True:
            try:
                now = await self._journal.look(job.job_id)
                if now.state == State.STOPPING:
                    now = await self._journal.change(job.job_id, lambda now: self._unless_stopped(now, job))
            except NotFound:
                return False
            except Unavailable:
                await asyncio.sleep(_AGAIN_S)
            else:
                return now.epoch == job.epoch and not now.ended

    def _not_handed_over(self, now: Job, job: Job, failed: End) -> Change:
        if now.epoch != job.epoch:
            return Change(job=now)
        return domain.attempts.lose(now, failed, self._now())

    def _unless_stopped(self, now: Job, job: Job) -> Change:
        """End a job that was told to stop before its host had heard of it."""
        if now.epoch != job.epoch or now.state != State.STOPPING:
            return Change(job=now)
        return domain.end(now, domain.SHUT_DOWN, self._now())

    async def _end(self, job_id: str, end: End) -> None:
        with contextlib.suppress(NotFound):
            await self._journal.insist(job_id, lambda job: domain.end(job, end, self._now()))


def _asked(asked: Asked, result_json: str) -> host_pb2.AskedLock:
    return host_pb2.AskedLock(
        lock_id=asked.lock_id,
        title=asked.title,
        data_json=asked.data_json,
        result_json=result_json,
        expired=asked.state == LockState.EXPIRED,
    )
