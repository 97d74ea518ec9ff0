"""The queue of several replicas: jobs wait in the table, and each replica claims them for the hosts that hang on it.

A job that need not wait is leased in the write that creates it, as in the queue of one process (`dispatcher`).
"""

import asyncio
import contextlib
from collections.abc import Sequence

from meshkit.errors import FailedPrecondition, MeshError, NotFound, Unavailable
from meshkit.tasks import Apart
from services.runner import domain
from services.runner.domain import Asked, Change, End, Isolation, Job, State, Step
from services.runner.hosts.lines import Waiting
from services.runner.hosts.links import Link
from services.runner.jobs.dispatcher import Dispatcher
from services.runner.jobs.journal import QUEUE, ROOM
from services.runner.ports.replicas import ReplicaStore

_CLAIMED_MAX = 64
_LOOK_AGAIN_S = 5.0
_Line = tuple[str, Isolation]


class Claims(Dispatcher):
    """A `Dispatcher` that stands beside others."""

    def __init__(self, replicas: ReplicaStore, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._replicas = replicas
        self._open: set[str] = set()
        self._loads: dict[str, int] = {}
        """How many jobs wait or run, by expose, for who places hosts."""
        self._backed_up: set[_Line] = set()
        """Lines in which others have waited longer than who comes now."""
        self._has_waiting = True
        """Whether jobs waited when the table was last looked at: else nobody needs the room that there is."""
        self._looking = asyncio.Lock()

    def open(self, expose: str) -> None:
        """As `Dispatcher.open`; what only one replica knows is for that one to `sweep`."""
        self._open.add(expose)

    def settle(self) -> None:
        """Nothing is settled: jobs wait in the table."""

    async def close(self, expose: str, end: End) -> None:
        """As `Dispatcher.close`."""
        self._open.discard(expose)
        for job_id in await self._replicas.queued(expose):
            await self._end_queued(job_id, end)

    async def sweep(self) -> None:
        """Count jobs, and end those that wait for an app that shall not be served: for who knows which shall."""
        self._loads = await self._replicas.loads()
        for expose in {expose for expose, _ in await self._replicas.queues()} - self._open:
            await self.close(expose, domain.lost("its app was stopped"))

    def waiting(self, expose: str) -> int:
        """Return how many jobs of an app wait, and run at other replicas."""
        here = sum(len(link.jobs) for link in self._hosts.of(expose))
        return max(0, self._loads.get(expose, 0) - here)

    async def _end_queued(self, job_id: str, end: End) -> None:
        def rule(job: Job) -> Change:
            return domain.end(job, end, self._now()) if job.state == State.QUEUED else Change(job=job)

        try:
            await self._journal.insist(job_id, rule)
        except NotFound:
            return

    async def run(self) -> None:
        """Claim jobs as they come and as hosts get room, until cancelled."""
        apart = Apart("queue")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_at(QUEUE, apart), name="claims-queue")
            group.create_task(self._look_at(ROOM, apart), name="claims-room")

    async def _look_at(self, topic: str, apart: Apart) -> None:
        """Claim jobs whenever there is something on a topic; whoever has jobs wait says so on QUEUE."""
        async with self._bus.subscribe(topic) as waker:
            while not waker.closed:
                await waker.wait(_LOOK_AGAIN_S if topic == QUEUE else None)
                if topic == ROOM and not self._has_waiting:
                    continue
                async with self._looking:
                    with contextlib.suppress(Unavailable):
                        await self._claim_all(apart)

    async def _claim_all(self, apart: Apart) -> None:
        self._has_waiting = True  # as far as we know, until we have looked
        if not any(link.attached for link in self._hosts.links.values()):
            return
        lines = await self._replicas.queues()
        self._has_waiting = bool(lines)
        waiting = [line for line in lines if self._hosts.roomiest(*line) is not None]
        self._backed_up &= set(waiting)
        for expose, isolation in waiting:
            with apart(f"{expose} {isolation}"):  # a line: which of its jobs it is, is not known
                while await self._claim(expose, isolation):
                    pass

    async def _claim(self, expose: str, isolation: Isolation) -> bool:
        """Claim some jobs of a line; return whether there may be more to claim."""
        wanted = min(_CLAIMED_MAX, sum(link.room(isolation) for link in self._hosts.serving.get(expose, ())))
        if wanted <= 0:
            self._backed_up.add((expose, isolation))
            return False
        reserved: dict[str, Link] = {}
        has_refused = False

        def rule(job: Job) -> Change | None:
            nonlocal has_refused
            if (before := reserved.pop(job.job_id, None)) is not None:  # the write was undone, and is tried again
                before.slots.unreserve(job.job_id)
            link = self._hosts.roomiest(expose, isolation, job.owner)
            if link is None:
                has_refused = True
                return None
            link.slots.reserve(Waiting.of(job), isolation)
            reserved[job.job_id] = link
            return domain.lease(job, link.host_id, self._now())

        try:
            leased = await self._journal.claim(self._replicas, expose, isolation, wanted, rule)
            for job in leased:
                with contextlib.suppress(MeshError):  # it is looked after: what a host never hears of is told again
                    await self._hand_over_again(job)
                reserved.pop(job.job_id).slots.unreserve(job.job_id)
        finally:
            for job_id, link in reserved.items():
                link.slots.unreserve(job_id)
        if has_refused or len(leased) >= wanted:
            self._backed_up.add((expose, isolation))
        else:
            self._backed_up.discard((expose, isolation))
        return bool(leased) and len(leased) >= wanted

    def _room_now(self, job: Job) -> Link | None:
        # How many of a target run, only the table knows.
        if job.state != State.QUEUED or job.concurrency_limit or (job.expose, job.isolation) in self._backed_up:
            return None
        return self._hosts.roomiest(job.expose, job.isolation, job.owner)

    async def enqueue(self, job: Job) -> None:
        """Let whoever has a host for a queued job look."""
        await self._bus.publish(QUEUE)

    def expect(self, job: Job) -> None:
        """The table knows."""

    async def lease_again(self, job_id: str, link: Link) -> None:
        """As `Dispatcher.lease_again`, unless the job has gone on meanwhile."""

        def rule(job: Job) -> Change:
            if job.state != State.STARTING or job.host_id != link.host_id:
                raise FailedPrecondition("the job is not for this host any more")
            return domain.lease(job, link.host_id, self._now())

        await self._hand_over_again(await self._journal.change(job_id, rule))

    def _hand_over(self, job: Job, asked: Sequence[Asked] = (), steps: Sequence[Step] = ()) -> None:
        """As `Dispatcher._hand_over`, to a host that hangs here."""
        link = self._hosts.links.get(job.host_id)
        if link is not None and link.attached:
            super()._hand_over(job, asked, steps)
        # Else it has just moved to another replica, or is lost: the one looks what it is to hold, the other loses it.
