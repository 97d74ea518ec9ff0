"""What a host says is cut into messages: at once what is urgent, together what is not."""

import asyncio

import pytest_asyncio
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh.host.attached.running import RunningJob
from agentmesh.host.attached.uplink import Uplink
from agentmesh.host.jobs.carrying import event
from agentmesh.host.talk.frames import Kind

PATIENCE_S = 60.0


class Idle:
    """A way of running in which nothing runs."""

    def __init__(self) -> None:
        self.is_killed = False

    @property
    def held_bytes_max(self) -> int:
        """Any amount."""
        return 1 << 60

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Hear it."""

    def keep(self, count: int) -> None:
        """Hear it."""

    def pause(self) -> None:
        """Hear it."""

    def resume(self) -> None:
        """Hear it."""

    def cancel(self, grace_s: float) -> None:
        """Hear it."""

    def kill(self) -> None:
        """Note it."""
        self.is_killed = True

    def file_result(self, result: host_pb2.FileResult) -> None:
        """Hear it."""

    def hold(self) -> None:
        """Hear it."""

    def go_on(self) -> None:
        """Hear it."""


@pytest_asyncio.fixture
async def uplink() -> Uplink:
    """Return an uplink on the test's loop."""
    return Uplink()


def running(uplink: Uplink, name: str = "jobs/1") -> RunningJob:
    """Return a job that has been taken up and has said so."""
    job = RunningJob(host_pb2.Run(job=name, epoch=1), uplink.talk, lambda job, call: True)
    job.way = Idle()
    job.take(Kind.RUNNING, b"")
    job.tell()
    return job


def reports(messages: list[host_pb2.HostMessage]) -> list[host_pb2.Report]:
    """Return the reports among messages."""
    return [message.report for message in messages if message.HasField("report")]


async def test_silence_is_a_heartbeat(uplink: Uplink) -> None:
    """After the patience that is given."""
    (message,) = await uplink.take(0.01)

    assert message.HasField("heartbeat")


async def test_a_job_that_has_only_begun_is_reported_soon(uplink: Uplink) -> None:
    """With all others that have."""
    for number in range(3):
        running(uplink, f"jobs/{number}")

    found = reports(await uplink.take(PATIENCE_S))

    assert ["jobs/0", "jobs/1", "jobs/2"] == [report.job for report in found]
    assert {job_pb2.JOB_STATE_RUNNING} == {report.outcome.state for report in found}


async def test_what_comes_at_once_is_one_report(uplink: Uplink) -> None:
    """From the first word to the last."""
    job = running(uplink)
    job.take(Kind.EVENT, event("debug", "hello"))
    job.end(host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED))

    (report,) = reports(await uplink.take(PATIENCE_S))

    assert (1, ["hello"], job_pb2.JOB_STATE_SUCCEEDED) == (
        report.source_seq,
        [item.payload for item in report.events],
        report.outcome.state,
    )
    assert uplink.empty


async def test_a_message_is_bounded(uplink: Uplink) -> None:
    """Whatever the number of jobs and answers; nothing is left out."""
    jobs = [running(uplink, f"jobs/{number}") for number in range(20)]
    for job in jobs:
        job.take(Kind.EVENT, event("debug", "x" * 1_000_000))
        job.tell()
    for number in range(3):
        uplink.post(host_pb2.HostMessage(call_result=host_pb2.CallResult(call_id=number, body=bytes(3_000_000))))

    sizes, found = [], 0
    while not uplink.empty:
        messages = await uplink.take(PATIENCE_S)
        sizes.append(sum(message.ByteSize() for message in messages))
        found += len(messages)

    assert 23 == found
    assert max(sizes) < 8 * 1024 * 1024


async def test_a_new_stream_begins_with_what_was_not_acknowledged(uplink: Uplink) -> None:
    """Ahead of what a job has said since; answers to the old one are dropped."""
    job = running(uplink)
    job.take(Kind.EVENT, event("debug", "sent"))
    job.tell()
    await uplink.take(PATIENCE_S)
    job.take(Kind.EVENT, event("debug", "not sent"))
    job.tell()
    uplink.post(host_pb2.HostMessage(call_result=host_pb2.CallResult()))

    uplink.begin([host_pb2.HostMessage(loaded=host_pb2.Loaded())], [job])
    messages = await uplink.take(PATIENCE_S)

    assert ["loaded", "report", "report"] == [message.WhichOneof("message") for message in messages]
    assert [["sent"], ["not sent"]] == [[item.payload for item in report.events] for report in reports(messages)]


async def test_what_is_no_event_ends_its_job(uplink: Uplink) -> None:
    """In words; the other's report goes out."""
    broken, other = running(uplink, "jobs/1"), running(uplink, "jobs/2")
    broken.take(Kind.EVENT, b"\xff\xff")
    other.take(Kind.EVENT, event("debug", "hello"))
    for job in (broken, other):
        job.tell()

    async with asyncio.timeout(PATIENCE_S):
        found = reports(await uplink.take(PATIENCE_S))

    assert {"jobs/1", "jobs/2"} == {report.job for report in found}
    assert "sent an event that is none" in found[0].outcome.error
    assert isinstance(broken.way, Idle)
    assert broken.way.is_killed
