"""`python -m benchmarks.peers [--rounds N] [--only WAY...] [--json FILE]`: measure, print ratios, write JSON."""

import argparse
import asyncio
import contextlib
import pathlib
import sys
from collections.abc import Mapping, Sequence

from agentmesh.testing import running_mesh
from benchmarks import apps, report
from benchmarks.exposing import expose
from benchmarks.figures import Figure
from benchmarks.http import Refused, login
from benchmarks.peers import contest, servers, ways
from benchmarks.peers.rounds import WARM_UP, Contender, Round, Size, play
from tests.servers.postgresql import running_postgres

ROUNDS = 7
_UNKNOWN = 404


def main() -> int:
    """Return 0 unless something could not be measured."""
    ours = [way.name for _, way in (*ways.OURS, *ways.ON_POSTGRES)]
    names = [ways.DBOS.name, ways.DBOS_POSTGRES.name, ways.LANGGRAPH.name, *ours]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WAY", help=", ".join(names))
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures; default: benchmarks/results/")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        contenders, absent = _start(stack, arguments.only)
        rounds, failures = asyncio.run(_rounds(contenders, arguments.rounds))
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
    for way, server in ((ways.DBOS, servers.dbos), (ways.LANGGRAPH, servers.langgraph)):
        if way.name in only:
            url, pid = stack.enter_context(server())
            contenders.append(Contender(way=way, url=url, pid=pid))
    _start_ours(stack, [(name, way) for name, way in ways.OURS if way.name in only], {}, contenders, absent)
    chosen = [(name, way) for name, way in ways.ON_POSTGRES if way.name in only]
    if chosen or ways.DBOS_POSTGRES.name in only:
        postgres = stack.enter_context(running_postgres(durable=True))
        if ways.DBOS_POSTGRES.name in only:
            url, pid = stack.enter_context(servers.dbos(postgres.fresh()))
            contenders.append(Contender(way=ways.DBOS_POSTGRES, url=url, pid=pid))
        _start_ours(stack, chosen, {"AGENTMESH_DATABASE_URL": postgres.fresh()}, contenders, absent)
    return contenders, absent


def _start_ours(
    stack: contextlib.ExitStack,
    chosen: Sequence[tuple[str, ways.Way]],
    env: Mapping[str, str],
    contenders: list[Contender],
    absent: list[Figure],
) -> None:
    """Start a mesh for the chosen ways, if there are any; say in `contenders` or `absent` what it serves."""
    if not chosen:
        return
    mesh = stack.enter_context(running_mesh(cwd=apps.ROOT, env=env))
    key = asyncio.run(login(mesh.url))
    unready = expose(mesh, {name for name, _ in chosen})
    for name, way in chosen:
        contender = Contender(way=way, url=mesh.url, pid=mesh.process.pid, key=key)
        why_not = unready.get(name) or asyncio.run(_trial(contender))
        if why_not:
            absent.append(Figure.not_served(way.name, why_not))
        else:
            contenders.append(contender)


async def _trial(contender: Contender) -> str:
    """Run one job; return why the mesh does not know this way, or nothing.  What else fails, fails in the rounds."""
    try:
        async with contender.connect() as http:
            await contender.way.start(http)
    except Refused as error:
        if error.status == _UNKNOWN:
            return f"{error.request} answers {error.status}"
    return ""


async def _rounds(contenders: list[Contender], count: int) -> tuple[list[Round], list[Figure]]:
    """Play a round to warm up and then those that count; who fails once takes no further part."""
    rounds: list[Round] = []
    failures: list[Figure] = []
    for number in range(count + 1):
        if not contenders:
            break
        print(f"round {number} of {count}" if number else "warming up", file=sys.stderr, flush=True)
        figures, failed = await play(contenders, Size() if number else WARM_UP, number % len(contenders))
        failures += [Figure.failure(contender.way.name, _told(error)) for contender, error in failed.items()]
        contenders = [contender for contender in contenders if contender not in failed]
        if number:
            rounds.append(figures)
    return rounds, failures


def _told(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
