"""`python -m benchmarks.peers [--rounds N] [--only WAY...] [--json FILE]`: measure, print ratios, write JSON."""

import argparse
import asyncio
import contextlib
import pathlib
import sys
from collections.abc import Sequence

from agentmesh.client import MeshError
from agentmesh.testing import Mesh, running_mesh
from benchmarks import report
from benchmarks.figures import Figure
from benchmarks.http import Failed, Refused, login
from benchmarks.peers import contest, servers, ways
from benchmarks.peers.rounds import WARM_UP, Contender, Size, measure

ROUNDS = 5
_UNKNOWN = 404
_TROUBLE = (Failed, OSError, TimeoutError, ExceptionGroup)


def main() -> int:
    """Return 0 unless something could not be measured."""
    names = [ways.DBOS.name, ways.LANGGRAPH.name, *(way.name for _, way in ways.OURS)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--only", nargs="*", choices=names, default=names, metavar="WAY", help=", ".join(names))
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures; default: benchmarks/results/")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        contenders, absent = _start(stack, arguments.only)
        rounds, failures = asyncio.run(_rounds(contenders, arguments.rounds))
    ours = [way.name for _, way in ways.OURS]
    figures = [figure for name in ours for figure in contest.compare(rounds, name)]
    plain = [figure for name in names for figure in contest.absolute(rounds, name)]
    report.show([*figures, *absent, *failures], "agentmesh beside its peers (ratio ours : theirs, median of rounds)")
    report.show(plain, "the same as measured")
    report.write([*figures, *absent, *failures, *plain], arguments.json, {"rounds": rounds})
    return 1 if failures else 0


def _start(stack: contextlib.ExitStack, only: Sequence[str]) -> tuple[list[Contender], list[Figure]]:
    """Start what is needed for the chosen ways; return who takes part, and what this mesh does not serve."""
    contenders: list[Contender] = []
    absent: list[Figure] = []
    unloadable: dict[str, str] = {}
    for way, server in ((ways.DBOS, servers.dbos), (ways.LANGGRAPH, servers.langgraph)):
        if way.name in only:
            url, pid = stack.enter_context(server())
            contenders.append(Contender(way=way, url=url, pid=pid))
    chosen = [(expose, way) for expose, way in ways.OURS if way.name in only]
    if chosen:
        mesh = stack.enter_context(running_mesh(cwd=pathlib.Path(__file__).parents[2]))
        key = asyncio.run(login(mesh.url))
        for expose in dict.fromkeys(expose for expose, _ in chosen):
            unloadable |= _deploy(mesh, expose)
        for expose, way in chosen:
            contender = Contender(way=way, url=mesh.url, pid=mesh.process.pid, key=key)
            why_not = unloadable.get(expose) or asyncio.run(_trial(contender))
            if why_not:
                absent.append(Figure.not_served(way.name, why_not))
            else:
                contenders.append(contender)
    return contenders, absent


def _deploy(mesh: Mesh, expose: str) -> dict[str, str]:
    """Expose an app; return why this mesh cannot load it, by its expose."""
    try:
        mesh.deploy(expose, ways.APPS[expose])
    except MeshError as error:
        return {expose: f"the app cannot be loaded: {error}"}
    return {}


async def _trial(contender: Contender) -> str:
    """Run one job; return why the mesh does not know this way, or nothing.  What else fails, fails in the rounds."""
    try:
        async with contender.connect() as http:
            await contender.way.start(http)
    except Refused as error:
        if error.status == _UNKNOWN:
            return f"{error.request} answers {error.status}"
    return ""


async def _rounds(contenders: list[Contender], count: int) -> tuple[list[contest.Round], list[Figure]]:
    """Measure everybody in turn, each round beginning with another; who fails once takes no further part."""
    rounds: list[contest.Round] = []
    failures: list[Figure] = []
    taking_part = list(contenders)
    for number in range(count + 1):
        measured: dict[str, dict[str, float]] = {}
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            if contender not in taking_part:
                continue
            print(f"round {number or 'for warming up'}: {contender.way.name}", file=sys.stderr, flush=True)
            try:
                measured[contender.way.name] = await measure(contender, Size() if number else WARM_UP)
            except _TROUBLE as error:
                taking_part.remove(contender)
                failures.append(Figure.failure(contender.way.name, _told(error)))
        if number:
            rounds.append(measured)
    return rounds, failures


def _told(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
