"""What it costs to wait: 1,000 jobs that wait for a human and 1,000 that wait for money, at once.

A mesh of its own, with room for that many processes of one app (`AGENTMESH_JOBS_PER_APP`): a job that waits on a lock
keeps its process, one that waits for money has none yet.
"""

import asyncio
import contextlib
import datetime
import os
import pathlib
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from agentmesh.client import AsyncClient, Lock
from agentmesh.testing import Mesh, running_mesh
from benchmarks import machine
from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Failed, Http

JOBS = 1000
ANSWERS = 200
SUBMITTERS = 8
LOCK_JOB = "/sumi/sumi-test/start_job"
PAID_JOB = "/sumi/paid/start_job"
PURCHASE = "/api/v1/purchase/"
DEV_TOKEN = "dev"
IDLE_S = 10.0
_SETTLE_S = 5.0
_WITHIN_S = 300.0
_LOOK_EVERY_S = 0.5
_MB_PER_JOB = 6  # with a margin


def measure(login: Callable[[str], Awaitable[str]]) -> list[Figure]:
    """Start the mesh, let the jobs wait, and measure; fewer of them on a machine that has no room for all."""
    jobs = min(JOBS, machine.available_mb() // _MB_PER_JOB)
    if jobs <= ANSWERS:
        raise Failed(f"{jobs} jobs would fit into memory: too few to measure")
    env = {"AGENTMESH_JOBS_PER_APP": str(jobs + SUBMITTERS)}
    with running_mesh(examples=True, env=env, cwd=pathlib.Path(__file__).parents[1]) as mesh:
        return asyncio.run(_measure(mesh, login, jobs))


async def _measure(mesh: Mesh, login: Callable[[str], Awaitable[str]], jobs: int) -> list[Figure]:
    key = await login(mesh.url)
    before_kb = machine.memory_kb(mesh.process.pid)
    async with AsyncClient(mesh.url, token=key) as client, asyncio.timeout(6 * _WITHIN_S):
        started = time.perf_counter()
        await _start(mesh.url, key, LOCK_JOB, [_greeting_job(number) for number in range(jobs)])
        locks = await _pending(client, jobs)
        rate = jobs / (time.perf_counter() - started)
        _say(f"{jobs} jobs wait on locks")
        with_locks_kb = machine.memory_kb(mesh.process.pid)
        figures = [
            Figure(name="jobs into a lock", value=rate, unit="1/s", note=f"{jobs} of them, {SUBMITTERS} submitters"),
            Figure(
                name="memory of a job on a lock",
                value=(with_locks_kb - before_kb) / jobs / 1024,
                unit="MB",
                note=f"PSS; {(with_locks_kb - before_kb) / 1024:,.0f} MB for {jobs}, its process and all that is kept",
            ),
        ]
        paid = await _start(mesh.url, key, PAID_JOB, [_paid_job(number) for number in range(jobs)])
        await _requested(client, paid)
        _say(f"{jobs} more wait for money")
        with_payments_kb = machine.memory_kb(mesh.process.pid)
        figures += [
            Figure(
                name="memory of a job on a payment",
                value=(with_payments_kb - with_locks_kb) / jobs,
                unit="kB",
                note="PSS; it has no process yet",
            ),
            await _idle(mesh, jobs, len(paid)),
            *await _answered(client, mesh.url, key, locks[:ANSWERS], jobs),
        ]
        _say("answering and paying the rest")
        figures.append(await _all_end(client, mesh.url, locks[ANSWERS:], [lock.job for lock in locks], paid))
    return figures


def _greeting_job(number: int) -> dict[str, Any]:
    date = datetime.date.today() + datetime.timedelta(days=7)
    return _asked(number, {"name": f"Waiting {number}", "date": date.isoformat()})


def _paid_job(number: int) -> dict[str, Any]:
    return _asked(number, {"text": f"SOS {number}"})


def _asked(number: int, inputs: dict[str, str]) -> dict[str, Any]:
    return {"identifier_from_purchaser": f"{number:026x}", "input_data": inputs}


async def _start(url: str, key: str, path: str, bodies: Iterable[dict[str, Any]]) -> list[str]:
    """Start a job for each body; return their ids."""
    left = iter(bodies)
    ids: list[str] = []

    async def submit() -> None:
        async with Http(url, key) as http:
            for body in left:
                answer = await http.json("POST", path, body)
                if not answer.get("job_id"):
                    raise Failed(f"{path} answered {answer}")
                ids.append(str(answer["job_id"]))

    await asyncio.gather(*(submit() for _ in range(SUBMITTERS)))
    return ids


async def _pending(client: AsyncClient, wanted: int) -> list[Lock]:
    """Wait until so many locks are pending; return them."""
    found: dict[str, Lock] = {}
    async with asyncio.timeout(_WITHIN_S), contextlib.aclosing(client.watch_locks()) as changes:
        async for lock in changes:
            found[lock.name] = lock
            if len(found) >= wanted:
                break
    return list(found.values())


async def _requested(client: AsyncClient, jobs: Sequence[str]) -> None:
    """Wait until the purchaser has been asked to pay for each job."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            payable = {payment.job async for payment in client.payments() if payment.payable}
            if all(f"jobs/{job}" in payable for job in jobs):
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def _idle(mesh: Mesh, locks: int, payments: int) -> Figure:
    """Measure what all processes of the mesh compute while nothing happens."""
    await asyncio.sleep(_SETTLE_S)  # not waiting for a state: what went before may still be written away
    before = machine.cpu_s(mesh.process.pid)
    started = time.perf_counter()
    await asyncio.sleep(IDLE_S)
    used = machine.used(before, machine.cpu_s(mesh.process.pid))
    share = 100 / (time.perf_counter() - started)
    top = ", ".join(f"{name} {seconds * share:.1f} %" for name, seconds in used.most_common(3) if seconds)
    return Figure(
        name="CPU while jobs wait",
        value=used.total() * share,
        unit="% of a core",
        target=2,
        note=f"{locks} on locks and {payments} on payments, {IDLE_S:g} s: {top}",
    )


async def _answered(client: AsyncClient, url: str, key: str, locks: Sequence[Lock], jobs: int) -> list[Figure]:
    """Answer locks one after the other, and ask for statuses, while the others wait."""
    answer_ms, end_ms, status_ms = [], [], []
    async with Http(url, key) as http:
        for number, lock in enumerate(locks):
            started = time.perf_counter()
            await client.answer(lock.name, {"greeting": f"Hello {number}"})
            answer_ms.append((time.perf_counter() - started) * 1000)
            await client.wait(lock.job)
            end_ms.append((time.perf_counter() - started) * 1000)
            started = time.perf_counter()
            await http.json("GET", f"/sumi/status/{lock.job.removeprefix('jobs/')}")
            status_ms.append((time.perf_counter() - started) * 1000)
    note = f"{len(locks)} one after the other, while {jobs} + {jobs} wait"
    return [
        Figure(name="answer of a lock p50", value=median(answer_ms), unit="ms", target=50, note=note),
        Figure(name="answer of a lock p99", value=percentile(answer_ms, 99), unit="ms", note=note),
        Figure(name="answer to job's end p50", value=median(end_ms), unit="ms", note=note),
        Figure(name="status p50 while jobs wait", value=median(status_ms), unit="ms", target=50, note=note),
    ]


async def _all_end(
    client: AsyncClient, url: str, locks: Sequence[Lock], asked: Sequence[str], paid: Sequence[str]
) -> Figure:
    """Answer and pay what is left; count the jobs that do not end well."""
    left, due = iter(locks), iter(paid)

    async def answer() -> None:
        for lock in left:
            await client.answer(lock.name, {"greeting": "Hello"})

    async def pay() -> None:
        async with Http(url, header=("token", DEV_TOKEN)) as http:
            for job in due:
                await http.json("POST", PURCHASE, (await client.payment(job)).purchase())

    await asyncio.gather(*(answer() for _ in range(SUBMITTERS)), *(pay() for _ in range(SUBMITTERS)))
    bad = 0
    for job in (*asked, *(f"jobs/{job}" for job in paid)):
        bad += not (await client.wait(job)).succeeded
    return Figure(
        name="waiting jobs that failed", value=bad, unit="", target=0, note="all answered and paid at the end"
    )


def _say(text: str) -> None:
    print(f"  {text}, on {os.cpu_count()} cores", file=sys.stderr, flush=True)
