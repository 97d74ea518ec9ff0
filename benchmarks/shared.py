"""What it costs to wait in a crowd: 10,000 jobs of one app on locks, as tasks in one process (`isolation: shared`)."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from typing import Any

from agentmesh.client import AsyncClient
from agentmesh.testing import Mesh, running_mesh
from benchmarks import crowds, machine
from benchmarks.apps import IMPORT_PATHS, ROOT, SHARED
from benchmarks.crowds import SUBMITTERS, say
from benchmarks.figures import Figure
from benchmarks.http import Http, login

JOBS = 10_000
ANSWERS = 200
START = "/mesh/v1/jobs"
NAME = f"{JOBS:,} shared jobs on locks"
_FIRST = 50
"""Jobs that show whether they share a process, before so many of them could fill the machine with theirs."""
_UNKNOWN = 404
_WITHIN_S = 900.0


def measure() -> list[Figure]:
    """Start a mesh, let the jobs wait, and measure."""
    with running_mesh(env={"AGENTMESH_JOBS_PER_APP": str(JOBS + SUBMITTERS)}, cwd=ROOT) as mesh:
        mesh.client.save_expose(SHARED, f"import_path: {IMPORT_PATHS[SHARED]}\n")
        for step in mesh.client.boot():
            if step.kind in ("error", "warning") and step.expose == SHARED:
                return [Figure.not_served(NAME, f"the app cannot be loaded: {step.message}")]
        return asyncio.run(_measure(mesh))


async def _measure(mesh: Mesh) -> list[Figure]:
    key = await login(mesh.url)
    before_kb = machine.memory_kb(mesh.process.pid)
    processes = len(machine.tree(mesh.process.pid))
    bodies = _bodies()
    async with Http(mesh.url, key) as http:
        status, _ = await http.send("POST", START, next(bodies))
    if status == _UNKNOWN:
        return [Figure.not_served(NAME, f"POST {START} answers {status}")]
    async with AsyncClient(mesh.url, token=key) as client, asyncio.timeout(_WITHIN_S):
        started = time.perf_counter()
        await crowds.start(mesh.url, key, START, itertools.islice(bodies, _FIRST - 1), _job_id)
        await crowds.pending(client, _FIRST)
        more = len(machine.tree(mesh.process.pid)) - processes
        if more >= _FIRST // 2:
            return [Figure.not_served(NAME, f"{_FIRST} jobs started {more} processes")]
        asking = await crowds.start(mesh.url, key, START, bodies, _job_id)
        locks = await crowds.pending(client, JOBS)
        rate = JOBS / (time.perf_counter() - started)
        say(f"{JOBS} jobs wait on locks in one process")
        used_kb = machine.memory_kb(mesh.process.pid) - before_kb
        return [
            Figure(
                name="shared jobs into a lock",
                value=rate,
                unit="1/s",
                note=f"{JOBS} of them, {SUBMITTERS} submitters{asking.note}",
            ),
            Figure(
                name="memory of a shared job on a lock",
                value=used_kb / JOBS,
                unit="kB",
                note=f"PSS; {used_kb / 1024:,.0f} MB for {JOBS}, in all processes of the mesh",
            ),
            await crowds.idle(mesh, "shared jobs", f"{JOBS} on locks"),
            *await crowds.answered(client, mesh.url, key, locks[:ANSWERS], "a shared lock", str(JOBS)),
        ]


def _bodies() -> Iterator[dict[str, Any]]:
    return ({"target": f"flows/{SHARED}/ask", "inputs": {"text": f"Waiting {number}"}} for number in range(JOBS))


def _job_id(answer: Any) -> str:
    return str(answer["name"]).removeprefix("jobs/")
