"""What a mesh loses as jobs pile up: the same requests against a thousand stored jobs, and up to a million.

Two meshes stand side by side, one with the fewest jobs and one with more.  Each request goes to one and then to the
other, and what counts is the ratio: a machine that is slow for a while is slow for both.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import pathlib
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from agentmesh.testing import Mesh, running_mesh
from benchmarks.apps import FORM, IMPORT_PATHS, ROOT
from benchmarks.figures import Figure, median
from benchmarks.http import Failed, Http, login
from benchmarks.peers.ways import panel
from benchmarks.report import number
from benchmarks.seeding import copy_id, flush, marked, seed
from services.runner.stores.sqlite import index

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RATIO = 1.2
MARKER = "7370000"
"""The text of the job that is copied; each copy has a number of that length in its place."""
ASKED = 100
"""How often each mesh is asked the same."""
_WARM_UP = 5
SEARCHERS = 8
"""Users who search meanwhile, in the second half: each rests for `_REST_S` between two searches."""
_REST_S = 1.0
_BUDGET_S = 20.0
"""For one request at one size: what takes longer is asked less often, but at least `_ASKED_MIN` times."""
_ASKED_MIN = 5
_READY_WITHIN_S = 300.0
_DATABASE = "runner.db"
_STEPS = 20
"""Of the indexing, in one transaction."""
_WAY = panel(FORM)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A connection to a mesh that keeps copies of a job."""

    http: Http
    job_id: str
    jobs: int
    chance: random.Random

    def old(self) -> str:
        """Return one of the copies."""
        return copy_id(self.job_id, self.chance.randint(1, self.jobs))

    def word(self) -> str:
        """Return what is said in one copy only."""
        return marked(MARKER, self.chance.randint(1, self.jobs))


async def _launch(stored: Stored) -> None:
    await _WAY.start(stored.http)


async def _status(stored: Stored) -> None:
    await stored.http.json("GET", f"/outputs/status/{stored.old()}")


async def _flows(stored: Stored) -> None:
    await stored.http.json("GET", "/flow")


async def _timeline(stored: Stored) -> None:
    await _page(stored, "")


async def _deep(stored: Stored) -> None:
    await _page(stored, f"&offset={stored.old()}", some=False)  # the oldest has nothing before it


async def _search(stored: Stored) -> None:
    await _page(stored, f"&q={stored.word()}")


async def _page(stored: Stored, more: str, *, some: bool = True) -> None:
    answer = await stored.http.json("GET", f"/timeline/list?pp=50{more}")
    if some and not answer["items"]:
        raise Failed(f"the timeline is empty for {more or 'everything'}")


_REQUESTS: dict[str, Callable[[Stored], Awaitable[None]]] = {
    "launch": _launch,
    "status of an old job": _status,
    "flow list": _flows,
    "timeline": _timeline,
    "timeline, any page": _deep,
    "search for one job": _search,
}
_WHILE_SEARCHING = ("launch", "status of an old job", "timeline")


