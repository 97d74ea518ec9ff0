"""What it costs to wait: 1,000 jobs that wait for a human and 1,000 that wait for money, at once.

A mesh of its own, with room for that many processes of one app (`AGENTMESH_JOBS_PER_APP`): a job that waits on a lock
keeps its process, one that waits for money has none yet.
"""

import asyncio
import datetime
import time
from collections.abc import Sequence
from typing import Any

from agentmesh.client import AsyncClient, Lock
from agentmesh.testing import Mesh, running_mesh
from benchmarks import crowds, machine
from benchmarks.apps import ROOT
from benchmarks.crowds import SUBMITTERS, say
from benchmarks.figures import Figure
from benchmarks.http import Failed, Http, login

JOBS = 1000
ANSWERS = 200
LOCK_JOB = "/sumi/sumi-test/start_job"
PAID_JOB = "/sumi/paid/start_job"
PURCHASE = "/api/v1/purchase/"
_WITHIN_S = 300.0
_LOOK_EVERY_S = 0.5
_MB_PER_JOB = 6  # with a margin


def measure() -> list[Figure]:
    """Start the mesh, let the jobs wait, and measure; fewer of them on a machine that has no room for all."""
    jobs = min(JOBS, machine.available_mb() // _MB_PER_JOB)
    if jobs <= ANSWERS:
        raise Failed(f"{jobs} jobs would fit into memory: too few to measure")
    env = {"AGENTMESH_JOBS_PER_OWNER": "0", "AGENTMESH_JOBS_PER_APP": str(jobs + SUBMITTERS)}
    with running_mesh(examples=True, env=env, cwd=ROOT) as mesh:
        return asyncio.run(_measure(mesh, jobs))


async def _measure(mesh: Mesh, jobs: int) -> list[Figure]:
    key = await login(mesh.url)
    before_kb = machine.memory_kb(mesh.process.pid).total()
    async with AsyncClient(mesh.url, token=key) as client, asyncio.timeout(6 * _WITHIN_S):
        started = time.perf_counter()
        asking = await crowds.start(mesh.url, key, LOCK_JOB, map(_greeting_job, range(jobs)), crowds.job_id)
        locks = await crowds.pending(client, jobs)
        rate = jobs / (time.perf_counter() - started)
        say(f"{jobs} jobs wait on locks")
        with_locks_kb = machine.memory_kb(mesh.process.pid).total()
        figures = [
            Figure(
                name="jobs into a lock",
                value=rate,
                unit="1/s",
                note=f"{jobs} of them, {SUBMITTERS} submitters{asking.note}",
            ),
            Figure(
                name="memory of a job on a lock",
                value=(with_locks_kb - before_kb) / jobs / 1024,
                unit="MB",
                note=f"PSS; {(with_locks_kb - before_kb) / 1024:,.0f} MB for {jobs}, its process and all that is kept",
            ),
        ]
        paid = (await crowds.start(mesh.url, key, PAID_JOB, map(_paid_job, range(jobs)), crowds.job_id)).ids
        await _requested(client, paid)
        say(f"{jobs} more wait for money")
        with_payments_kb = machine.memory_kb(mesh.process.pid).total()
        figures += [
            Figure(
                name="memory of a job on a payment",
                value=(with_payments_kb - with_locks_kb) / jobs,
                unit="kB",
                note="PSS; it has no process yet",
            ),
            await crowds.idle(mesh, "jobs", f"{jobs} on locks and {len(paid)} on payments"),
            *await crowds.answered(client, mesh.url, key, locks[:ANSWERS], "a lock", f"{jobs} + {jobs}"),
        ]
        say("answering and paying the rest")
        figures.append(await _all_end(client, mesh.url, locks[ANSWERS:], [lock.job for lock in locks], paid))
    return figures


def _greeting_job(number: int) -> dict[str, Any]:
    date = datetime.date.today() + datetime.timedelta(days=7)
    return crowds.start_job(number, {"name": f"Waiting {number}", "date": date.isoformat()})


def _paid_job(number: int) -> dict[str, Any]:
    return crowds.start_job(number, {"text": f"SOS {number}"})


async def _requested(client: AsyncClient, jobs: Sequence[str]) -> None:
    """Wait until the purchaser has been asked to pay for each job."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            payable = {payment.job async for payment in client.payments() if payment.payable}
            if all(f"jobs/{job}" in payable for job in jobs):
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def _all_end(
    client: AsyncClient, url: str, locks: Sequence[Lock], asked: Sequence[str], paid: Sequence[str]
) -> Figure:
    """Answer and pay what is left; count the jobs that do not end well."""
    left, due = iter(locks), iter(paid)

    async def answer() -> None:
        for lock in left:
            await client.answer(lock.name, {"greeting": "Hello"})

    async def pay() -> None:
        async with Http(url, header=("token", await client.development_token())) as http:
            for job in due:
                await http.json("POST", PURCHASE, (await client.payment(job)).purchase())

    await asyncio.gather(*(answer() for _ in range(SUBMITTERS)), *(pay() for _ in range(SUBMITTERS)))
    bad = 0
    for job in (*asked, *(f"jobs/{job}" for job in paid)):
        bad += not (await client.wait(job)).succeeded
    return Figure(
        name="waiting jobs that failed", value=bad, unit="", target=0, note="all answered and paid at the end"
    )
