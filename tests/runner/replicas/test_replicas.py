"""Several replicas of the runner on one database: none owns a job, and what one began another goes on with."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from tests.runner.jobs.test_jobs import kinds
from tests.runner.replicas.running import LONG_LEASE_S, Replicas, replicas
from tests.runner.stack import DEADLINE_S, Stack
from tests.servers.postgresql import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")
TWO = '[{"num_replicas": 2}]'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(postgres_server: Postgres) -> AsyncIterator[Replicas]:
    """Run two replicas for this module, with an app on a host at each."""
    async with replicas(postgres_server, AGENTMESH_LEASE_S=LONG_LEASE_S) as both:
        await both.at[0].deploy(deployments_json=TWO)
        await both.at[1].deploy("locking", "tests.runner.samples.locking:app", deployments_json=TWO)
        yield both


def check(events: list[job_pb2.Event]) -> None:
    """Assert that a log has no gap, and one end."""
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    assert ["final", "status"] == kinds(events)[-2:]
    assert 1 == kinds(events).count("final")


async def hosts(both: Replicas, expose: str) -> dict[str, set[str]]:
    """Return the hosts that serve an app, by the replica that they hang on."""
    rows = both.sql(f"SELECT runner_id, host_id FROM agentmesh_runner.hosts WHERE expose = '{expose}'")
    found: dict[str, set[str]] = {}
    for row in rows.splitlines():
        runner_id, host_id = row.split("|")
        found.setdefault(runner_id, set()).add(host_id)
    return found


async def cancel(at: Stack, job: job_pb2.Job) -> job_pb2.Job:
    """Cancel a job."""
    request = job_pb2.CancelJobRequest(name=job.name)
    stopped: job_pb2.Job = await at.jobs.CancelJob(request, metadata=at.operator, timeout=DEADLINE_S)
    return stopped


async def test_jobs_run_wherever_a_host_hangs(both: Replicas) -> None:
    """Launched at either replica, watched at the other."""
    jobs = [(await both.at[number % 2].create(events=20), number) for number in range(8)]

    for job, number in jobs:
        check(await both.at[(number + 1) % 2].events(job))

    assert [1, 1] == [len(each) for each in (await hosts(both, "demo")).values()]


async def test_a_job_is_cancelled_through_either_replica(both: Replicas) -> None:
    """Its process is gone when the answer comes, though its host hangs elsewhere."""
    jobs = [await both.at[0].create(end="sleep") for _ in range(4)]
    for job in jobs:
        await both.at[1].until(job, "status", "running")

    stopped = [await cancel(both.at[number % 2], job) for number, job in enumerate(jobs)]

    assert [job_pb2.JOB_STATE_CANCELLED] * 4 == [job.state for job in stopped]
    for job in jobs:
        assert 1 == kinds(await both.at[0].events(job)).count("error")


async def test_a_lock_is_answered_through_either_replica(both: Replicas) -> None:
    """The app that checks the answer, and the job that waits for it, hang on one of the two."""
    jobs = [await both.at[number % 2].create("flows/locking", how="greet") for number in range(4)]
    for number, job in enumerate(jobs):
        (lock,) = await both.at[number // 2].open_locks(job)
        await both.at[(number // 2 + 1) % 2].answer(lock.name, greeting="hello")

    for job in jobs:
        check(await both.at[0].events(job))


async def test_an_app_is_called_through_either_replica(both: Replicas) -> None:
    """A form handler answers wherever its host hangs."""
    for number in range(6):
        at = both.at[number % 2]
        request = app_pb2.CallAppRequest(name="apps/demo", method="GET", path="/")
        answer = await at.apps.CallApp(request, metadata=at.operator, timeout=DEADLINE_S)
        assert 200 == answer.status


async def test_an_app_is_deployed_through_either_replica(both: Replicas) -> None:
    """Whichever places hosts, the other knows of the app when the answer comes, and of its end."""
    for number in (0, 1):
        at, expose = both.at[number], f"fleeting{number}"
        assert app_pb2.APP_STATE_RUNNING == (await at.deploy(expose)).state
        check(await at.events(await at.create(f"flows/{expose}")))
        await at.apps.RemoveApp(
            app_pb2.RemoveAppRequest(name=f"apps/{expose}"), metadata=at.operator, timeout=DEADLINE_S
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await at.create(f"flows/{expose}")
        assert grpc.StatusCode.UNAVAILABLE is refused.value.code()


async def test_a_request_is_made_once(both: Replicas) -> None:
    """However many of it come to whatever replica at once."""
    same = [both.at[number % 2].create(request_id="once", n=1) for number in range(6)]

    assert 1 == len({job.name for job in await asyncio.gather(*same)})
