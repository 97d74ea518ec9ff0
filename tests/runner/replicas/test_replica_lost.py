"""What becomes of jobs when one of the runner's replicas dies: nothing is lost, and nothing runs twice."""

import asyncio
import contextlib
import os

from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.runner.replicas.running import Replicas, replicas
from tests.runner.replicas.test_replicas import TWO, check
from tests.runner.stack import DEADLINE_S
from tests.servers.postgresql import Postgres


async def _held(both: Replicas, count: int) -> dict[str, job_pb2.Job]:
    """Launch jobs that run until their gate opens, at either replica; return them by gate, once all run."""
    jobs = {}
    for number in range(count):
        gate = str(both.at[0].folder / f"gate{number}")
        os.mkfifo(gate)
        jobs[gate] = await both.at[number % 2].create(end="gate", path=gate, events=20)
    for job in jobs.values():
        await both.at[1].until(job, "debug", "event 19")
    return jobs


async def _open(gate: str) -> None:
    """Let a job go on that waits at its gate."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(OSError):  # it has not come to its gate yet
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
                return
            await asyncio.sleep(0.05)


async def test_jobs_outlive_either_replica(postgres_server: Postgres) -> None:
    """Each is killed in turn: hosts go on at the other, with all that they hold; what waits is run, once."""
    async with replicas(postgres_server) as both:
        await both.at[0].deploy(deployments_json=TWO)
        for dead, alive in ((0, 1), (1, 0)):
            jobs = await _held(both, 6)
            watches = [asyncio.create_task(both.at[alive].events(job)) for job in jobs.values()]

            await both.kill(dead)
            new = [await both.at[alive].create(n=number) for number in range(4)]
            for gate in jobs:
                await _open(gate)
            for watch in watches:
                check(events := await watch)
                assert 1 == [event.payload for event in events if event.kind == "status"].count("running")
            for job in new:
                check(await both.at[alive].events(job))
            done = [await both.at[alive].get(job) for job in (*jobs.values(), *new)]
            placed = await both.at[alive].deploy(f"after{dead}")
            await both.start(dead)
            await both.at[dead].ready()
            check(await both.at[dead].events(await both.at[dead].create(f"flows/after{dead}")))

            assert {job_pb2.JOB_STATE_SUCCEEDED} == {job.state for job in done}
            assert app_pb2.APP_STATE_RUNNING == placed.state
            for gate in jobs:
                os.unlink(gate)


async def test_who_stands_still_is_not_waited_for(postgres_server: Postgres) -> None:
    """A replica that is frozen loses its hosts to the other; when it goes on, it has nothing to say about them."""
    async with replicas(postgres_server, AGENTMESH_LEASE_S="30") as both:
        await both.at[0].deploy(deployments_json=TWO)
        jobs = await _held(both, 4)
        watches = [asyncio.create_task(both.at[1].events(job)) for job in jobs.values()]

        both.freeze(0)
        async with asyncio.timeout(2 * DEADLINE_S):
            while True:
                await asyncio.sleep(0.2)
                if len(set(both.sql("SELECT runner_id FROM agentmesh_runner.hosts").split())) == 1:
                    break
        both.thaw(0)
        for gate in jobs:
            await _open(gate)

        for watch in watches:
            check(await watch)
        for job in jobs.values():
            check(await both.at[0].events(job))
