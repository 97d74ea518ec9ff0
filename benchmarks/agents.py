"""Agents and crews on the offline model, through Envoy: a turn, a hundred crews at once, and who is told of an end."""

import asyncio
import contextlib
import json
import time

from websockets.asyncio.client import ClientConnection, connect

from agentmesh.client import AsyncClient, Job
from agentmesh.testing import Mesh, running_mesh
from benchmarks.crowds import say
from benchmarks.figures import Figure, median, percentile
from benchmarks.http import Failed, Http, login

TURNS = 100
WARM_UP = 10
CREW_RUNS = 100
TASKS = 3
SUBSCRIBERS = 1000
JOBS = "/mesh/v1/jobs"
SOCKET = "/v1/ws"
_CONNECTING = 50
"""How many subscribers open their connection at once."""
_CREWS_WITHIN_S = 180.0
_CONNECTED_WITHIN_S = 120.0
_TOLD_WITHIN_S = 60.0
_TURN_WITHIN_S = 30.0


def measure() -> list[Figure]:
    """Start a mesh without other work, and measure one after the other."""
    with running_mesh() as mesh:
        return asyncio.run(_measure(mesh))


async def _measure(mesh: Mesh) -> list[Figure]:
    key = await login(mesh.url)
    async with AsyncClient(mesh.url, token=key) as client:
        agent = await client.agents.create(display_name="Turner", slug="turner", model="offline", goal="Answer")
        crew = await client.crews.create(
            display_name="Trio",
            new_agents=[{"display_name": "Worker", "slug": "worker", "role": "Worker", "model": "offline"}],
            new_tasks=[{"agent": "+0", "description": f"Do part {number} of {{topic}}"} for number in range(TASKS)],
        )
        figures = await _turns(mesh.url, key, agent.name)
        say(f"{CREW_RUNS} crews at once")
        figures += await _crew_runs(client, crew.name)
        say(f"{SUBSCRIBERS} subscribers to one job")
        return figures + await _end_told(mesh.url, key, crew.name)


async def _turns(url: str, key: str, target: str) -> list[Figure]:
    """Run turns of an agent one after the other; each is watched as its client would."""
    token_ms, end_ms = [], []
    async with Http(url, key) as http:
        for number in range(WARM_UP + TURNS):
            first, end = await _turn(http, url, key, {"target": target, "inputs": {"prompt": f"Say {number}"}})
            if number >= WARM_UP:
                token_ms.append(first)
                end_ms.append(end)
    note = f"REST POST, then its `:watch` (JSON lines) on open connections; {TURNS} one after the other"
    return [
        Figure(name="agent turn, first token p50", value=median(token_ms), unit="ms", target=25, note=note),
        Figure(name="agent turn, first token p99", value=percentile(token_ms, 99), unit="ms", note=note),
        Figure(name="agent turn, POST to completed p50", value=median(end_ms), unit="ms", target=40, note=note),
        Figure(name="agent turn, POST to completed p99", value=percentile(end_ms, 99), unit="ms", note=note),
    ]


async def _turn(http: Http, url: str, key: str, body: dict[str, object]) -> tuple[float, float]:
    """Return the milliseconds to the first token of a job and to its end.  Raises `Failed` if it does not succeed."""
    async with Http(url, key) as watcher, asyncio.timeout(_TURN_WITHIN_S):
        first_ms = 0.0
        rest = b""
        started = time.perf_counter()
        name = (await http.json("POST", JOBS, body))["name"]
        async with contextlib.aclosing(watcher.stream(f"/mesh/v1/{name}:watch")) as chunks:
            async for chunk in chunks:
                now_ms = (time.perf_counter() - started) * 1000
                *lines, rest = (rest + chunk).split(b"\n")
                for event in (event for line in lines if line for event in json.loads(line).get("events", ())):
                    if event["kind"] == "token" and not first_ms:
                        first_ms = now_ms
                    if (event["kind"], event["payload"]) == ("status", "succeeded"):
                        if not first_ms:
                            raise Failed(f"{name} has ended without a token")
                        return first_ms, now_ms
    raise Failed(f"{name} did not succeed")


