"""One of two replicas has a clock that is an hour wrong: both go by PostgreSQL's, and nobody sees a difference."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2, schedule_pb2

from meshkit.clock import seconds_of
from tests.faults.clocks import clocks
from tests.runner.replicas.running import Replicas, replicas
from tests.runner.replicas.test_replicas_on_time import firings, schedule
from tests.runner.schedules.test_schedules import LAUNCHED, until
from tests.servers.postgresql import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")
LATER_S = 600.0
SOON_S = 5.0
NEAR_S = 120.0
"""What a busy machine may take for what is due, which is far less than an hour."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[-3600, 3600])
async def apart(request: pytest.FixtureRequest, postgres_server: Postgres) -> AsyncIterator[Replicas]:
    """Run two replicas for this module, of which the second is an hour behind or ahead."""
    with clocks() as time_of_day:
        async with replicas(postgres_server, clocks={1: time_of_day.apart(request.param)}) as both:
            await both.at[0].deploy(deployments_json='[{"num_replicas": 2}]')
            await both.at[0].deploy("asks", "tests.runner.samples.locking:app")
            yield both


async def test_what_is_due_is_done_at_its_time_and_once(apart: Replicas) -> None:
    """Neither an hour early nor an hour late, whichever replica was asked for it."""
    jobs = [await at.create("flows/asks", timeout=LATER_S) for at in apart.at]
    locks = [(await apart.at[0].open_locks(job))[0] for job in jobs]
    begun = time.time()
    late = [await schedule(at, begun + LATER_S) for at in apart.at]
    soon = [await schedule(at, begun + SOON_S) for at in apart.at for _ in range(3)]

    async def fired() -> list[list[schedule_pb2.Firing]]:
        return [await firings(apart.at[0], made) for made in soon]

    histories = await until(
        fired, lambda found: all(each and all(firing.state == LAUNCHED for firing in each) for each in found)
    )
    assert [1] * len(soon) == [len(history) for history in histories]
    for (firing,) in histories:
        started = await apart.at[0].get(job_pb2.Job(name=firing.job))
        assert -1 < seconds_of(started.create_time) - seconds_of(firing.tick_time) < NEAR_S
    assert [[], []] == [await firings(apart.at[0], made) for made in late]
    for number, lock in enumerate(locks):
        assert abs(seconds_of(lock.expire_time) - begun - LATER_S) < NEAR_S
        answered = await apart.at[1 - number].answer(lock.name, greeting="hello")
        assert lock_pb2.LOCK_STATE_ANSWERED == answered.state
    for job in jobs:
        await apart.at[0].events(job)


async def test_a_caller_is_known_to_both(apart: Replicas) -> None:
    """Tokens and the badges by which replicas know each other are of now, and what a log says is in order."""
    jobs = await asyncio.gather(*(at.create(events=3) for at in apart.at for _ in range(6)))
    logs = [await apart.at[number % 2].events(job) for number, job in enumerate(jobs)]

    for job, log in zip(jobs, logs, strict=True):
        found = await apart.at[1].get(job)
        assert job_pb2.JOB_STATE_SUCCEEDED == found.state
        times = [event.time for event in log]
        assert sorted(times) == times
        assert abs(seconds_of(found.create_time) - time.time()) < NEAR_S
