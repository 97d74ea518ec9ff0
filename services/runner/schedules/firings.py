"""Fires schedules when it is time: each tick becomes one job, whatever crashes and however many runners there are.

That a tick is to be fired is written with the move to the next one (`domain.schedules.fire`), so it is decided once.
Its launch has a request id made of the schedule and the tick: who finds it unfinished, after a crash or beside another
runner, launches it again and gets the job that there is.
"""

import asyncio
import contextlib
import functools
import math
from collections.abc import Callable, Sequence

import structlog

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import AlreadyExists, Internal, MeshError, NotFound, Unavailable
from meshkit.principal import NOBODY, acting
from meshkit.tasks import Apart, Tasks
from services.runner.births.launches import Launches
from services.runner.callers.masking import Masks
from services.runner.callers.requests import Requests
from services.runner.callers.standing import Standing
from services.runner.domain import Job, Reason, schedules
from services.runner.domain.schedules import Fired, Firing, FiringState, Overlap, Schedule
from services.runner.jobs.jobs import Jobs
from services.runner.jobs.tails import topic
from services.runner.ports.schedules import ScheduleStore
from services.runner.ports.store import JobStore
from services.runner.schedules.calendars import times_of
from services.runner.schedules.schedules import SCHEDULES, launch_of

log = structlog.get_logger()
_LOOK_AGAIN_S = 5.0
_DUE_MAX = 200
_AT_ONCE_MAX = 50
"""Launches that go on at once."""
_STALE_S = 30.0
"""Firings that nobody has settled for so long are looked at again: their runner is gone perhaps."""
_AGAIN_S = 0.5
_AGAIN_S_MAX = 8.0


