"""Policies of retries: which ends they are about, and how long they wait."""

import dataclasses

import pytest

from services.runner import domain
from services.runner.domain import End, Reason, State, attempts, retrying
from services.runner.domain.retrying import Retries
from tests.runner.domain.test_attempts import JOB, LOST

FAILED = End(state=State.FAILED, reason=Reason.ERROR, error="no line", error_types=("ConnectionError", "OSError"))


@pytest.mark.parametrize(
    ("on", "end", "meant"),
    [
        ((), FAILED, True),
        ((), LOST, True),
        (("OSError",), FAILED, True),
        (("OSError",), LOST, False),
        (("WorkerLost",), LOST, True),
        (("WorkerLost",), FAILED, False),
        (("ValueError",), FAILED, False),
        ((), dataclasses.replace(FAILED, error_types=()), False),
    ],
)
def test_what_a_policy_is_about(on: tuple[str, ...], end: End, meant: bool) -> None:
    """Classes by any of their names; what comes out the same each time has none."""
    job = dataclasses.replace(JOB, retries_json=Retries(attempts=3, on=on).dumped())

    ended = attempts.lose(job, end, 3.0).job

    assert meant is (ended.state == State.RETRYING)
    assert meant or (State.FAILED, end.reason) == (ended.state, ended.reason)


def test_agents_are_started_again_when_they_are_lost_only() -> None:
    """They have no policy of their own."""
    assert State.FAILED == attempts.lose(JOB, FAILED, 3.0).job.state
    assert State.RETRYING == attempts.lose(JOB, LOST, 3.0).job.state


def test_pauses_double_up_to_the_longest_one() -> None:
    """With jitter they are others, the same each time that one asks."""
    policy = Retries(attempts=9, pause_s=1.0, pause_s_max=5.0)
    job = dataclasses.replace(JOB, retries_json=policy.dumped())
    pauses = [retrying.pause_s(dataclasses.replace(job, attempt=n, failures=n, epoch=2 * n)) for n in range(1, 6)]

    assert [1.0, 2.0, 4.0, 5.0, 5.0] == pauses
    drawn = dataclasses.replace(job, retries_json=dataclasses.replace(policy, jitter=0.5).dumped(), failures=1, epoch=2)
    others = [retrying.pause_s(dataclasses.replace(drawn, job_id=f"{n:024}")) for n in range(50)]
    assert all(0.5 <= pause_s <= 1.5 for pause_s in others)
    assert 40 < len(set(others))
    assert retrying.pause_s(drawn) == retrying.pause_s(drawn)


def test_a_job_that_was_parked_has_lost_no_attempt() -> None:
    """Starts for an answer are none of those that a policy counts."""
    job = dataclasses.replace(JOB, attempt=7, failures=0, epoch=14, retries_json=Retries(attempts=2).dumped())

    assert State.RETRYING == attempts.lose(job, FAILED, 3.0).job.state


@pytest.mark.parametrize(
    "policy",
    [
        Retries(attempts=0),
        Retries(attempts=101),
        Retries(pause_s=0),
        Retries(pause_s=float("nan")),
        Retries(pause_s_max=1e9),
        Retries(jitter=2),
        Retries(on=("x",) * 33),
        Retries(on=("",)),
    ],
)
def test_what_is_no_policy(policy: Retries) -> None:
    """Each field is named."""
    assert policy.wrong()


def test_at_its_limits_a_job_fails_and_is_not_stopped() -> None:
    """Once nothing of it runs: until then it is being stopped."""
    end = End(state=State.FAILED, reason=Reason.TIMEOUT, error="too late")
    stopping = domain.give_up(JOB, end, 3.0).job
    ended = domain.end(stopping, domain.lost("its host was lost"), 4.0).job

    assert State.STOPPING == stopping.state
    assert (State.FAILED, Reason.TIMEOUT, "too late") == (ended.state, ended.reason, ended.error)
    assert State.FAILED == domain.give_up(dataclasses.replace(JOB, state=State.QUEUED), end, 3.0).job.state
