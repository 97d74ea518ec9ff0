"""`python -m benchmarks [--only NAME...] [--json FILE]`: measure, print a table, write JSON."""

import argparse
import asyncio
import pathlib
import sys
from collections.abc import Callable

from agentmesh.client import MeshError
from agentmesh.testing import Mesh, running_mesh
from benchmarks import (
    agents,
    events,
    growth,
    isolation,
    jobs,
    panel,
    placements,
    recovery,
    replicas,
    report,
    shared,
    start,
    telemetry,
    waiting,
)
from benchmarks.figures import Figure
from benchmarks.http import Failed, Http, login

On = Callable[[Mesh, str], list[Figure]]
# In this order: memory is measured before there is any load.
ON_A_MESH: dict[str, On] = {
    "memory": lambda mesh, _: start.memory(mesh),
    "launch": lambda mesh, key: asyncio.run(jobs.launch(mesh.url, key)),
    "finished": lambda mesh, key: asyncio.run(jobs.to_the_end(mesh.url, key)),
    "rate": lambda mesh, key: asyncio.run(jobs.rate(mesh.url, key, mesh)),
    "polling": lambda mesh, key: jobs.polling(mesh.url, key, asyncio.run(_finished_job(mesh.url, key))),
    "events": lambda mesh, key: asyncio.run(events.throughput(mesh.url, key)),
    "latency": lambda mesh, key: asyncio.run(events.latency(mesh.url, key)),
}
# Each with meshes of its own.
AFTERWARDS: dict[str, Callable[[], list[Figure]]] = {
    "growth": growth.measure,
    "waiting": waiting.measure,
    "shared": shared.measure,
    "agents": agents.measure,
    "isolation": isolation.measure,
    "replicas": replicas.measure,
    "telemetry": telemetry.measure,
    "panel": panel.measure,
    "recovery": recovery.measure,
    "placements": placements.measure,
}
NAMES = ("start", *ON_A_MESH, *AFTERWARDS)


def main() -> int:
    """Return 0 unless something could not be measured; a target that is missed is only reported."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures; default: benchmarks/results/")
    arguments = parser.parse_args()
    chosen = arguments.only
    figures: list[Figure] = []
    if "start" in chosen:
        figures += _tried("start", start.measure)
    if set(chosen) & set(ON_A_MESH):
        with running_mesh(examples=True) as mesh:
            key = asyncio.run(login(mesh.url))
            for name, measure in ON_A_MESH.items():
                if name in chosen:
                    figures += _tried(name, lambda measure=measure: measure(mesh, key))  # type: ignore[misc]
    for name, alone in AFTERWARDS.items():
        if name in chosen:
            figures += _tried(name, alone)
    report.show(figures, "agentmesh")
    report.write(figures, arguments.json)
    return 1 if any(figure.failed for figure in figures) else 0


def _tried(name: str, measure: Callable[[], list[Figure]]) -> list[Figure]:
    print(f"measuring: {name}", file=sys.stderr, flush=True)
    try:
        return measure()
    except (Failed, MeshError, RuntimeError, OSError, TimeoutError) as error:  # the other figures are worth having
        return [Figure.failure(name, str(error))]


async def _finished_job(url: str, key: str) -> str:
    async with Http(url, key) as http:
        fid = str((await http.json("POST", jobs.LAUNCH, {}))["result"])
        await jobs.finished(http, fid)
    return fid


if __name__ == "__main__":
    sys.exit(main())
