"""Clocks of machines that are wrong for a while: which processes are on one, and whether they heard the wrong time."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import psutil

from tests.faults import vdso
from tests.faults.plan import Fault, Kind

WRONG_S = (-3600, -300, -20, 20, 300, 3600)
"""How far: as when a machine has slept, or has just asked what the time is."""
_LOOK_S = 0.5
_REACHED_S = 45.0
"""How long it may take until somebody on a machine asks for the time: one that stands still does not."""

Named = tuple[str, psutil.Process]


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """Processes that have one clock; not all need be known by name."""

    name: str
    processes: tuple[psutil.Process, ...]


def of_all(named: Iterable[Named]) -> Iterator[Machine]:
    """Yield all processes, each by itself, so that the time must have reached each that has a name."""
    for name, process in named:
        yield Machine(f"{name} {process.pid}" if name in _ASKING else "", (process,))


_ASKING = ("runner", "auth", "registry", "payments", "ledger", "gateway", "edge")
"""Who asks for the time again and again, whatever happens."""


def of_each(part: str, processes: Sequence[psutil.Process]) -> Iterator[Machine]:
    """Yield each process of a part with all that it has started."""
    seen: set[int] = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.pid not in seen:
                machine = Machine(f"{part} {process.pid}", (process, *process.children(recursive=True)))
                seen.update(process.pid for process in machine.processes)
                yield machine


async def skew(
    fault: Fault, machines: Callable[[], Iterable[Machine]], everybody: Callable[[], Iterable[Named]]
) -> list[str]:
    """Set clocks wrong for as long as a fault says; return the machines that the wrong time has not reached.

    Those of processes that begin meanwhile, too.  Where clocks are to be apart, every other machine is as slow as the
    rest are fast, and after half of the time the other way round.  Then `everybody` has the right time.  Raises
    `PermissionError`.
    """
    by_s = WRONG_S[int(fault.choice * len(WRONG_S))]
    counts: dict[int, int] = {}
    """By process: how often it was told a wrong time before."""
    unreached: set[str] = set()
    reached: set[str] = set()
    begun = time.monotonic()
    try:
        while True:
            now = time.monotonic() - begun
            signs = (1, -1) if now < fault.duration_s / 2 else (-1, 1)
            found = await asyncio.to_thread(lambda: list(machines()))
            for number, machine in enumerate(found):
                sign = 1 if fault.kind is Kind.SKEW else signs[number % 2]
                if await asyncio.to_thread(_set, machine, sign * by_s, counts):
                    reached.add(machine.name)
            unreached = {machine.name for machine in found} - reached - {""}
            if now > fault.duration_s and (not unreached or now > fault.duration_s + _REACHED_S):
                return sorted(unreached)
            await asyncio.sleep(_LOOK_S)
    finally:
        await asyncio.to_thread(_set_right, everybody)


def _set(machine: Machine, by_s: int, counts: dict[int, int]) -> bool:
    """Set the clock of all on a machine; return whether one of them has been told a wrong time since it was."""
    reached = False
    for process in machine.processes:
        with contextlib.suppress(ProcessLookupError, psutil.Error):
            if vdso.clock_of(process.pid) != by_s and process.is_running():
                vdso.set_clock(process.pid, by_s)
            told = vdso.told_wrong(process.pid)
            reached |= told > counts.setdefault(process.pid, told)
    return reached


def _set_right(everybody: Callable[[], Iterable[Named]]) -> None:
    """Set the clocks of all right, what was forked meanwhile from one that was wrong, too."""
    wrong = True
    while wrong:
        wrong = False
        for _, process in everybody():
            with contextlib.suppress(ProcessLookupError, psutil.Error):
                if vdso.clock_of(process.pid) != 0 and process.is_running():
                    vdso.set_clock(process.pid, 0)
                    wrong = True
