"""Which jobs can be halted, and where they go on."""

import dataclasses

import pytest

from meshkit.errors import FailedPrecondition
from services.runner import domain
from services.runner.domain import End, Lease, OpenLock, State, pauses
from tests.runner.domain.test_attempts import DONE, JOB

CAN = {State.QUEUED: "", State.RETRYING: "", State.RUNNING: "h"}
PAUSED = dataclasses.replace(JOB, state=State.PAUSED)


@pytest.mark.parametrize("state", list(State))
def test_who_can_be_paused(state: State) -> None:
    """What waits for a host, or runs; one that is paused stays so, and the others say why they are not."""
    job = dataclasses.replace(JOB, state=state, host_id=CAN.get(state, "h"))
    if state in CAN:
        change = pauses.pause(job, 3.0)
        assert (State.PAUSED, ["paused"]) == (change.job.state, [event.payload for event in change.events])
    elif state == State.PAUSED:
        assert () == pauses.pause(job, 3.0).events
    else:
        with pytest.raises(FailedPrecondition, match=f"a job that is {state}"):
            pauses.pause(job, 3.0)


@pytest.mark.parametrize("state", list(State))
def test_who_can_be_resumed(state: State) -> None:
    """Who is under way goes on as it does; one that ends does not."""
    job = dataclasses.replace(JOB, state=state)
    if state in (*domain.TERMINAL, State.STOPPING, State.AWAITING_INPUT, State.AWAITING_PAYMENT):
        with pytest.raises(FailedPrecondition):
            pauses.resume(job, 3.0)
    else:
        assert (state != State.PAUSED) == (pauses.resume(job, 3.0).events == ())


@pytest.mark.parametrize(
    ("host_id", "locks", "state"),
    [
        ("h", (), State.RUNNING),
        ("", (), State.QUEUED),
        ("h", ("l",), State.AWAITING_INPUT),
        ("", ("l",), State.AWAITING_INPUT),
    ],
)
def test_where_a_paused_job_goes_on(host_id: str, locks: tuple[str, ...], state: State) -> None:
    """With its process, if it has one; what waits for an answer waits on."""
    job = dataclasses.replace(PAUSED, host_id=host_id, pending_locks=locks)

    assert state == pauses.resume(job, 3.0).job.state


def test_what_was_said_before_the_pause_was_heard_is_taken() -> None:
    """Events, a lock, even the end."""
    holder = Lease("h", 1)
    lock = OpenLock(lock_id="l", title="t", elements_json="[]", data_json="{}", timeout_s=0)

    asked = domain.report(PAUSED, holder, 1, [], None, 3.0, lock).job
    done = domain.report(PAUSED, holder, 1, [], DONE.end, 3.0).job
    failed = domain.report(PAUSED, holder, 1, [], End(state=State.FAILED, error="x"), 3.0).job

    assert (State.PAUSED, ("l",)) == (asked.state, asked.pending_locks)
    assert (State.SUCCEEDED, State.FAILED) == (done.state, failed.state)


def test_a_paused_job_without_a_host_ends_at_once() -> None:
    """Nobody has to be told that it is to stop."""
    parked = domain.locks.park(PAUSED).job

    assert parked.parked
    assert State.CANCELLED == domain.stop(parked, domain.Reason.USER_STOP, 3.0).job.state
