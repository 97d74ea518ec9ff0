"""What it costs to wait in a crowd: 10,000 jobs of one app on locks, as tasks in one process (`isolation: shared`)."""

import asyncio
import time

from agentmesh.client import AsyncClient
from agentmesh.testing import Mesh, running_mesh
from benchmarks import crowds, machine
from benchmarks.apps import ASK, ROOT, SHARED
from benchmarks.crowds import SUBMITTERS, say
from benchmarks.exposing import expose
from benchmarks.figures import Figure
from benchmarks.http import login

JOBS = 10_000
ANSWERS = 200
START = f"/sumi/{SHARED}{ASK}/start_job"
NAME = f"{JOBS:,} shared jobs on locks"
_WITHIN_S = 900.0


def measure() -> list[Figure]:
    """Start a mesh, let the jobs wait, and measure."""
    env = {"AGENTMESH_JOBS_PER_OWNER": "0", "AGENTMESH_JOBS_PER_APP": str(JOBS + SUBMITTERS)}
    with running_mesh(env=env, cwd=ROOT) as mesh:
        why_not = expose(mesh, [SHARED]).get(SHARED)
        if why_not:
            return [Figure.not_served(NAME, why_not)]
        return asyncio.run(_measure(mesh))


async def _measure(mesh: Mesh) -> list[Figure]:
    key = await login(mesh.url)
    before_kb = machine.memory_kb(mesh.process.pid).total()
    bodies = (crowds.start_job(number, {"text": f"Waiting {number}"}) for number in range(JOBS))
    async with AsyncClient(mesh.url, token=key) as client, asyncio.timeout(_WITHIN_S):
        started = time.perf_counter()
        asking = await crowds.start(mesh.url, key, START, bodies, crowds.job_id)
        locks = await crowds.pending(client, JOBS)
        rate = JOBS / (time.perf_counter() - started)
        say(f"{JOBS} jobs wait on locks in one process")
        used_kb = machine.memory_kb(mesh.process.pid).total() - before_kb
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
