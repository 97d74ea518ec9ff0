"""What more replicas of the services bring: jobs and events a second on PostgreSQL, for 1, 2 and 4 of each service."""

import asyncio
import contextlib
import dataclasses
import time

from agentmesh.testing import running_mesh
from benchmarks.apps import DECLARED, LOUD, ROOT, SHARED
from benchmarks.exposing import expose
from benchmarks.figures import Figure
from benchmarks.http import Failed, login
from benchmarks.peers import ways
from benchmarks.peers.contest import Promise
from benchmarks.peers.rounds import EMITTED, MANY, Contender, Size, many
from benchmarks.peers.ways import Way
from benchmarks.sides import play_all, told
from tests.meshkit.redis_server import running_redis
from tests.servers.postgresql import running_postgres

COUNTS = (1, 2, 4)
ROUNDS = 5
_LOUD_JOBS = 4
_EVENTS_EACH = 2_000
_KEEPS = 0.9
"""More replicas on the same cores share them; what is asked for is that they cost next to nothing."""


def measure() -> list[Figure]:
    """Run all meshes at once on one PostgreSQL and one Redis, and let them take turns."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_postgres(durable=True))
        redis = stack.enter_context(running_redis())
        jobs: list[Contender] = []
        loud: list[Contender] = []
        for count in COUNTS:
            env = {
                "AGENTMESH_DATABASE_URL": postgres.fresh(),
                "AGENTMESH_REDIS_URL": redis.url,
                "AGENTMESH_REPLICAS": str(count),
            }
            mesh = stack.enter_context(running_mesh(cwd=ROOT, env=env))
            if why_not := expose(mesh, [DECLARED, SHARED], hosts=count):
                raise Failed(str(why_not))
            key = asyncio.run(login(mesh.url))
            for name in (DECLARED, SHARED):
                way = dataclasses.replace(ways.mesh(name), name=_name(name, count))
                jobs.append(Contender(way=way, url=mesh.url, pid=mesh.process.pid, key=key))
            loud.append(Contender(way=_loud(count), url=mesh.url, pid=mesh.process.pid, key=key))
        size = Size(jobs=200)
        played = play_all(jobs, ROUNDS, size, [many])
        emitted = play_all(loud, ROUNDS, size, [_events])
    figures = []
    for name in (DECLARED, SHARED):
        promises = [_promise(_name(name, count), MANY) for count in COUNTS[1:]]
        figures += told(played, _name(name, 1), promises, [MANY])
    promises = [_promise(_loud(count).name, EMITTED) for count in COUNTS[1:]]
    return figures + told(emitted, _loud(1).name, promises, [EMITTED])


def _name(expose_name: str, count: int) -> str:
    return f"{expose_name}, {count} of each service" if count > 1 else f"{expose_name}, 1 of each service"


def _promise(way: str, figure: str) -> Promise:
    return Promise(way=way, figure=figure, peer="", ratio=_KEEPS, at_least=True)


def _loud(count: int) -> Way:
    return dataclasses.replace(
        ways.mesh(SHARED),
        name=_name("events", count),
        request=lambda: ("/mesh/v1/jobs", {"target": f"flows/{SHARED}{LOUD}", "inputs": {"events": _EVENTS_EACH}}),
    )


async def _events(contender: Contender, size: Size) -> dict[str, float]:
    """Run jobs that emit as fast as they can, all at once; return the events a second until the last is written."""

    async def run() -> None:
        async with contender.connect() as http:
            await contender.way.wait(http, await contender.way.start(http))

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(_LOUD_JOBS):
            group.create_task(run())
    return {EMITTED: _LOUD_JOBS * _EVENTS_EACH / (time.perf_counter() - started)}
