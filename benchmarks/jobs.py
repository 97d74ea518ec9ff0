"""How fast jobs start, end and are asked about, over REST."""

import asyncio
import concurrent.futures
import contextlib
import functools
import multiprocessing
import time

from agentmesh.testing import Mesh
from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Failed, Http

LAUNCH = "/-/localhost/8005/noop/-/"
START_JOB = "/sumi/noop/start_job"
PURCHASER = {"identifier_from_purchaser": "0123456789abcdef012345", "input_data": {}}
SEQUENTIAL = 200
SUBMITTERS = 16
JOBS = 800
CONNECTIONS = 16
CLIENTS = 2
POLL_FOR_S = 8.0
_POLL_EVERY_S = 0.005
_END_WITHIN_S = 120.0


async def launch(url: str, key: str) -> list[Figure]:
    """POST noop jobs one after the other, by both APIs."""
    figures = []
    async with Http(url, key) as http:
        for name, path, body in (("panel launch", LAUNCH, {}), ("sumi start_job", START_JOB, PURCHASER)):
            took_ms = []
            for number in range(SEQUENTIAL + 10):
                started = time.perf_counter()
                await http.json("POST", path, body)
                if number >= 10:  # the first ones warm the connections up
                    took_ms.append((time.perf_counter() - started) * 1000)
            note = f"{SEQUENTIAL} one after the other"
            figures += [
                Figure(name=f"{name} p50", value=median(took_ms), unit="ms", target=20, note=note),
                Figure(name=f"{name} p99", value=percentile(took_ms, 99), unit="ms", target=80, note=note),
            ]
    return figures


async def to_the_end(url: str, key: str) -> list[Figure]:
    """POST a noop job and ask for its status until it is finished."""
    took_ms = []
    async with Http(url, key) as http:
        for _ in range(SEQUENTIAL // 2):
            started = time.perf_counter()
            fid = (await http.json("POST", LAUNCH, {}))["result"]
            await finished(http, fid)
            took_ms.append((time.perf_counter() - started) * 1000)
    note = f"status asked every {_POLL_EVERY_S * 1000:g} ms"
    return [
        Figure(name="POST to finished p50", value=median(took_ms), unit="ms", target=60, note=note),
        Figure(name="POST to finished p99", value=percentile(took_ms, 99), unit="ms", note=note),
    ]


async def finished(http: Http, fid: str) -> None:
    """Ask for the status of a job until it is finished.  Raises `Failed` if it fails."""
    async with asyncio.timeout(_END_WITHIN_S):
        while (status := (await http.json("GET", f"/outputs/status/{fid}"))["status"]) != "finished":
            if status == "error":
                raise Failed(f"job {fid} failed")
            await asyncio.sleep(_POLL_EVERY_S)


async def rate(url: str, key: str, mesh: Mesh) -> list[Figure]:
    """Let many submitters start jobs as fast as they can; count what ends well per second."""
    left = iter(range(JOBS))
    ids: list[str] = []
    refused: list[str] = []

    async def submit() -> None:
        async with Http(url, key) as http:
            for _ in left:
                try:
                    ids.append(str((await http.json("POST", LAUNCH, {}))["result"]))
                except (Failed, KeyError, TimeoutError, OSError) as error:
                    refused.append(str(error))

    started = time.time()
    await asyncio.gather(*(submit() for _ in range(SUBMITTERS)))
    accepted_s = time.time() - started
    async with Http(url, key) as http:
        for fid in reversed(ids):
            with contextlib.suppress(Failed):
                await finished(http, fid)
    wanted = {f"jobs/{fid}" for fid in ids}
    ended = [job for job in await asyncio.to_thread(_newest, mesh, len(ids)) if job[0] in wanted]
    well = [finish for _, state, finish in ended if state == "succeeded"]
    failures = len(refused) + len(ids) - len(well)
    took_s = max(well, default=time.time()) - started
    note = f"{JOBS} jobs, {SUBMITTERS} submitters, until the last has ended"
    return [
        Figure(name="noop jobs", value=len(well) / took_s, unit="1/s", target=50, at_least=True, note=note),
        Figure(name="noop jobs accepted", value=len(ids) / accepted_s, unit="1/s", note="answered POSTs"),
        Figure(name="noop jobs that failed", value=failures, unit="", target=0, note=(refused or [""])[0][:60]),
    ]


def _newest(mesh: Mesh, count: int) -> list[tuple[str, str, float]]:
    found = []
    for job in mesh.client.jobs():
        found.append((job.name, job.state, job.finish_time.timestamp() if job.finish_time else 0.0))
        if len(found) >= count:
            break
    return found


def polling(url: str, key: str, fid: str) -> list[Figure]:
    """Ask for the status of a finished job from many connections, kept open, in several processes."""
    context = multiprocessing.get_context("spawn")
    work = functools.partial(_poll_process, url, key, fid, CONNECTIONS // CLIENTS)
    with concurrent.futures.ProcessPoolExecutor(CLIENTS, mp_context=context) as pool:
        results = list(pool.map(_call, [work] * CLIENTS))
    answered = sum(count for count, _, _ in results)
    failed = sum(bad for _, bad, _ in results)
    note = f"{CONNECTIONS} connections in {CLIENTS} client processes on the same cores; {failed} failed"
    return [
        Figure(
            name="status requests",
            value=sum(count / took_s for count, _, took_s in results) if answered else 0,
            unit="1/s",
            target=1000,
            at_least=True,
            note=note,
        )
    ]


def _call(work: "functools.partial[tuple[int, int, float]]") -> tuple[int, int, float]:
    return work()


def _poll_process(url: str, key: str, fid: str, connections: int) -> tuple[int, int, float]:
    return asyncio.run(_poll(url, key, fid, connections))


async def _poll(url: str, key: str, fid: str, connections: int) -> tuple[int, int, float]:
    counts = [0, 0]
    deadline = time.perf_counter() + POLL_FOR_S

    async def one() -> None:
        async with Http(url, key) as http:
            while time.perf_counter() < deadline:
                status, _ = await http.send("GET", f"/outputs/status/{fid}")
                counts[status != 200] += 1

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return counts[0], counts[1], time.perf_counter() - started