class Firings:
    """The firings of this mesh's schedules."""

    def __init__(
        self,
        store: ScheduleStore,
        job_store: JobStore,
        launches: Launches,
        jobs: Jobs,
        standing: Standing,
        requests: Requests,
        masks: Masks,
        bus: Bus,
        tasks: Tasks,
        *,
        patience_s: float = 60.0,
        now: Callable[[], float] = clock.now,
    ) -> None:
        """`patience_s` is how long a launch is tried again that cannot be made for the moment."""
        self._store = store
        self._job_store = job_store
        self._launches = launches
        self._jobs = jobs
        self._standing = standing
        self._requests = requests
        self._masks = masks
        self._bus = bus
        self._tasks = tasks
        self._patience_s = patience_s
        self._now = now
        self._at_once = asyncio.Semaphore(_AT_ONCE_MAX)
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._fired: set[str] = set()
        """Schedules that may have fired since their firings were looked at."""
        """By schedule: one at a time."""
        self._apart = Apart("schedules")

    async def run(self) -> None:
        """Fire what is due, until cancelled.  Raises `Unavailable` if the store cannot be used now: begin anew."""
        async with self._bus.subscribe(SCHEDULES) as waker:
            stale_before = math.inf  # at first, all that a runner before us has begun
            while not waker.closed:
                await self.fire_due()
                for schedule_id in await self._store.unsettled(stale_before):
                    self._settle(schedule_id)
                stale_before = self._now() - _STALE_S
                next_at = await self._store.next_due()
                wait_s = _LOOK_AGAIN_S if next_at is None else next_at - self._now()
                # The clock may be set: it is looked at now and then, however far away the next tick is.
                await waker.wait(min(max(wait_s, self._apart.pause_s()), _LOOK_AGAIN_S))

    async def fire_due(self) -> None:
        """Decide of every tick that is due, and begin to launch.  A schedule that cannot be fired is stopped."""
        for schedule_id in await self._store.due(self._now(), _DUE_MAX):
            with self._apart(schedule_id), contextlib.suppress(NotFound):
                fired = await self._store.change(schedule_id, self._fire)
                if fired.firings:
                    self._settle(schedule_id)

    def _fire(self, schedule: Schedule, open_: Sequence[Firing]) -> Fired:
        try:
            return schedules.fire(schedule, open_, times_of(schedule), self._now())
        except Exception as error:  # its row, or a calendar that has changed since it was checked
            log.exception("a schedule cannot be fired: it is stopped", schedule=schedule.schedule_id)
            why = str(error) if isinstance(error, MeshError) else type(error).__name__
            return schedules.stop(schedule, (), f"its times cannot be told any more: {why}"[:1000], self._now())

    async def trigger(self, schedule: Schedule, user: str, request_id: str = "") -> Firing:
        """Fire now, as `user` asks; return the firing as it stands once it is launched, left out, failed or in line."""
        request = self._requests.made(user, request_id, "trigger", schedule.name)
        async with self._requests.one_at_a_time(request):
            if request is not None and (known := await self._requests.known(request)) is not None:
                return await self._store.firing(schedule.schedule_id, int(known))
            number = schedule.firing_count + 1

            def rule(before: Schedule, open_: Sequence[Firing]) -> Fired:
                if before.firing_count + 1 != number:
                    raise _Moved(before.firing_count + 1)
                return schedules.trigger(before, open_, self._now())

            while True:
                done = request and request.answered(str(number).encode())
                try:
                    fired = await self._store.change(schedule.schedule_id, rule, done)
                    break
                except _Moved as moved:
                    number = moved.number
                except AlreadyExists:  # the same request, a moment earlier, by another runner
                    if request is None or (known := await self._requests.known(request)) is None:
                        raise
                    return await self._store.firing(schedule.schedule_id, int(known))
        (made,) = fired.firings
        while made.state == FiringState.LAUNCHING:
            await asyncio.wait([self._settle(schedule.schedule_id)], timeout=_LOOK_AGAIN_S)
            made = await self._store.firing(schedule.schedule_id, made.number)
        return made

    # -- launching -----------------------------------------------------------------------------------------------

    def _settle(self, schedule_id: str) -> "asyncio.Task[None]":
        """Settle what a schedule has fired, one after another, unless that goes on already."""
        self._fired.add(schedule_id)
        if (task := self._settling.get(schedule_id)) is None:
            with acting(NOBODY):  # whoever triggered it: the owner launches
                task = self._tasks.spawn(self._settle_all(schedule_id), f"settle-{schedule_id}")
            self._settling[schedule_id] = task
        return task

    async def _settle_all(self, schedule_id: str) -> None:
        try:
            with self._apart(schedule_id):
                while schedule_id in self._fired:
                    self._fired.discard(schedule_id)
                    while open_ := await self._store.open_firings(schedule_id):
                        schedule = await self._store.get(schedule_id)
                        await self._settle_one(schedule, open_[0])
        except (NotFound, Unavailable):
            return  # it was deleted; or it is looked at again
        finally:
            self._fired.discard(schedule_id)
            del self._settling[schedule_id]

    async def _settle_one(self, schedule: Schedule, firing: Firing) -> None:
        try:
            await self._go_on(schedule, firing)
        except (NotFound, Unavailable):
            raise
        except Exception as error:
            log.exception("a firing of a schedule crashed", schedule=schedule.schedule_id)
            await self._failed(schedule, firing, Internal(f"the launch crashed: {type(error).__name__}"))

    async def _go_on(self, schedule: Schedule, firing: Firing) -> None:
        """Launch a firing's job, unless there is one, or none is to be beside the one before."""
        if await self._was_launched(schedule, firing):
            return
        previous = await self._previous(firing)
        if previous is not None and schedule.overlap == Overlap.SKIP:
            words = f"overlap: jobs/{previous.job_id} has not ended"
            await self._write(firing, FiringState.SKIPPED, words)
            return
        if previous is not None and schedule.overlap == Overlap.QUEUE_ONE:
            await self._write(firing, FiringState.QUEUED, f"waits for jobs/{previous.job_id}")
            await self._until_ended(previous.job_id)
        if previous is not None and schedule.overlap == Overlap.CANCEL_PREVIOUS:
            with contextlib.suppress(NotFound, Unavailable):  # it goes on being stopped; the next one need not wait
                await self._jobs.cancel(previous.job_id, Reason.USER_STOP)
        await self._launch(schedule.schedule_id, firing)

    async def _was_launched(self, schedule: Schedule, firing: Firing) -> bool:
        """Return whether a firing has a job; write that down then.

        Who has launched it may have crashed, may be another runner, or we, and the answer was lost.
        """
        made = self._requests.made(schedule.owner, firing.request_id)
        known = made and await self._job_store.request(made.owner, made.request_id)
        if not known:
            return False
        await self._write(firing, FiringState.LAUNCHED, job_id=known.answer.decode())
        return True

    async def _previous(self, firing: Firing) -> Job | None:
        """Return the job of the firing before, if it goes on."""
        before = await self._store.last_launched(firing.schedule_id, firing.number)
        if before is None:
            return None
        try:
            job = await self._job_store.get(before.job_id)
        except NotFound:
            return None
        return None if job.ended else job

    async def _until_ended(self, job_id: str) -> None:
        async with self._bus.subscribe(topic(job_id)) as waker:
            with contextlib.suppress(NotFound):
                while not (await self._job_store.get(job_id)).ended:
                    if waker.closed:
                        raise Unavailable("the runner stops")
                    await waker.wait(_LOOK_AGAIN_S)

    async def _launch(self, schedule_id: str, firing: Firing) -> None:
        """Launch a firing's job, again and again while it cannot be; write down what came of it."""
        until = asyncio.get_running_loop().time() + self._patience_s
        wait_s = _AGAIN_S
        while True:
            schedule = await self._store.get(schedule_id)
            try:
                async with self._at_once:
                    await self._attempt(schedule, firing)
                return
            except Unavailable as error:
                if asyncio.get_running_loop().time() >= until:
                    await self._failed(schedule, firing, error)
                    return
            except MeshError as error:
                await self._failed(schedule, firing, error)
                return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _AGAIN_S_MAX)

    async def _attempt(self, schedule: Schedule, firing: Firing) -> None:
        """Launch a firing's job as its owner; who is not good any more stops the schedule.  Raises as a launch does."""
        owner = await self._standing.of(schedule.owner, schedule.key_json)
        if isinstance(owner, str):
            for each in await self._store.open_firings(schedule.schedule_id):
                await self._was_launched(schedule, each)
            stop = functools.partial(_stopped, why=owner, now=self._now())
            await self._store.change(schedule.schedule_id, stop)
            return
        real = self._masks.unscheduled(schedule.schedule_id, schedule.inputs_json, schedule.sealed)
        job = await self._launches.create(launch_of(schedule, real, owner, firing.request_id))
        await self._write(firing, FiringState.LAUNCHED, job_id=job.job_id)

    async def _failed(self, schedule: Schedule, firing: Firing, error: MeshError) -> None:
        if await self._was_launched(schedule, firing):  # it failed behind that
            return
        said = f"{error.code.name}: {error}"
        if fields := getattr(error, "fields", None):
            said += "".join(f"; {name}: {', '.join(texts)}" for name, texts in fields.items())
        await self._write(firing, FiringState.FAILED, said[:1000])

    async def _write(self, firing: Firing, state: FiringState, message: str = "", *, job_id: str = "") -> None:
        """Write down where a firing stands, unless somebody has settled it already; that it has a job in any case."""

        def rule(schedule: Schedule, open_: Sequence[Firing]) -> Fired:
            mine = [firing] if job_id else [each for each in open_ if each.number == firing.number]
            settled = tuple(schedules.settled(each, state, self._now(), message, job_id) for each in mine)
            return Fired(schedule=schedule, firings=settled)

        await self._store.change(firing.schedule_id, rule)


class _Moved(Exception):
    """Another firing has taken the number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stopped(schedule: Schedule, open_: Sequence[Firing], *, why: str, now: float) -> Fired:
    return schedules.stop(schedule, open_, why, now)
