"""What becomes of ticks: on time, missed, one over another."""

import dataclasses
from collections.abc import Sequence

import pytest

from meshkit.errors import FailedPrecondition, Invalid
from services.runner.domain import schedules
from services.runner.domain.schedules import Firing, FiringState, Missed, Overlap, Schedule, ScheduleState

HOUR = 3600.0
L, S = FiringState.LAUNCHING, FiringState.SKIPPED


class Hourly:
    """Every hour on the hour."""

    def after(self, moment: float) -> float | None:
        """As `Times.after`."""
        return (moment // HOUR + 1) * HOUR

    def before(self, moment: float) -> float | None:
        """As `Times.before`."""
        return moment // HOUR * HOUR


def schedule(**more: object) -> Schedule:
    """Return a schedule that fires at one o'clock."""
    fields = {
        "schedule_id": "s",
        "owner": "users/a",
        "display_name": "",
        "target": "flows/demo",
        "inputs_json": "{}",
        "cron": "0 * * * *",
        "run_at": 0.0,
        "time_zone": "",
        "missed": Missed.RUN_ONCE,
        "missed_runs_max": 3,
        "overlap": Overlap.ALLOW,
        "jitter_s": 0,
        "starts_at": 0.0,
        "ends_at": 0.0,
        "labels_json": "",
        "created_at": 1.0,
        "updated_at": 1.0,
        **more,
    }
    return schedules.aim(Schedule(**fields), Hourly(), 1.0)  # type: ignore[arg-type]


def fired(
    before: Schedule, now: float, open_: Sequence[Firing] = ()
) -> tuple[Schedule, list[tuple[FiringState, float]]]:
    """Fire what is due; return the schedule as it is then, and its firings by state and hour."""
    done = schedules.fire(before, open_, Hourly(), now)
    assert [each.number for each in done.firings] == list(
        range(before.firing_count + 1, done.schedule.firing_count + 1)
    )
    return done.schedule, [(each.state, each.tick / HOUR) for each in done.firings]


def test_a_tick_fires_once() -> None:
    """Not before it is due; then the next one is aimed at."""
    assert (schedule(), []) == fired(schedule(), HOUR - 1)

    after, firings = fired(schedule(), HOUR + 0.5)

    assert [(L, 1.0)] == firings
    assert 2 * HOUR == after.next_at
    assert [] == fired(after, HOUR + 0.6)[1]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Missed.SKIP, [(S, 5.0)]),
        (Missed.RUN_ONCE, [(S, 5.0), (L, 5.0)]),
        (Missed.RUN_ALL, [(S, 5.0), (L, 3.0), (L, 4.0), (L, 5.0)]),
    ],
)
def test_missed_ticks(policy: Missed, expected: list[tuple[FiringState, float]]) -> None:
    """Five hours went by without a runner; those that are left out are told of in one line."""
    after, firings = fired(schedule(missed=policy), 5 * HOUR + 120)

    assert expected == firings
    assert 6 * HOUR == after.next_at


def test_a_tick_on_time_runs_for_those_that_were_missed() -> None:
    """One run for all of them is what was asked for."""
    assert [(S, 4.0), (L, 5.0)] == fired(schedule(), 5 * HOUR + 1)[1]
    assert [(S, 4.0), (L, 5.0)] == fired(schedule(missed=Missed.SKIP), 5 * HOUR + 1)[1]


def test_years_of_missed_ticks_cost_no_more_than_the_bound() -> None:
    """Of an age without a runner the last ones fire."""
    after, firings = fired(schedule(missed=Missed.RUN_ALL, missed_runs_max=100), 100_000 * HOUR + 120)

    assert 101 == len(firings)
    assert 100_001 * HOUR == after.next_at


def test_jitter_is_the_same_whoever_reckons_it() -> None:
    """Late by less than half the way to the next tick, and by no more than was said."""
    late = schedule(jitter_s=3600)

    assert HOUR < late.next_at < 1.5 * HOUR
    assert late.next_at == schedule(jitter_s=3600).next_at
    assert [] == fired(late, late.next_at - 0.1)[1]
    assert [(L, 1.0)] == fired(late, late.next_at)[1]


def test_a_schedule_is_over_at_its_end() -> None:
    """The end itself is no tick; the start is."""
    after, firings = fired(schedule(starts_at=2 * HOUR, ends_at=3 * HOUR), 2 * HOUR)

    assert [(L, 2.0)] == firings
    assert (ScheduleState.ENDED, 0.0) == (after.state, after.next_at)
    with pytest.raises(FailedPrecondition):
        schedules.resume(after, Hourly(), 4 * HOUR)


def test_ticks_of_a_pause_are_not_made_up_for() -> None:
    """It goes on with the next one."""
    paused = schedules.pause(schedule(), 10.0)

    assert [] == fired(paused, 5 * HOUR)[1]
    assert 6 * HOUR == schedules.resume(paused, Hourly(), 5 * HOUR + 1).next_at


def test_one_waits_in_line_and_no_more() -> None:
    """A second one is left out while one is queued."""
    queued = Firing(schedule_id="s", number=1, state=FiringState.QUEUED, tick=0.0, at=0.0)
    line = dataclasses.replace(schedule(overlap=Overlap.QUEUE_ONE), firing_count=1)

    assert [(S, 1.0)] == fired(line, HOUR, [queued])[1]
    assert [(L, 1.0)] == fired(line, HOUR, [])[1]


def test_a_stopped_schedule_has_nothing_in_line() -> None:
    """What was to be launched has failed, and says why."""
    launching = Firing(schedule_id="s", number=1, state=L, tick=0.0, at=0.0)

    done = schedules.stop(schedule(), [launching], "its owner is gone", 5.0)

    assert (ScheduleState.STOPPED, 0.0) == (done.schedule.state, done.schedule.next_at)
    assert [(FiringState.FAILED, "its owner is gone")] == [(each.state, each.message) for each in done.firings]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("cron", {"run_at": 5.0}),
        ("cron", {"cron": ""}),
        ("time_zone", {"cron": "", "run_at": 5.0, "time_zone": "Europe/Berlin"}),
        ("missed_runs_max", {"missed_runs_max": 101}),
        ("jitter_seconds", {"jitter_s": -1}),
        ("end_time", {"starts_at": 5.0, "ends_at": 5.0}),
        ("display_name", {"display_name": "x" * 201}),
    ],
)
def test_what_cannot_be_kept_is_refused(field: str, changes: dict[str, object]) -> None:
    """The field is named as in the contract."""
    with pytest.raises(Invalid) as caught:
        schedules.check(dataclasses.replace(schedule(), **changes), 1.0)  # type: ignore[arg-type]

    assert [field] == list(caught.value.fields)
