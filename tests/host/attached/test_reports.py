"""What a job says is reported in order, each thing once, in few pieces."""

import pytest
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh.host.attached import reports
from agentmesh.host.attached.reports import Reports


def event(number: int, size: int = 0) -> bytes:
    """Return an encoded event that names its number."""
    return job_pb2.Event(kind="debug", payload=f"{number}{'x' * size}", time=1.5).SerializeToString()


def taken(log: Reports) -> list[host_pb2.Report]:
    """Take every report there is."""
    found = []
    while (report := log.take()) is not None:
        found.append(report)
    return found


def test_events_gather_into_one_report() -> None:
    """They come out as they went in, numbered from the first."""
    log = Reports("jobs/1", 3)
    for number in range(1, 6):
        log.add_event(event(number))

    (report,) = taken(log)

    assert ("jobs/1", 3, 1) == (report.job, report.epoch, report.source_seq)
    assert [str(number) for number in range(1, 6)] == [item.payload for item in report.events]
    assert 1.5 == report.events[0].time


def running() -> host_pb2.Outcome:
    """Return what says that a job was taken up."""
    return host_pb2.Outcome(state=job_pb2.JOB_STATE_RUNNING)


def test_outcomes_and_locks_end_a_report_and_count() -> None:
    """The next report's number follows from all that came before."""
    log = Reports("jobs/1", 1)
    log.add(running())
    first = log.take()
    log.add_event(event(1))
    log.add(host_pb2.OpenLock(lock_id="l"))
    log.add_event(event(2))

    second, third = taken(log)

    assert first is not None
    assert [1, 2, 4] == [report.source_seq for report in (first, second, third)]
    assert job_pb2.JOB_STATE_RUNNING == first.outcome.state
    assert ("l", ["1"]) == (second.lock.lock_id, [item.payload for item in second.events])
    assert ["2"] == [item.payload for item in third.events]


def test_a_first_report_with_something_in_it_says_by_itself_that_the_job_runs() -> None:
    """That it runs is neither sent nor counted then."""
    log = Reports("jobs/1", 1)
    log.add(running())
    begun = log.only_begun
    log.add_event(event(1))
    log.add(host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED))

    (report,) = taken(log)

    assert begun
    assert (1, job_pb2.JOB_STATE_SUCCEEDED) == (report.source_seq, report.outcome.state)
    assert ["1"] == [item.payload for item in report.events]
    log.acknowledge(2)
    assert log.empty
    assert 0 == log.held_bytes


@pytest.mark.parametrize("size", [0, reports._BYTES_MAX // 3])
def test_reports_are_bounded(size: int) -> None:
    """By count and by bytes; nothing is lost at the seams."""
    log = Reports("jobs/1", 1)
    count = 5000 if not size else 10
    for number in range(1, count + 1):
        log.add_event(event(number, size))

    found = taken(log)

    assert len(found) > 1
    assert all(report.ByteSize() < 2 * reports._BYTES_MAX for report in found)
    assert [str(n) for n in range(1, count + 1)] == [i.payload.rstrip("x") for report in found for i in report.events]


def test_what_is_not_acknowledged_is_kept() -> None:
    """An acknowledgement frees everything up to its number."""
    log = Reports("jobs/1", 1)
    log.add_event(event(1))
    first = log.take()
    log.add_event(event(2))
    second = log.take()
    held = log.held_bytes

    log.acknowledge(1)

    assert first is not None
    assert [second] == log.unacked()
    assert 0 < log.held_bytes < held
    log.acknowledge(2)
    assert log.empty
    assert 0 == log.held_bytes
