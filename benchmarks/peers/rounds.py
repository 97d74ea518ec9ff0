"""A round: what it takes to start jobs, to see them end, to run many, and to be asked, for everybody in turn."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.figures import median
from benchmarks.http import Failed, Http
from benchmarks.peers.ways import Way

ACCEPTED = "accepted"
FINISHED = "finished"
FEW_SUBMITTERS = 8
MANY_SUBMITTERS = 32
FEW = f"{FEW_SUBMITTERS} submitters"
MANY = f"{MANY_SUBMITTERS} submitters"
STATUSES = "status GETs"
CPU = "CPU of a job"
EMITTED = "events emitted"
UNITS = {ACCEPTED: "ms", FINISHED: "ms", FEW: "jobs/s", MANY: "jobs/s", STATUSES: "1/s", CPU: "ms", EMITTED: "events/s"}
"""Every figure of a round, in the order of a report."""
_CONNECTIONS = 8
Round = Mapping[str, Mapping[str, float]]
"""What was measured in one round: by way, then by figure."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server that runs, and one way to run jobs on it."""

    way: Way
    url: str
    pid: int
    """Of the server; what it started counts as its own."""
    key: str = ""

    def connect(self) -> Http:
        """Return a connection to open."""
        return Http(self.url, self.key)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a round does."""

    sequential: int = 40
    jobs: int = 160
    polling_s: float = 2.0

    def of(self, way: Way) -> "Size":
        """Return the size for a way: a slow one runs fewer jobs."""
        if not way.slow:
            return self
        return Size(sequential=max(3, self.sequential // 8), jobs=max(8, self.jobs // 8), polling_s=self.polling_s)


Measure = Callable[[Contender, Size], Awaitable[dict[str, float]]]
"""Returns figures of one contender."""
WARM_UP = Size(sequential=5, jobs=16, polling_s=0.3)
TROUBLE = (Failed, OSError, TimeoutError, asyncio.IncompleteReadError, ExceptionGroup)
"""What a server that does not do what it should makes a measurement raise."""


async def play(
    contenders: Sequence[Contender], size: Size, first: int, steps: Sequence[Measure] | None = None
) -> tuple[Round, dict[Contender, Exception]]:
    """Measure everybody; return the figures by way, and who failed and how.

    Whoever is `first` begins each step, and the others follow in turn: what is compared lies seconds apart.  Without
    `steps` everything is measured.
    """
    measured: dict[str, dict[str, float]] = {}
    failed: dict[Contender, Exception] = {}
    for step in steps or (one_by_one, few, many, statuses):
        for contender in [*contenders[first:], *contenders[:first]]:
            if contender not in failed:
                try:
                    found = await step(contender, size.of(contender.way))
                except TROUBLE as error:
                    failed[contender] = error
                else:
                    measured.setdefault(contender.way.name, {}).update(found)
    # A round without one of its figures would be compared as if it had been whole.
    return {way: found for way, found in measured.items() if way not in {c.way.name for c in failed}}, failed


async def one_by_one(contender: Contender, size: Size) -> dict[str, float]:
    """Run jobs one after the other: how long each takes to be accepted, and to be seen as finished."""
    accepted_ms, finished_ms = [], []
    async with contender.connect() as http:
        for _ in range(size.sequential):
            started = time.perf_counter()
            status_path = await contender.way.start(http)
            accepted_ms.append((time.perf_counter() - started) * 1000)
            await contender.way.wait(http, status_path)
            finished_ms.append((time.perf_counter() - started) * 1000)
    return {ACCEPTED: median(accepted_ms), FINISHED: median(finished_ms)}


async def few(contender: Contender, size: Size) -> dict[str, float]:
    """Run jobs for some submitters."""
    return {FEW: await _rate(contender, size.jobs, FEW_SUBMITTERS)}


async def many(contender: Contender, size: Size) -> dict[str, float]:
    """Run jobs for many submitters, and see what the server and all that it started compute meanwhile."""
    before_s = machine.spent_s(contender.pid)
    found = {MANY: await _rate(contender, size.jobs, MANY_SUBMITTERS)}
    cpu_s = machine.spent_s(contender.pid)
    cpu_s.subtract(before_s)
    found[CPU] = cpu_s.total() / size.jobs * 1000
    return found | {f"{CPU} in {name}": seconds / size.jobs * 1000 for name, seconds in cpu_s.items()}


async def _rate(contender: Contender, jobs: int, submitters: int) -> float:
    """Start jobs as fast as so many submitters can; return how many ended per second, from first start to last end."""
    left = iter(range(jobs))
    status_paths: list[str] = []

    async def submit(http: Http) -> None:
        for _ in left:
            status_paths.append(await contender.way.start(http))

    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(contender.connect()) for _ in range(submitters)]
        started = time.perf_counter()
        await _all(submit(http) for http in connections)
        ended = await _last_end(contender.way, connections[0], status_paths)
    return jobs / (ended - started)


async def _last_end(way: Way, http: Http, status_paths: list[str]) -> float:
    """Return when the last job was seen to end.

    The newest is waited for first: by then the others have ended too, as a rule, and to find that out takes no time
    that would count.
    """
    await way.wait(http, status_paths[-1])
    ended = time.perf_counter()
    for status_path in reversed(status_paths[:-1]):
        if not await way.has_ended(http, status_path):
            await way.wait(http, status_path)
            ended = time.perf_counter()
    return ended


async def statuses(contender: Contender, size: Size) -> dict[str, float]:
    """Ask for the status of a finished job from several connections at once."""
    answered = 0
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(contender.connect()) for _ in range(_CONNECTIONS)]
        status_path = await contender.way.start(connections[0])
        await contender.way.wait(connections[0], status_path)
        started = time.perf_counter()

        async def ask(http: Http) -> None:
            nonlocal answered
            while time.perf_counter() - started < size.polling_s:
                await contender.way.has_ended(http, status_path)
                answered += 1

        await _all(ask(http) for http in connections)
        return {STATUSES: answered / (time.perf_counter() - started)}


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it all at once; the first failure ends the rest."""
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)
