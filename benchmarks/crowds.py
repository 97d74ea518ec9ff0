"""Crowds of jobs that wait, and the people who started them: shared by the benchmarks of waiting.

A mesh that is asked for thousands of jobs may say "later" (429, 503): the submitters are patient, and how often they
had to be is part of the figure.  A crowd that stops growing is a failure that says how far it came, and what became of
the rest.
"""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from agentmesh.client import AsyncClient, Lock
from agentmesh.testing import Mesh
from benchmarks import machine
from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Failed, Http, Refused

SUBMITTERS = 8
IDLE_S = 10.0
PENDING = "pending"
LATER = frozenset({429, 502, 503})
"""Statuses that ask to try again."""
_SETTLE_S = 5.0
_PATIENCE_S = 60.0
"""How long a POST is tried again, and how long a crowd may stand still."""
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 2.0


class Later(Failed):
    """A job was not taken now; another attempt may succeed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What submitters have done."""

    ids: Sequence[str]
    tried_again: int
    """How many POSTs were refused for now and sent again."""

    @property
    def note(self) -> str:
        """What to say of it in a figure."""
        return f"; {self.tried_again} POSTs were asked to come again" if self.tried_again else ""


def start_job(number: int, inputs: dict[str, str]) -> dict[str, Any]:
    """Return the body of a `start_job`, of a purchaser of its own."""
    return {"identifier_from_purchaser": f"{number:026x}", "input_data": inputs}


def job_id(answer: Any) -> str:
    """Return the id that a `start_job` answers.  Raises `Later` if it took no job: the dialect says that with a 201."""
    if not answer.get("job_id"):
        raise Later(f"start_job answered {answer}")
    return str(answer["job_id"])


async def start(url: str, key: str, path: str, bodies: Iterable[dict[str, Any]], read: Callable[[Any], str]) -> Started:
    """Start a job for each body, several at once.

    `read` takes an id from an answer, and raises `Later` if the job was not taken.  Raises `Failed`.
    """
    left = iter(bodies)
    ids: list[str] = []
    tried_again = 0

    async def submit() -> None:
        nonlocal tried_again
        async with Http(url, key) as http:
            for body in left:
                later: Exception | None = None
                for pause_s in _pauses():
                    try:
                        ids.append(await _take(http, path, body, read))
                        break
                    except Later as error:
                        later = error
                    tried_again += 1
                    await asyncio.sleep(pause_s)
                else:
                    raise Failed(f"for {_PATIENCE_S:g} s: {later}")

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(SUBMITTERS):
                group.create_task(submit())
    except ExceptionGroup as trouble:
        raise Failed(f"after {len(ids)} jobs, {tried_again} tried again: {trouble.exceptions[0]}") from trouble
    return Started(ids=ids, tried_again=tried_again)


async def _take(http: Http, path: str, body: dict[str, Any], read: Callable[[Any], str]) -> str:
    try:
        return read(await http.json("POST", path, body))
    except Refused as refused:
        if refused.status in LATER:
            raise Later(str(refused)) from refused
        raise


def _pauses() -> Iterator[float]:
    """Yield pauses between attempts, longer each time, until patience is at its end."""
    until = time.perf_counter() + _PATIENCE_S
    for attempt in itertools.count():
        pause_s = min(_PAUSE_FIRST_S * 2**attempt, _PAUSE_MAX_S) * random.uniform(0.5, 1.5)
        if time.perf_counter() + pause_s > until:
            return
        yield pause_s


async def pending(client: AsyncClient, wanted: int) -> list[Lock]:
    """Wait until so many locks are pending; return them.  Raises `Failed` when for a while none is added."""
    found: dict[str, Lock] = {}
    async with contextlib.aclosing(client.watch_locks()) as changes:
        while len(found) < wanted:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    lock = await anext(changes)
            except (TimeoutError, StopAsyncIteration):
                raise Failed(
                    f"{len(found)} of {wanted} jobs wait on a lock, and no more came; {await _census(client)}"
                ) from None
            if lock.state == PENDING:
                found[lock.name] = lock
            else:  # its job has ended
                found.pop(lock.name, None)
    return list(found.values())


async def _census(client: AsyncClient) -> str:
    fates = collections.Counter([" by ".join(filter(None, (job.state, job.reason))) async for job in client.jobs()])
    return "jobs are " + ", ".join(f"{count} {fate}" for fate, count in fates.most_common())


async def idle(mesh: Mesh, what: str, who: str) -> Figure:
    """Measure what all processes of a mesh compute while nothing happens; `who` waits."""
    await asyncio.sleep(_SETTLE_S)  # not waiting for a state: what went before may still be written away
    before = machine.cpu_s(mesh.process.pid)
    started = time.perf_counter()
    await asyncio.sleep(IDLE_S)
    used = machine.used(before, machine.cpu_s(mesh.process.pid))
    share = 100 / (time.perf_counter() - started)
    top = ", ".join(f"{name} {seconds * share:.1f} %" for name, seconds in used.most_common(3) if seconds)
    return Figure(
        name=f"CPU while {what} wait",
        value=used.total() * share,
        unit="% of a core",
        target=2,
        note=f"{who}, {IDLE_S:g} s: {top}",
    )


async def answered(client: AsyncClient, url: str, key: str, locks: Sequence[Lock], what: str, who: str) -> list[Figure]:
    """Answer locks one after the other, and ask for the statuses of their jobs, while `who` waits."""
    answer_ms, end_ms, status_ms = [], [], []
    async with Http(url, key) as http:
        for number, lock in enumerate(locks):
            started = time.perf_counter()
            await client.answer(lock.name, {"greeting": f"Hello {number}"})
            answer_ms.append((time.perf_counter() - started) * 1000)
            await client.wait(lock.job)
            end_ms.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            await http.json("GET", f"/sumi/status/{lock.job.removeprefix('jobs/')}")
            status_ms.append((time.perf_counter() - started) * 1000)
    note = f"{len(locks)} one after the other, while {who} wait"
    return [
        Figure(name=f"answer of {what} p50", value=median(answer_ms), unit="ms", target=50, note=note),
        Figure(name=f"answer of {what} p99", value=percentile(answer_ms, 99), unit="ms", note=note),
        Figure(name=f"answer of {what} to job's end p50", value=median(end_ms), unit="ms", note=note),
        Figure(name=f"status of {what} p50", value=median(status_ms), unit="ms", target=50, note=note),
    ]


def say(text: str) -> None:
    """Tell whoever watches how far it is."""
    print(f"  {text}, on {os.cpu_count()} cores", file=sys.stderr, flush=True)
