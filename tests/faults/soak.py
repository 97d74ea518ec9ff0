"""`python -m tests.faults.soak --minutes 30`: a mesh at steady load, and whether anything of it grows; 1 if so.

Every process is looked at once in a while: memory that is its own, descriptors, threads; and what the databases have
in their logs of writes.  What it has at the end is held against what it had once it was warm, by medians of a quarter
of the time, so that a moment does not count.  Bounds are those of `BOUNDS`.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

import psutil

from tests.faults import processes, promises
from tests.faults.grounds import GROUNDS
from tests.faults.load import Load
from tests.faults.promises import Broken

MIB = 1024 * 1024
WAL = "wal"


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """How much something may grow: by a share of what it was, and by so much besides in any case."""

    share: float
    by: float
    unit: float
    """In what it is shown."""


BOUNDS = {
    "memory": Bound(0.1, 8 * MIB, MIB),
    "descriptors": Bound(0.1, 8, 1),
    "threads": Bound(0.0, 4, 1),
    WAL: Bound(0.1, 32 * MIB, MIB),
}
"""SQLite begins its log anew at 4 MiB for each of five services; PostgreSQL's segments have 16 MiB each."""

Sample = dict[tuple[str, str], float]
"""What was seen at one time, by process (`runner 123`) and measure."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What became of one measure of one process."""

    who: str
    measure: str
    warm: float
    end: float

    @property
    def is_beyond(self) -> bool:
        """Whether it has grown beyond its bound."""
        bound = BOUNDS[self.measure]
        return self.end > self.warm * (1 + bound.share) + bound.by

    def __str__(self) -> str:
        unit = BOUNDS[self.measure].unit
        beyond = "  BEYOND ITS BOUND" if self.is_beyond else ""
        return f"{self.who:20} {self.measure:12} {self.warm / unit:9.1f} -> {self.end / unit:9.1f}{beyond}"


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Return what became of all that was there from the second quarter on: the first one warms up."""
    quarter = len(samples) // 4
    warm, last = samples[quarter : 2 * quarter], samples[-quarter:]
    always = [key for key in samples[quarter] if all(key in sample for sample in samples[quarter:])]
    return [
        Growth(
            who=who,
            measure=measure,
            warm=statistics.median(sample[who, measure] for sample in warm),
            end=statistics.median(sample[who, measure] for sample in last),
        )
        for who, measure in always
    ]


def sample(mesh: processes.Supervised, wal: Sequence[pathlib.Path]) -> Sample:
    """Look at every process of a mesh, and at its logs of writes."""
    seen: Sample = {}
    for part, process in mesh.named():
        with contextlib.suppress(psutil.Error, OSError):
            who = f"{part} {process.pid}"
            memory = process.memory_full_info().uss
            descriptors, threads = process.num_fds(), process.num_threads()
            seen |= {(who, "memory"): memory, (who, "descriptors"): descriptors, (who, "threads"): threads}
    files = [path for folder in wal for path in folder.glob("**/*") if _is_wal(path)]
    with contextlib.suppress(FileNotFoundError):  # it has just been begun anew
        seen["all", WAL] = sum(path.stat().st_size for path in files)
    return seen


def _is_wal(path: pathlib.Path) -> bool:
    """Return whether a file is a log of writes, of SQLite or of PostgreSQL."""
    return path.name.endswith("-wal") or path.parent.name == "pg_wal"


@dataclasses.dataclass(slots=True, kw_only=True)
class Soaked:
    """What a soak has seen."""

    growths: list[Growth]
    broken: Broken
    jobs: int
    samples: int


async def soak(folder: pathlib.Path, shape: str, *, took_s: float, every_s: float, pause_s: float = 0.2) -> Soaked:
    """Load a mesh for so long; four submitters rest for `pause_s` on average between two jobs."""
    broken = Broken()
    samples: list[Sample] = []
    with GROUNDS[shape]() as ground:
        mesh = processes.Supervised(folder, ground.env, ground.hosts)
        await mesh.start()
        load = Load(mesh.url, 1, pause_s=pause_s, bootstrap=ground.bootstrap)
        people: list[asyncio.Task[None]] = []
        try:
            await load.sign_in()
            await load.deploy()
            people = [asyncio.create_task(load.answer_locks()), asyncio.create_task(load.pay())]
            submitters = [asyncio.create_task(load.submit(number)) for number in range(4)]
            people += submitters
            end = time.monotonic() + took_s
            while time.monotonic() < end:
                samples.append(await asyncio.to_thread(sample, mesh, [mesh.data_dir, *ground.folders]))
                await asyncio.sleep(every_s)
            load.stopping.set()
            await asyncio.gather(*submitters)
            jobs = await promises.check_ends(load.client, load.submissions, broken)
            await promises.check_logs(load.client, load.submissions, jobs, broken)
        finally:
            for task in people:
                task.cancel()
            await asyncio.gather(*people, return_exceptions=True)
            await load.aclose()
            await mesh.stop()
    return Soaked(growths=growths(samples), broken=broken, jobs=len(load.submissions), samples=len(samples))


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--shape", choices=list(GROUNDS), default="embedded", help="what the mesh stands on")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agentmesh-soak-") as name:
        took_s = arguments.minutes * 60
        seen = asyncio.run(soak(pathlib.Path(name), arguments.shape, took_s=took_s, every_s=arguments.every))
    print(f"{arguments.shape}: {seen.jobs} jobs in {arguments.minutes:g} minutes, looked at {seen.samples} times")
    for growth in sorted(seen.growths, key=lambda growth: (growth.measure, growth.who)):
        print(f"  {growth}")
    for promise, what in seen.broken.seen.items():
        for each in what:
            print(f"  {promise}: {each}")
    return 1 if seen.broken.count or any(growth.is_beyond for growth in seen.growths) else 0


if __name__ == "__main__":
    sys.exit(main())
