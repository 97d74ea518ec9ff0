"""Schedules: records, and the rules by which their ticks become firings.

A rule sees the schedule and its open firings as they are kept, and the store writes what it decides in one step: that
the next tick moves on and that there is a firing for the one before are one fact, so a tick is fired once.
"""

import dataclasses
import enum
import hashlib
from collections.abc import Sequence
from typing import Protocol

from meshkit.errors import FailedPrecondition, Invalid

MISSED_AFTER_S = 60.0
"""A tick that nobody has seen for so long was missed."""
MISSED_RUNS_MAX = 100
MISSED_RUNS = 10
"""How many missed ticks fire, if a schedule does not say."""
FIRINGS_KEPT = 200
"""Of one schedule."""
JITTER_S_MAX = 3600
NAME_CHARS_MAX = 200


class ScheduleState(enum.StrEnum):
    """Where a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    STOPPED = "stopped"


class FiringState(enum.StrEnum):
    """Where a firing stands."""

    LAUNCHING = "launching"
    QUEUED = "queued"
    LAUNCHED = "launched"
    SKIPPED = "skipped"
    FAILED = "failed"


class Missed(enum.StrEnum):
    """What becomes of ticks that nobody saw."""

    RUN_ONCE = "run_once"
    SKIP = "skip"
    RUN_ALL = "run_all"


class Overlap(enum.StrEnum):
    """What becomes of a tick while the job of one before goes on."""

    SKIP = "skip"
    ALLOW = "allow"
    QUEUE_ONE = "queue_one"
    CANCEL_PREVIOUS = "cancel_previous"


OPEN = (FiringState.LAUNCHING, FiringState.QUEUED)
"""States of firings of which something is to be done still."""


class Times(Protocol):
    """The moments that a schedule names, in seconds since 1970."""

    def after(self, moment: float) -> float | None:
        """Return the first one behind a moment, or `None`."""

    def before(self, moment: float) -> float | None:
        """Return the last one at or before a moment, or `None`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A target, its inputs, and when.  Times are seconds since 1970, 0.0 where there is none."""

    schedule_id: str
    owner: str
    """`users/{uuid}`."""
    display_name: str
    target: str
    inputs_json: str
    """A JSON object, with masks for what is secret."""
    sealed: bytes = b""
    """The same, if some of it is secret."""
    cron: str
    """Empty for a schedule of one moment."""
    run_at: float
    time_zone: str
    missed: Missed
    missed_runs_max: int
    overlap: Overlap
    jitter_s: int
    starts_at: float
    ends_at: float
    labels_json: str
    key_json: str = ""
    """The API key that made it, if one did (`Principal` in part): the schedule ends with it."""
    state: ScheduleState = ScheduleState.ACTIVE
    message: str = ""
    created_at: float
    updated_at: float
    next_tick: float = 0.0
    """The first that is not fired yet."""
    next_at: float = 0.0
    """When that fires."""
    firing_count: int = 0

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"schedules/{self.schedule_id}"

    def fires_at(self, tick: float, following: float | None) -> float:
        """Return when a tick fires: a little later, but well before the `following` one."""
        chance = hashlib.sha256(f"{self.schedule_id}@{tick:.3f}".encode()).digest()[:4]
        late_s = self.jitter_s * int.from_bytes(chance, "big") / 2**32
        return tick + (late_s if following is None else min(late_s, (following - tick) / 2))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What becomes of a tick."""

    schedule_id: str
    number: int
    """From 1, without gaps."""
    state: FiringState
    tick: float
    manual: bool = False
    job_id: str = ""
    message: str = ""
    at: float
    """When it came to stand there."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"schedules/{self.schedule_id}/firings/{self.number}"

    @property
    def request_id(self) -> str:
        """The id of its launch: the same whoever launches it, and how often."""
        what = f"triggers/{self.number}" if self.manual else f"ticks/{self.tick:.3f}"
        return f"schedules/{self.schedule_id}/{what}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What a rule decides: the schedule as it shall be, and firings to write."""

    schedule: Schedule
    firings: tuple[Firing, ...] = ()


def check(schedule: Schedule, now: float) -> None:
    """Raise `Invalid`, naming the fields, for a schedule that cannot be kept."""
    wrong: dict[str, list[str]] = {}
    if len(schedule.display_name) > NAME_CHARS_MAX:
        wrong["display_name"] = [f"at most {NAME_CHARS_MAX} characters"]
    if bool(schedule.cron) == bool(schedule.run_at):
        wrong["cron"] = ["give either cron or run_time"]
    if schedule.run_at and schedule.time_zone:
        wrong["time_zone"] = ["run_time is a moment: leave it out"]
    if not 1 <= schedule.missed_runs_max <= MISSED_RUNS_MAX:
        wrong["missed_runs_max"] = [f"1 to {MISSED_RUNS_MAX}"]
    if not 0 <= schedule.jitter_s <= JITTER_S_MAX:
        wrong["jitter_seconds"] = [f"0 to {JITTER_S_MAX}"]
    if schedule.ends_at and schedule.ends_at <= max(now, schedule.starts_at):
        wrong["end_time"] = ["must be in the future, and behind start_time"]
    if wrong:
        raise Invalid("the schedule cannot be kept", wrong)


def aim(schedule: Schedule, times: Times, now: float) -> Schedule:
    """Return a schedule that fires next at its first tick behind `now`; one without any is over."""
    following = times.after(max(now, schedule.starts_at - 0.001))
    return _at(schedule, following, times)


