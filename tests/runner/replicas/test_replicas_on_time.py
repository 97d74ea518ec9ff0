"""What is due is done by one of several replicas, and what is asked of a job reaches it through any of them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2, schedule_pb2, webhook_pb2
from google.protobuf import struct_pb2, timestamp_pb2

from tests.runner.jobs.test_jobs import kinds
from tests.runner.jobs.test_pauses import pause, resume
from tests.runner.replicas.running import LONG_LEASE_S, Replicas, replicas
from tests.runner.schedules.test_schedules import LAUNCHED, until
from tests.runner.stack import DEADLINE_S, Stack
from tests.runner.webhooks.receiving import receiving
from tests.servers.postgresql import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")
_COUNT = 6
_SOON_S = 5.0
"""From when a schedule is asked for: what is over by the time it is made is refused."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(postgres_server: Postgres) -> AsyncIterator[Replicas]:
    """Run two replicas for this module, with an app on a host at each."""
    running = replicas(postgres_server, AGENTMESH_LEASE_S=LONG_LEASE_S, AGENTMESH_WEBHOOKS_PRIVATE_ENDPOINTS="allow")
    async with running as both:
        await both.at[0].deploy(deployments_json='[{"num_replicas": 2}]')
        yield both


async def schedule(at: Stack, moment: float) -> schedule_pb2.Schedule:
    """Have a job start at a moment."""
    inputs = struct_pb2.Struct()
    inputs.update({"events": 1})
    asked = schedule_pb2.Schedule(
        target="flows/demo", inputs=inputs, run_time=timestamp_pb2.Timestamp(seconds=int(moment))
    )
    request = schedule_pb2.CreateScheduleRequest(schedule=asked)
    made: schedule_pb2.Schedule = await at.schedules.CreateSchedule(request, metadata=at.operator, timeout=DEADLINE_S)
    return made


async def firings(at: Stack, made: schedule_pb2.Schedule) -> list[schedule_pb2.Firing]:
    """Return what a schedule has fired."""
    request = schedule_pb2.ListFiringsRequest(parent=made.name)
    return list((await at.schedules.ListFirings(request, metadata=at.operator, timeout=DEADLINE_S)).firings)


async def deliveries(at: Stack, made: webhook_pb2.Webhook) -> list[webhook_pb2.Delivery]:
    """Return what an address was and is to be told."""
    request = webhook_pb2.ListDeliveriesRequest(parent=made.name)
    return list((await at.webhooks.ListDeliveries(request, metadata=at.operator, timeout=DEADLINE_S)).deliveries)


async def test_a_tick_is_one_job_and_its_news_are_told_once(both: Replicas) -> None:
    """Both look at the clock and at what is to be sent, and each thing is done by one of them."""
    one, two = both.at
    async with receiving() as address:
        request = webhook_pb2.CreateWebhookRequest(webhook=webhook_pb2.Webhook(url=address.url))
        hook = await one.webhooks.CreateWebhook(request, metadata=one.operator, timeout=DEADLINE_S)
        made = [await schedule(both.at[number % 2], time.time() + _SOON_S) for number in range(_COUNT)]

        async def fired() -> list[list[schedule_pb2.Firing]]:
            return [await firings(two, each) for each in made]

        def all_launched(found: list[list[schedule_pb2.Firing]]) -> bool:
            return all(each and all(firing.state == LAUNCHED for firing in each) for each in found)

        history = await until(fired, all_launched)
        names = [firing.job for each in history for firing in each]
        for name in names:
            assert "final" in kinds(await two.events(job_pb2.Job(name=name)))
        sent = await until(
            lambda: deliveries(two, hook),
            lambda found: (
                len(found) == 3 * _COUNT and all(d.state == webhook_pb2.DELIVERY_STATE_DELIVERED for d in found)
            ),
        )
        jobs = await one.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=one.operator, timeout=DEADLINE_S)

        assert [1] * _COUNT == [len(each) for each in history]
        assert sorted(names) == sorted(job.name for job in jobs.jobs)
        assert {1} == {each.attempt_count for each in sent}
        assert 3 * _COUNT == len(address.received) == len({each.headers["webhook-id"] for each in address.received})
        gone = webhook_pb2.DeleteWebhookRequest(name=hook.name)
        await two.webhooks.DeleteWebhook(gone, metadata=two.operator, timeout=DEADLINE_S)


async def test_a_job_is_paused_and_resumed_through_either_replica(both: Replicas) -> None:
    """Wherever its host hangs."""
    jobs = [await both.at[0].create(end="sleep") for _ in range(4)]
    for job in jobs:
        await both.at[1].until(job, "status", "running")

    halted = await asyncio.gather(*(pause(both.at[1], job) for job in jobs))
    going = await asyncio.gather(*(resume(both.at[0], job) for job in jobs))
    for job in jobs:
        request = job_pb2.CancelJobRequest(name=job.name)
        await both.at[1].jobs.CancelJob(request, metadata=both.at[1].operator, timeout=DEADLINE_S)

    assert {job_pb2.JOB_STATE_PAUSED} == {job.state for job in halted}
    assert job_pb2.JOB_STATE_PAUSED not in {job.state for job in going}
    for job in jobs:
        log = await both.at[0].events(job)
        assert list(range(1, len(log) + 1)) == [event.seq for event in log]


async def test_a_deadline_ends_a_job_wherever_its_host_hangs(both: Replicas) -> None:
    """It has failed, once, when its time is over."""
    inputs = struct_pb2.Struct()
    inputs.update({"end": "sleep"})
    request = job_pb2.CreateJobRequest(flow="flows/demo", inputs=inputs, deadline_s=2.0)
    made = [await at.jobs.CreateJob(request, metadata=at.operator, timeout=DEADLINE_S) for at in (*both.at, *both.at)]

    for number, job in enumerate(made):
        log = await both.at[number // 2].events(job)
        ended = await both.at[(number + 1) % 2].get(job)
        assert ["status"] == kinds(log)[-1:]
        assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_TIMEOUT) == (ended.state, ended.reason)
