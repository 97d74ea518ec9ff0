"""What it costs that jobs are confined: two meshes, one with isolation and one without, that take turns.

What is compared was measured within the same second, so a machine that is busy for a while does not decide: the figure
is the median of the ratios of each turn.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from agentmesh.client import AsyncClient
from agentmesh.testing import Mesh, running_mesh
from benchmarks import crowds, jobs, machine
from benchmarks.apps import ROOT
from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Http, login
from benchmarks.waiting import LOCK_JOB

ROUNDS = 60
WAITING = 40
_WARM_UP = 5
_WITHIN_S = 120.0
_ENV: Mapping[str, Mapping[str, str]] = {
    "with": {"AGENTMESH_ISOLATION": "auto"},
    "without": {"AGENTMESH_ISOLATION": "off"},
}


def measure() -> list[Figure]:
    """Start both meshes and measure."""
    with contextlib.ExitStack() as stack:
        meshes = {
            name: stack.enter_context(running_mesh(examples=True, env=env, cwd=ROOT)) for name, env in _ENV.items()
        }
        return asyncio.run(_measure(meshes))


async def _measure(meshes: Mapping[str, Mesh]) -> list[Figure]:
    async with contextlib.AsyncExitStack() as stack:
        clients = {}
        for name, mesh in meshes.items():
            clients[name] = await stack.enter_async_context(Http(mesh.url, await login(mesh.url)))
        took_ms: dict[str, list[float]] = {name: [] for name in meshes}
        for number in range(-_WARM_UP, ROUNDS):
            for name in sorted(meshes, reverse=number % 2 == 0):
                spent = await _one(clients[name])
                if number >= 0:
                    took_ms[name].append(spent)
    ratios = [a / b for a, b in zip(took_ms["with"], took_ms["without"], strict=True)]
    note = ", ".join(f"{name} {median(took_ms[name]):.1f} ms, p90 {percentile(took_ms[name], 90):.1f}" for name in _ENV)
    taken_kb = {name: await _waiting_kb(mesh) for name, mesh in meshes.items()}
    return [
        Figure(
            name="isolation: POST to finished",
            value=median(ratios),
            unit="x",
            target=1.15,
            note=f"{note}; median of the ratios of {ROUNDS} turns",
        ),
        Figure(
            name="isolation: memory of a job",
            value=taken_kb["with"] / taken_kb["without"],
            unit="x",
            note=", ".join(f"{name} {kilobytes / 1024:.2f} MB" for name, kilobytes in taken_kb.items())
            + f" (PSS), of {WAITING} that wait",
        ),
    ]


async def _one(http: Http) -> float:
    """Run a job that does nothing to its end; return how long that took, in ms."""
    started = time.perf_counter()
    fid = (await http.json("POST", jobs.LAUNCH, {}))["result"]
    await jobs.finished(http, fid)
    return (time.perf_counter() - started) * 1000


async def _waiting_kb(mesh: Mesh) -> float:
    """Return what a job takes that waits for a human, its process and all that is kept of it."""
    key = await login(mesh.url)
    before_kb = machine.memory_kb(mesh.process.pid).total()
    async with AsyncClient(mesh.url, token=key) as client, asyncio.timeout(_WITHIN_S):
        await crowds.start(mesh.url, key, LOCK_JOB, map(_job, range(WAITING)), crowds.job_id)
        await crowds.pending(client, WAITING)
        return (machine.memory_kb(mesh.process.pid).total() - before_kb) / WAITING


def _job(number: int) -> dict[str, Any]:
    return crowds.start_job(number, {"name": f"Waiting {number}", "date": "2030-01-01"})
