"""The rules by which a job moves."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import FailedPrecondition
from services.runner import domain
from services.runner.domain import ALLOWED, TERMINAL, End, Event, Job, Lease, OpenLock, Reason, State
from services.runner.domain.retrying import Retries

JOB = Job(job_id="0" * 24, flow="flows/demo/a", owner="users/u", state=State.QUEUED, created_at=1.0, updated_at=1.0)
DONE = End(state=State.SUCCEEDED, result_json='{"str":"x"}')
RUNNING = End(state=State.RUNNING)
HOLDER = Lease("h1", 1)


def event(number: int) -> Event:
    """Return an event that names its number."""
    return Event(kind="debug", payload=str(number), time=0.0)


def test_every_state_has_its_arrows() -> None:
    """Every state is in the table, and only the terminal ones lead nowhere."""
    assert set(State) == set(ALLOWED)
    assert {state for state, allowed in ALLOWED.items() if not allowed} == TERMINAL


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("to", list(State))
def test_only_allowed_moves_pass(state: State, to: State) -> None:
    """A move that the table does not name is refused, with the state in the error."""
    job = dataclasses.replace(JOB, state=state)
    if to in ALLOWED[state]:
        domain.move(job, to)
        return

    with pytest.raises(FailedPrecondition) as caught:
        domain.move(job, to)

    assert {"state": state} == caught.value.metadata


def test_a_lease_has_a_new_epoch_and_counts_anew() -> None:
    """Each lease is told from the one before."""
    first = domain.lease(JOB, "h1", 2.0).job
    second = domain.lease(dataclasses.replace(first, source_seq=7), "h2", 3.0).job

    assert (1, 2) == (first.epoch, second.epoch)
    assert ("h2", 0, State.STARTING) == (second.host_id, second.source_seq, second.state)


def test_a_report_of_an_old_lease_is_refused() -> None:
    """An epoch that is over, or a job that has ended, takes nothing more."""
    leased = domain.lease(JOB, "h1", 2.0).job
    ended = domain.end(leased, domain.lost("gone"), 3.0).job

    with pytest.raises(domain.Stale):
        domain.report(leased, Lease("h1", 0), 1, [event(1)], None, 3.0)
    with pytest.raises(domain.Stale):
        domain.report(ended, HOLDER, 1, [event(1)], None, 3.0)


@pytest.mark.parametrize("holder", [Lease("h2", 1), Lease("", 1), Lease("h1", 0), Lease("h1", 2)])
def test_only_who_holds_a_job_says_what_it_does(holder: Lease) -> None:
    """Another host does not, whatever it says, and whether or not anything is missing; nor does the host of before."""
    leased = domain.lease(JOB, "h1", 2.0).job
    running = domain.report(leased, HOLDER, 1, [], RUNNING, 3.0).job

    for job in (leased, running):
        domain.check_lease(job, HOLDER)
        for source_seq in (1, 99):
            with pytest.raises(domain.Stale):
                domain.report(job, holder, source_seq, [event(1)], DONE, 3.0)
        with pytest.raises(domain.Stale):
            domain.break_off(job, holder, domain.lost("forged"), 3.0)


@given(cuts=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=30))
def test_resent_reports_change_nothing(cuts: list[tuple[int, int]]) -> None:
    """Reports that overlap in any way leave each event in the log once, in order."""
    job = domain.lease(JOB, "h1", 2.0).job
    log: list[str] = []
    for back, count in cuts:
        start = max(1, job.source_seq + 1 - back)
        change = domain.report(job, HOLDER, start, [event(n) for n in range(start, start + count)], None, 3.0)
        job = change.job
        log += [e.payload for e in change.events if e.kind == "debug"]

    assert [str(n) for n in range(1, job.source_seq + 1)] == log


def test_an_outcome_counts_once() -> None:
    """A resent outcome with its events adds nothing, and RUNNING is said once."""
    job = domain.lease(JOB, "h1", 2.0).job
    running = domain.report(job, HOLDER, 1, [], RUNNING, 3.0)
    again = domain.report(running.job, HOLDER, 1, [], RUNNING, 4.0)
    ended = domain.report(again.job, HOLDER, 2, [event(2)], DONE, 5.0)

    assert ["status"] == [e.kind for e in running.events]
    assert () == again.events
    assert ["debug", "final", "status"] == [e.kind for e in ended.events]
    assert (State.SUCCEEDED, 5.0, "") == (ended.job.state, ended.job.finished_at, ended.job.host_id)


def test_a_first_report_says_that_the_job_runs() -> None:
    """Whatever is in it: the log has `running` ahead of it, at the time of the first thing that was said."""
    leased = domain.lease(JOB, "h1", 2.0).job
    told = domain.report(leased, HOLDER, 1, [dataclasses.replace(event(1), time=4.0)], DONE, 5.0)
    silent = domain.report(leased, HOLDER, 1, [], None, 5.0)

    assert ["running", "1", '{"str":"x"}', "succeeded"] == [e.payload for e in told.events]
    assert [4.0, 4.0, 5.0, 5.0] == [e.time for e in told.events]
    assert (4.0, 2) == (told.job.started_at, told.job.source_seq)
    assert State.STARTING is silent.job.state


def test_while_a_job_is_stopped_every_end_is_cancelled() -> None:
    """A result that comes too late does not undo the stop."""
    job = domain.report(domain.lease(JOB, "h1", 2.0).job, HOLDER, 1, [], RUNNING, 3.0).job
    stopping = domain.stop(job, Reason.USER_STOP, 4.0).job

    for change in (domain.report(stopping, HOLDER, 2, [], DONE, 5.0), domain.end(stopping, domain.lost("gone"), 5.0)):
        assert (State.CANCELLED, Reason.USER_STOP) == (change.job.state, change.job.reason)
        assert ["error", "status"] == [e.kind for e in change.events]


def test_a_waiting_job_stops_at_once() -> None:
    """Nobody holds it, so nobody needs to be asked."""
    change = domain.stop(JOB, Reason.OPERATOR_CANCEL, 2.0)

    assert State.CANCELLED == change.job.state
    assert "stopped by an operator" == change.job.error


def test_a_job_that_has_ended_stays_as_it_is() -> None:
    """Stopping or losing it changes nothing."""
    ended = domain.end(domain.lease(JOB, "h1", 2.0).job, domain.lost("gone"), 3.0).job

    for change in (domain.stop(ended, Reason.USER_STOP, 9.0), domain.end(ended, domain.lost("again"), 9.0)):
        assert ended == change.job
        assert () == change.events


def test_the_times_of_a_log_never_go_back() -> None:
    """What a host says it emitted before the log's last event is given that event's time; the order stays."""
    starting = domain.lease(JOB, "h1", 2.0).job
    running = domain.report(starting, HOLDER, 1, [], RUNNING, 5.0)
    early = [dataclasses.replace(event(number), time=time) for number, time in ((1, 4.9), (2, 5.1), (3, 5.0))]
    told = domain.report(running.job, HOLDER, 2, early, DONE, 5.2)

    assert [item.time for item in running.events + told.events] == [5.0, 5.0, 5.1, 5.1, 5.2, 5.2]
    assert told.job.finished_at == told.job.updated_at == 5.2


@pytest.mark.parametrize("ahead_s", [0.5, 3600.0, 1e300, math.inf, math.nan])
def test_a_host_whose_clock_is_fast_puts_nothing_off(ahead_s: float) -> None:
    """What it says is written with our time: by it a lock expires, and another attempt is made."""
    job = dataclasses.replace(JOB, attempts_max=2, retries_json=Retries(attempts=2, pause_s=1.0).dumped())
    starting = domain.lease(job, "h1", 2.0).job
    fast = dataclasses.replace(event(1), time=5.0 + ahead_s)
    opening = OpenLock(lock_id="1", title="word", elements_json="[]", data_json="{}", timeout_s=20.0)

    waiting = domain.report(starting, HOLDER, 1, [fast], None, 5.0, opening)
    lost = domain.report(starting, HOLDER, 1, [fast], domain.lost("gone"), 5.0).job

    assert max(item.time for item in waiting.events) <= 5.0
    assert [25.0] == [lock.expires_at for lock in waiting.opened]
    assert State.RETRYING == lost.state
    assert domain.attempts.due_at(lost) <= 6.0


def test_a_lock_expires_by_the_clock_though_it_was_fast_before() -> None:
    """The job was written an hour late, and the clock has been set right since: the log stays in order."""
    running = domain.report(domain.lease(JOB, "h1", 2.0).job, HOLDER, 1, [], RUNNING, 3605.0).job
    opening = OpenLock(lock_id="1", title="word", elements_json="[]", data_json="{}", timeout_s=20.0)
    waiting = domain.report(running, HOLDER, 2, [], None, 6.0, opening)

    assert [3605.0] == [item.time for item in waiting.events]
    assert [26.0] == [lock.expires_at for lock in waiting.opened]


def test_progress_that_is_nested_too_deeply_changes_nothing() -> None:
    """The job goes on, and ends."""
    leased = domain.lease(JOB, "h1", 2.0).job
    running = domain.report(leased, HOLDER, 1, [], RUNNING, 3.0).job
    deep = Event(kind="progress", payload="[" * 100_000, time=3.0)
    ended = domain.report(running, HOLDER, 2, [deep], DONE, 4.0).job

    assert (State.SUCCEEDED, running.progress) == (ended.state, ended.progress)
