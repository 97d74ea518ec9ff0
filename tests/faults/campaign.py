"""A campaign: load, faults by plan, then what is left of the promises."""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import psutil

from agentmesh.client import Event, Job
from tests.faults import processes, promises, recovery, skews, vdso, watching
from tests.faults.grounds import Failure, Ground
from tests.faults.load import Load
from tests.faults.plan import LAZY, Fault, Kind
from tests.faults.promises import Broken

_SETTLE_S = 120.0


@dataclasses.dataclass(slots=True, kw_only=True)
class Outcome:
    """What a campaign has seen."""

    broken: Broken
    injected: Counter[tuple[str, str]]
    """By kind and part."""
    acknowledged: int
    ends: Counter[str]
    """How many jobs ended in which state."""
    recoveries: dict[str, list[float]]
    """By kind: how many seconds after each fault was over a job that was asked for since then had ended well."""
    watched: int
    """How many times somebody watched a job to its end."""
    took_s: float


class Campaign:
    """One run of a plan, with its data and log in `folder`."""

    def __init__(
        self,
        folder: pathlib.Path,
        faults: Sequence[Fault],
        ground: Ground,
        *,
        seed: int,
        submitters: int,
        pause_s: float,
        say: Callable[[str], None],
    ) -> None:
        """Each of the submitters rests for `pause_s` on average between two jobs; `say` hears what is done."""
        self._faults = faults
        self._seed = seed
        self._submitters = submitters
        self._pause_s = pause_s
        self._say = say
        self._ground = ground
        self._alone = {part: asyncio.Lock() for _, part in ground.failures}
        """Keeps two from doing something to one part of the ground at the same time."""
        self._clocks = asyncio.Lock()
        self.mesh = processes.Supervised(folder, ground.env, ground.hosts)
        self._broken = Broken()
        self._injected: Counter[tuple[str, str]] = Counter()
        self._over: list[tuple[str, float]] = []
        """Kinds of faults, and when each was over."""
        self._hit: set[int] = set()
        """Processes to which something is being done."""

    async def run(self) -> Outcome:
        """Carry it out.  Raises `processes.NotReady` if the mesh does not even start once, and `NotThere`."""
        vdso.library()
        begun = time.monotonic()
        await self.mesh.start()
        load = Load(self.mesh.url, self._seed, pause_s=self._pause_s, bootstrap=self._ground.bootstrap)
        people: list[asyncio.Task[None]] = []
        jobs: dict[str, Job] = {}
        try:
            await load.sign_in()
            await load.deploy()
            people = [asyncio.create_task(load.answer_locks()), asyncio.create_task(load.pay())]
            submitters = [asyncio.create_task(load.submit(number)) for number in range(self._submitters)]
            people += [*submitters, asyncio.create_task(load.pulse())]
            await self._inject()
            load.stopping.set()
            _, late = await asyncio.wait(submitters, timeout=_SETTLE_S)
            for task in late:
                self._broken.note(
                    "app", "what was asked for was not acknowledged within two minutes after the last fault"
                )
                task.cancel()
            await asyncio.gather(*submitters, return_exceptions=True)
            await load.sign_in()
            await promises.check_apps(load.client, self._broken)
            jobs = await promises.check_ends(load.client, load.submissions, self._broken)
            logs = await promises.check_logs(load.client, load.submissions, jobs, self._broken)
            await self._check_watches(load, logs)
            await promises.check_once(load.client, load.submissions, self._broken)
        finally:
            for task in people:
                task.cancel()
            await asyncio.gather(*people, return_exceptions=True)
            await load.aclose()
            code, left = await self.mesh.stop()
        if code != 0:
            self._broken.note("mesh", f"ended with {code}")
        self._note_left(left)
        return Outcome(
            broken=self._broken,
            injected=self._injected,
            acknowledged=sum(bool(submission.job) for submission in load.submissions),
            ends=Counter(f"{job.state} {job.reason}".strip() for job in jobs.values()),
            recoveries=recovery.times(self._over, load.pulses),
            watched=len(load.watches),
            took_s=time.monotonic() - begun,
        )

    async def _check_watches(self, load: Load, logs: dict[str, list[Event]]) -> None:
        """Wait until everybody has heard the ends of the jobs, and compare what they have heard."""
        if load.watching:
            await asyncio.wait(load.watching, timeout=_SETTLE_S)
        for heard in load.watches:
            if heard.job in logs:
                watching.check(heard, logs[heard.job], self._broken)

    async def _inject(self) -> None:
        """Carry out the plan; what lasts goes on beside what comes next.  Raises what does not get well again."""
        lasting: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            for fault in self._faults:
                await asyncio.sleep(fault.pause_s)
                self._say(str(fault))
                if fault.kind is Kind.RESTART:
                    if lasting:
                        await asyncio.wait(lasting)
                    await self._restart()
                    self._note_over(fault)
                    continue
                if (failure := self._ground.failures.get((fault.kind, fault.part))) is not None:
                    doing = self._fail(fault, failure)
                elif fault.kind in (Kind.SKEW, Kind.APART):
                    doing = self._skew(fault)
                elif (process := await self._choose(fault)) is not None:
                    doing = self._hit_one(fault, process)
                else:
                    continue
                task = group.create_task(doing)
                lasting.add(task)
                task.add_done_callback(lasting.discard)

    async def _fail(self, fault: Fault, failure: Failure) -> None:
        """Have something of the ground fail, for as long as the fault says."""
        async with self._alone[fault.part]:
            await asyncio.to_thread(failure.begin, fault)
            try:
                await asyncio.sleep(fault.duration_s)
            finally:
                await asyncio.to_thread(failure.end)
        self._note_over(fault)

    async def _skew(self, fault: Fault) -> None:
        """Set clocks wrong; that nobody was told a wrong time breaks a promise, too: the campaign's."""

        def machines() -> Iterable[skews.Machine]:
            if fault.kind is Kind.SKEW:
                return skews.of_all(self.mesh.named(but=self._ground.hosts))
            return skews.of_each(fault.part, self.mesh.find(fault.part))

        async with self._clocks:
            for name in await skews.skew(fault, machines, self.mesh.named):
                self._broken.note("clock", f"{name}: nobody was told a wrong time by {fault}")
        self._note_over(fault)

    async def _choose(self, fault: Fault) -> psutil.Process | None:
        """Return one of the part's processes that nothing is being done to; wait for one if need be.

        None: there is none, as the part is only started when somebody needs it, or does not come back.
        """
        try:
            async with asyncio.timeout(0.5 if fault.part in LAZY else promises.BACK_S):
                while True:
                    found = [process for process in self.mesh.find(fault.part) if process.pid not in self._hit]
                    if found:
                        return found[int(fault.choice * len(found))]
                    await asyncio.sleep(0.05)
        except TimeoutError:
            if fault.part not in LAZY:
                self._broken.note("app", f"no {fault.part} within {promises.BACK_S:g} s: {fault}")
            return None

    async def _hit_one(self, fault: Fault, process: psutil.Process) -> None:
        self._hit.add(process.pid)
        try:
            with contextlib.suppress(psutil.Error, OSError):  # it ended by itself a moment ago
                await processes.hit(fault, process)
                self._note_over(fault)
        finally:
            self._hit.discard(process.pid)

    async def _restart(self) -> None:
        self._note_left(await self.mesh.kill())
        await self.mesh.start()

    def _note_over(self, fault: Fault) -> None:
        self._injected[(fault.kind, fault.part)] += 1
        self._over.append((fault.kind, time.monotonic()))

    def _note_left(self, left: Sequence[psutil.Process]) -> None:
        for process in left:
            with contextlib.suppress(psutil.Error):
                self._broken.note("orphan", f"{process.pid} {process.name()}")
                process.kill()