def _at(schedule: Schedule, tick: float | None, times: Times) -> Schedule:
    if tick is None or (schedule.ends_at and tick >= schedule.ends_at):
        return dataclasses.replace(schedule, state=ScheduleState.ENDED, next_tick=0.0, next_at=0.0)
    return dataclasses.replace(schedule, next_tick=tick, next_at=schedule.fires_at(tick, times.after(tick)))


def fire(schedule: Schedule, open_: Sequence[Firing], times: Times, now: float) -> Fired:
    """Fire what is due; nothing happens if nothing is."""
    if schedule.state != ScheduleState.ACTIVE or schedule.next_at > now:
        return Fired(schedule=schedule)
    due, is_more = _due(schedule, times, now)
    on_time = [tick for tick in due if now - schedule.fires_at(tick, times.after(tick)) < MISSED_AFTER_S]
    missed = due[: len(due) - len(on_time)]
    runs, left_out = _of_missed(schedule, missed, is_fired=bool(on_time))
    firings: list[Firing] = []
    if left_out:
        count = f"{left_out} or more" if is_more else str(left_out)
        firings.append(_firing(schedule, 0, missed[-1], now, f"missed: {count} until then, while nobody fired them"))
    open_ = list(open_)
    for tick in (*runs, *on_time):
        made = _admitted(schedule, open_, _firing(schedule, len(firings), tick, now))
        firings.append(made)
        open_ += [made] if made.state in OPEN else []
    moved = _at(schedule, times.after(due[-1]), times)
    return Fired(
        schedule=dataclasses.replace(moved, firing_count=schedule.firing_count + len(firings)), firings=tuple(firings)
    )


def trigger(schedule: Schedule, open_: Sequence[Firing], now: float) -> Fired:
    """Fire now, beside the ticks."""
    made = dataclasses.replace(_firing(schedule, 0, now, now), manual=True)
    return Fired(
        schedule=dataclasses.replace(schedule, firing_count=made.number),
        firings=(_admitted(schedule, open_, made),),
    )


def pause(schedule: Schedule, now: float) -> Schedule:
    """Let no tick fire.  Raises `FailedPrecondition` for a schedule that is over."""
    if schedule.state == ScheduleState.PAUSED:
        return schedule
    if schedule.state != ScheduleState.ACTIVE:
        raise FailedPrecondition(f"the schedule has {schedule.state}: it does not fire", state=schedule.state)
    return dataclasses.replace(schedule, state=ScheduleState.PAUSED, next_tick=0.0, next_at=0.0, updated_at=now)


def resume(schedule: Schedule, times: Times, now: float) -> Schedule:
    """Let ticks fire again.  Raises `FailedPrecondition` if none is left."""
    if schedule.state == ScheduleState.ACTIVE:
        return schedule
    active = dataclasses.replace(schedule, state=ScheduleState.ACTIVE, message="", updated_at=now)
    aimed = aim(active, times, now)
    if aimed.state == ScheduleState.ENDED:
        raise FailedPrecondition("no tick of the schedule is left: change its times first", state=aimed.state)
    return aimed


def stop(schedule: Schedule, open_: Sequence[Firing], why: str, now: float) -> Fired:
    """Fire nothing any more; what of its open firings is given has failed."""
    stopped = dataclasses.replace(schedule, state=ScheduleState.STOPPED, message=why, next_tick=0.0, next_at=0.0)
    return Fired(schedule=stopped, firings=tuple(settled(each, FiringState.FAILED, now, why) for each in open_))


def settled(firing: Firing, state: FiringState, now: float, message: str = "", job_id: str = "") -> Firing:
    """Return a firing as it stands from now on."""
    return dataclasses.replace(firing, state=state, at=now, message=message or firing.message, job_id=job_id)


def _due(schedule: Schedule, times: Times, now: float) -> tuple[list[float], bool]:
    """Return the last ticks that are due, at least one, in order, and whether there are more before them."""
    found: list[float] = []
    tick = times.before(now)
    while tick is not None and tick >= schedule.next_tick and len(found) <= MISSED_RUNS_MAX + 1:
        if not schedule.ends_at or tick < schedule.ends_at:
            found.append(tick)
        tick = times.before(tick - 0.001)
    if found and len(found) > 1 and schedule.fires_at(found[0], times.after(found[0])) > now:
        del found[0]  # its jitter is not over yet
    found = found or [schedule.next_tick]  # times that were changed under it
    return found[::-1], found[-1] > schedule.next_tick


def _of_missed(schedule: Schedule, missed: Sequence[float], *, is_fired: bool) -> tuple[Sequence[float], int]:
    """Return which missed ticks fire, and how many others are to be told of; `is_fired` if another tick fires now."""
    if not missed:
        return (), 0
    if schedule.missed == Missed.SKIP:
        return (), len(missed)
    if schedule.missed == Missed.RUN_ONCE:
        return ((), len(missed)) if is_fired else (missed[-1:], len(missed) - 1)
    runs = missed[-schedule.missed_runs_max :]
    return runs, len(missed) - len(runs)


def _firing(schedule: Schedule, before: int, tick: float, now: float, left_out: str = "") -> Firing:
    return Firing(
        schedule_id=schedule.schedule_id,
        number=schedule.firing_count + before + 1,
        state=FiringState.SKIPPED if left_out else FiringState.LAUNCHING,
        tick=tick,
        message=left_out,
        at=now,
    )


def _admitted(schedule: Schedule, open_: Sequence[Firing], made: Firing) -> Firing:
    """Leave a firing out that would be a second one in line."""
    in_line = any(each.state == FiringState.QUEUED for each in open_) or len(open_) > 1
    if schedule.overlap != Overlap.QUEUE_ONE or not in_line:
        return made
    return dataclasses.replace(made, state=FiringState.SKIPPED, message="overlap: another one waits already")