def measure() -> list[Figure]:
    """Fill meshes with jobs and ask them; report how much longer the fullest takes than the emptiest."""
    took_ms: dict[str, dict[int, tuple[float, float]]] = {
        name: {} for name in (*_REQUESTS, *map(_while_searching, _WHILE_SEARCHING))
    }
    ready_s: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        small, full = pathlib.Path(name) / "small", pathlib.Path(name) / "full"
        job_id = _copied_job(small)
        _fill(small / _DATABASE, job_id, range(1, SIZES[0] + 1))
        shutil.copytree(small, full)
        with _mesh(small) as few:
            for fewer, jobs in itertools.pairwise(SIZES):
                started = time.perf_counter()
                _fill(full / _DATABASE, job_id, range(fewer + 1, jobs + 1))
                print(f"  {jobs:,} jobs, seeded in {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
                started = time.perf_counter()
                with _mesh(full) as many:
                    ready_s[jobs] = time.perf_counter() - started
                    found = asyncio.run(_compare(few, many, job_id, jobs))
                for request, pair in found.items():
                    took_ms[request][jobs] = pair
    figures = [_figure(request, pairs) for request, pairs in took_ms.items()]
    note = ", ".join(f"{jobs:,}: {number(took_s)}" for jobs, took_s in ready_s.items())
    return [*figures, Figure(name=f"ready with {SIZES[-1]:,} jobs", value=ready_s[SIZES[-1]], unit="s", note=note)]


def _copied_job(data_dir: pathlib.Path) -> str:
    """Run the job that is copied, on a mesh that keeps it in a folder; return its id."""
    with _mesh(data_dir) as mesh:
        mesh.deploy(FORM, IMPORT_PATHS[FORM])
        job = mesh.client.run(FORM, {"text": MARKER})
    return job.name.removeprefix("jobs/")


def _fill(database: pathlib.Path, job_id: str, ages_s: range) -> None:
    """Copy the job, and let the store index the copies as it does with what ran: it finds them in the same way."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        index.withdraw(connection, job_id)
        index.enlist(connection, job_id)  # the copies are then listed too
    seed(database, job_id, MARKER, ages_s)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        more = True
        while more:
            connection.execute("BEGIN")
            more = _index_some(connection)
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    flush(database)


def _index_some(connection: sqlite3.Connection) -> bool:
    """Index some of the jobs; return False if nothing was left to do."""
    more = False
    for _ in range(_STEPS):
        entries = index.waiting(connection)
        index.index(connection, entries)
        more = index.merge(connection) or bool(entries)
    return more


@contextlib.contextmanager
def _mesh(data_dir: pathlib.Path) -> Iterator[Mesh]:
    with running_mesh(data_dir=data_dir, cwd=ROOT, timeout_s=_READY_WITHIN_S) as mesh:
        yield mesh


async def _compare(few: Mesh, many: Mesh, job_id: str, jobs: int) -> dict[str, tuple[float, float]]:
    """Ask both meshes in turn; return the medians by request, in ms: with few jobs, with many."""
    chance = random.Random(jobs)  # the same old jobs in each run
    async with (
        Http(few.url, await login(few.url)) as http_few,
        Http(many.url, await login(many.url)) as http_many,
    ):
        pair = (
            Stored(http=http_few, job_id=job_id, jobs=SIZES[0], chance=chance),
            Stored(http=http_many, job_id=job_id, jobs=jobs, chance=chance),
        )
        quiet = {name: await _in_turn(ask, pair) for name, ask in _REQUESTS.items()}
        async with _searching(few, many, pair):
            busy = {_while_searching(name): await _in_turn(_REQUESTS[name], pair) for name in _WHILE_SEARCHING}
        return {**quiet, **busy}


@contextlib.asynccontextmanager
async def _searching(few: Mesh, many: Mesh, pair: tuple[Stored, Stored]) -> AsyncIterator[None]:
    """Let users search on both meshes for the length of the block."""

    keys = {mesh.url: await login(mesh.url) for mesh in (few, many)}

    async def search(mesh: Mesh, stored: Stored) -> None:
        async with Http(mesh.url, keys[mesh.url]) as http:
            own = dataclasses.replace(stored, http=http)
            while True:
                await _search(own)
                await asyncio.sleep(_REST_S)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(search(mesh, stored))
            for mesh, stored in zip((few, many), pair, strict=True)
            for _ in range(SEARCHERS)
        ]
        yield
        for task in tasks:
            task.cancel()


def _while_searching(name: str) -> str:
    return f"{name}, while {SEARCHERS} users search"


async def _in_turn(ask: Callable[[Stored], Awaitable[None]], pair: tuple[Stored, Stored]) -> tuple[float, float]:
    took_ms: tuple[list[float], list[float]] = ([], [])
    begun = time.perf_counter()
    for turn in range(-_WARM_UP, ASKED):
        if turn >= _ASKED_MIN and time.perf_counter() - begun > _BUDGET_S:
            break
        for stored, took in zip(pair, took_ms, strict=True):
            started = time.perf_counter()
            await ask(stored)
            if turn >= 0:
                took.append((time.perf_counter() - started) * 1000)
    return median(took_ms[0]), median(took_ms[1])


def _figure(request: str, pairs: dict[int, tuple[float, float]]) -> Figure:
    few, many = pairs[SIZES[-1]]
    sizes = ", ".join(f"{jobs:,}: {number(more / less)}x" for jobs, (less, more) in pairs.items())
    return Figure(
        name=f"{request}, {SIZES[-1]:,} to {SIZES[0]:,} jobs",
        value=many / few,
        unit="x",
        target=RATIO,
        note=f"p50 {number(many)} : {number(few)} ms; {sizes}",
    )