async def _crew_runs(client: AsyncClient, crew: str) -> list[Figure]:
    """Start crews all at once, and wait for each."""

    async def run(number: int) -> Job:
        return await client.wait((await client.create_job(crew, {"topic": f"topic {number}"})).name)

    started = time.perf_counter()
    async with asyncio.timeout(_CREWS_WITHIN_S):
        ended = await asyncio.gather(*(run(number) for number in range(CREW_RUNS)), return_exceptions=True)
    took_s = time.perf_counter() - started
    why_not = [
        str(one) if isinstance(one, BaseException) else f"{one.state} {one.reason}"
        for one in ended
        if isinstance(one, BaseException) or not one.succeeded
    ]
    note = f"{CREW_RUNS} at once, {TASKS} tasks each, by gRPC"
    return [
        Figure(name="crew runs that failed", value=len(why_not), unit="", target=0, note=(why_not or [note])[0][:60]),
        Figure(name="crew runs, all", value=took_s, unit="s", note=f"{note}; to the end of the last"),
    ]


async def _end_told(url: str, key: str, crew: str) -> list[Figure]:
    """Have many subscribe to a job that ends when we say so; take the time that each is told at."""
    sockets: list[ClientConnection] = []
    told: list[asyncio.Task[float]] = []
    async with Http(url, key) as http:
        job = (await http.json("POST", JOBS, {"target": crew, "inputs": {"topic": "ends"}, "external": True}))["name"]
        job_id = f"job_{job.removeprefix('jobs/')}"
        try:
            await _subscribe(sockets, f"ws{url.removeprefix('http')}{SOCKET}", key, job_id)
            told += [asyncio.create_task(_told(socket)) for socket in sockets]
            started = time.perf_counter()
            await http.json("POST", f"/mesh/v1/{job}:complete", {"state": "JOB_STATE_SUCCEEDED", "output": "done"})
            await asyncio.wait(told, timeout=_TOLD_WITHIN_S)
            took_s = [task.result() - started for task in told if task.done() and task.exception() is None]
        finally:
            for task in told:
                task.cancel()
            # At once: each connection takes a second to close.
            await asyncio.gather(*told, *(socket.close() for socket in sockets), return_exceptions=True)
    missing = SUBSCRIBERS - len(took_s)
    if not took_s:
        raise Failed(f"none of {SUBSCRIBERS} subscribers was told that {job} has ended")
    note = f"{SUBSCRIBERS} WebSockets on {SOCKET}, from the POST of `:complete` to `execution_complete`"
    return [
        Figure(name="end told to all subscribers, max", value=max(took_s), unit="s", target=1, note=note),
        Figure(name="end told to all subscribers, p99", value=percentile(took_s, 99), unit="s", note=note),
        Figure(name="subscribers not told", value=missing, unit="", target=0, note=f"within {_TOLD_WITHIN_S:g} s"),
    ]


async def _subscribe(sockets: list[ClientConnection], address: str, key: str, job_id: str) -> None:
    """Connect and subscribe to a job, a few at a time; add the connections to `sockets`, also if some fail."""
    gate = asyncio.Semaphore(_CONNECTING)
    headers = {"Authorization": f"Bearer {key}"}

    async def one() -> None:
        async with gate:
            # Uncompressed and without pings: what the client computes is in the figure.
            socket = await connect(
                address, additional_headers=headers, compression=None, open_timeout=30, ping_interval=None
            )
            sockets.append(socket)
            await socket.send(json.dumps({"type": "subscribe", "job_id": job_id}))
            answer = json.loads(await socket.recv())
            if answer["type"] != "subscribed":
                raise Failed(f"{SOCKET} answered {answer}")

    try:
        async with asyncio.timeout(_CONNECTED_WITHIN_S), asyncio.TaskGroup() as group:
            for _ in range(SUBSCRIBERS):
                group.create_task(one())
    except ExceptionGroup as trouble:
        raise Failed(f"after {len(sockets)} connections: {trouble.exceptions[0]}") from trouble


async def _told(socket: ClientConnection) -> float:
    """Return when the end of the job came."""
    while True:
        text = await socket.recv()
        now = time.perf_counter()
        if json.loads(text)["type"] == "execution_complete":
            return now
