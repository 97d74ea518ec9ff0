"""The rules of jobs that wait for a human without a process."""

import dataclasses

import pytest

from meshkit.errors import FailedPrecondition
from services.runner import domain
from services.runner.domain import Lease, Lock, OpenLock, Reason, State
from tests.runner.domain.test_waits import JOB

WAITING = dataclasses.replace(
    JOB, state=State.AWAITING_INPUT, host_id="h", epoch=3, source_seq=9, pending_locks=("1", "2"), attempt=1
)
PARKED = domain.locks.park(WAITING).job


def lock(lock_id: str) -> Lock:
    """Return a pending lock of the job."""
    return Lock(
        lock_id=lock_id,
        job_id=JOB.job_id,
        owner=JOB.owner,
        title="go",
        elements_json="[]",
        data_json="{}",
        created_at=1.0,
        expires_at=99.0,
    )


def again(lock_id: str) -> OpenLock:
    """Return what a job says that waits on a lock of an attempt before."""
    return OpenLock(lock_id=lock_id, title="go", elements_json="[]", data_json="{}", timeout_s=0.0, again=True)


def test_a_parked_job_keeps_what_it_waits_for() -> None:
    """Its host and lease are gone; who has it still is not listened to."""
    assert (State.AWAITING_INPUT, ("1", "2"), "", 4, 0) == (
        PARKED.state,
        PARKED.pending_locks,
        PARKED.host_id,
        PARKED.epoch,
        PARKED.source_seq,
    )
    assert PARKED.parked
    with pytest.raises(domain.Stale):
        domain.report(PARKED, Lease("h", WAITING.epoch), 10, (), None, 5.0)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.AWAITING_INPUT, State.PAUSED)])
def test_only_who_waits_is_parked(state: State) -> None:
    """Whatever else it did, it may have been in the middle of it."""
    with pytest.raises(FailedPrecondition):
        domain.locks.park(dataclasses.replace(WAITING, state=state))


def test_who_is_answered_while_its_host_is_found_to_be_gone_goes_on() -> None:
    """In another attempt; whatever else has happened to it meanwhile stands."""
    answered = dataclasses.replace(WAITING, state=State.RUNNING, pending_locks=())
    elsewhere = dataclasses.replace(answered, epoch=WAITING.epoch + 1)
    stopping = dataclasses.replace(WAITING, state=State.STOPPING, reason=domain.Reason.USER_STOP)

    change = domain.locks.orphan(answered, WAITING, 50.0)

    assert (State.QUEUED, "", WAITING.epoch + 1) == (change.job.state, change.job.host_id, change.job.epoch)
    assert ["queued"] == [event.payload for event in change.events]
    assert PARKED == domain.locks.orphan(WAITING, WAITING, 50.0).job
    assert elsewhere == domain.locks.orphan(elsewhere, WAITING, 50.0).job
    assert State.CANCELLED == domain.locks.orphan(stopping, WAITING, 50.0).job.state


def test_any_answer_starts_the_next_attempt() -> None:
    """The job may have waited for this one only; the other stays open."""
    change = domain.locks.answer(PARKED, lock("2"), '"yes"', "users/a", 50.0)

    assert (State.QUEUED, ("1",)) == (change.job.state, change.job.pending_locks)
    assert [("lease", None), ("status", "queued")] == [
        (event.kind, event.payload if event.kind == "status" else None) for event in change.events
    ]
    assert (State.QUEUED, ()) == (
        (second := domain.locks.expire(change.job, "1", 60.0)).job.state,
        second.job.pending_locks,
    )
    assert () == second.events


def test_who_waits_again_awaits_input() -> None:
    """No second lock is opened; of one that has ended the job is told by others."""
    running = dataclasses.replace(PARKED, state=State.RUNNING, host_id="i", pending_locks=("1",))
    waits = domain.locks.open_lock(running, (), again("1"), 70.0)
    late = domain.locks.open_lock(running, (), again("2"), 70.0)

    assert (State.AWAITING_INPUT, ()) == (waits.job.state, waits.opened)
    assert (State.RUNNING, ()) == (late.job.state, late.opened)


def test_a_parked_job_is_stopped_at_once() -> None:
    """There is nothing to wait for."""
    change = domain.stop(PARKED, Reason.USER_STOP, 80.0)

    assert State.CANCELLED == change.job.state
    assert ["1", "2"] == [end.lock_id for end in change.ended]
