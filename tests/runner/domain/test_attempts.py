"""The rules by which a lost job is started again, and by which somebody outside ends one."""

import dataclasses

import pytest

from meshkit.errors import FailedPrecondition
from services.runner import domain
from services.runner.domain import End, Job, Lease, Reason, State, attempts
from services.runner.domain.attempts import Completion

LOST = domain.lost("its host was lost")
JOB = Job(
    job_id="0" * 24,
    flow="flows/agents",
    target="agents/a",
    owner="users/u",
    state=State.RUNNING,
    created_at=1.0,
    updated_at=2.0,
    host_id="h",
    epoch=1,
    attempt=1,
    attempts_max=3,
)
DONE = Completion(end=End(state=State.SUCCEEDED, result_json='{"str":"x"}'), input_tokens=5)


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING, State.AWAITING_INPUT, State.PAUSED])
def test_a_lost_job_waits_for_another_attempt(state: State) -> None:
    """Whatever it did, it is RETRYING: no host holds it, no lock is open, and its lease is over."""
    job = dataclasses.replace(JOB, state=state, pending_locks=("l",))

    change = attempts.lose(job, LOST, 3.0)

    assert (State.RETRYING, "", ()) == (change.job.state, change.job.host_id, change.job.pending_locks)
    assert ["retrying"] == [event.payload for event in change.events]
    assert ["l"] == [end.lock_id for end in change.ended]
    with pytest.raises(domain.Stale):
        domain.report(change.job, Lease(job.host_id, job.epoch), 1, [], DONE.end, 4.0)


def test_a_lost_job_runs_again_with_the_next_lease() -> None:
    """RETRYING, QUEUED, STARTING, RUNNING: attempt 2, and it began when it began first."""
    waiting = attempts.lose(dataclasses.replace(JOB, started_at=1.5), LOST, 3.0).job
    queued = attempts.queue_again(waiting, 4.0).job
    leased = domain.lease(queued, "h2", 5.0).job

    again = domain.report(leased, Lease("h2", leased.epoch), 1, [], End(state=State.RUNNING), 6.0).job

    assert (State.RUNNING, 2, 1.5) == (again.state, again.attempt, again.started_at)
    assert Reason.NONE == again.reason


def test_the_last_attempt_ends_the_job() -> None:
    """There is no fourth of three."""
    end = attempts.lose(dataclasses.replace(JOB, attempt=3, failures=2), LOST, 3.0).job

    assert (State.FAILED, Reason.RETRIES_EXHAUSTED) == (end.state, end.reason)


def test_a_job_that_may_start_once_ends_with_its_host() -> None:
    """Flows are not started again unless they say so."""
    end = attempts.lose(dataclasses.replace(JOB, attempts_max=1), LOST, 3.0).job

    assert (State.FAILED, Reason.WORKER_LOST) == (end.state, end.reason)


def test_a_job_that_was_to_stop_is_not_started_again() -> None:
    """Its end is that it was stopped."""
    stopping = dataclasses.replace(JOB, state=State.STOPPING, reason=Reason.USER_STOP)

    assert State.CANCELLED == attempts.lose(stopping, LOST, 3.0).job.state


def test_a_host_that_never_begins_does_not_start_a_job_for_ever() -> None:
    """Losses before the first report are bounded too."""
    job = dataclasses.replace(JOB, attempt=0)
    for _ in range(100):
        job = attempts.lose(dataclasses.replace(job, state=State.STARTING), LOST, 3.0).job
        if job.ended:
            break
        job = domain.lease(attempts.queue_again(job, 3.0).job, "h", 3.0).job

    assert (State.FAILED, Reason.RETRIES_EXHAUSTED) == (job.state, job.reason)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("take_over", [False, True])
def test_who_may_complete_a_job(state: State, take_over: bool) -> None:
    """Whoever comes while nobody holds it; with a take-over also while a host does; never one that has ended."""
    job = dataclasses.replace(JOB, state=state)
    free = {State.PENDING, State.QUEUED, State.RETRYING}
    if state in free or (take_over and state in domain.HELD):
        change = attempts.complete(job, DONE, 3.0, take_over=take_over)
        assert (State.SUCCEEDED, '{"str":"x"}', 5) == (
            change.job.state,
            change.job.result_json,
            change.job.input_tokens,
        )
        assert change.job.epoch > job.epoch
        return

    with pytest.raises(FailedPrecondition):
        attempts.complete(job, DONE, 3.0, take_over=take_over)


def test_the_same_completion_again_changes_nothing() -> None:
    """A caller that repeats itself gets the job; another end is refused."""
    done = attempts.complete(dataclasses.replace(JOB, state=State.QUEUED), DONE, 3.0, take_over=False).job

    assert done == attempts.complete(done, DONE, 4.0, take_over=False).job
    other = Completion(end=End(state=State.FAILED, reason=Reason.ERROR, error="no"))
    with pytest.raises(FailedPrecondition):
        attempts.complete(done, other, 4.0, take_over=True)


@pytest.mark.parametrize(("is_total", "expected"), [(False, (12, 3, 1)), (True, (7, 3, 1))])
def test_what_was_consumed_comes_on_top_or_is_all(is_total: bool, expected: tuple[int, int, int]) -> None:
    """Of all, what the mesh has counted is a part, and stays if it is more."""
    job = dataclasses.replace(JOB, state=State.RUNNING, input_tokens=5, output_tokens=3)
    done = dataclasses.replace(DONE, input_tokens=7, cost_micros=1, is_total=is_total)

    ended = attempts.complete(job, done, 3.0, take_over=True).job

    assert expected == (ended.input_tokens, ended.output_tokens, ended.cost_micros)


def test_a_flows_job_is_not_completed_from_outside() -> None:
    """What a flow returns is not its buyer's to say."""
    job = dataclasses.replace(JOB, target="flows/demo", state=State.QUEUED)

    with pytest.raises(FailedPrecondition):
        attempts.complete(job, DONE, 3.0, take_over=True)
