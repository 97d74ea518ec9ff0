"""When cron's ticks are: across the nights on which clocks are changed, too."""

import datetime
import itertools
from collections.abc import Iterator

import pytest

from meshkit.errors import Invalid
from services.runner.domain.schedules import Times
from services.runner.schedules.calendars import CronTimes, OneTime, zone_of

BERLIN = "Europe/Berlin"


def ticks(times: Times, moment: float) -> Iterator[float]:
    """Yield the moments behind one."""
    while (tick := times.after(moment)) is not None:
        moment = tick
        yield tick


def said(cron: str, zone: str, start: str, count: int) -> list[str]:
    """Return the first ticks behind a moment as the clocks of the zone show them; going back finds the same."""
    times = CronTimes(cron, zone)
    found = list(itertools.islice(ticks(times, datetime.datetime.fromisoformat(start).timestamp()), count))
    back = [found[-1]]
    while len(back) < count:
        earlier = times.before(back[-1] - 0.001)
        assert earlier is not None
        back.append(earlier)

    assert found == back[::-1]
    shown = zone_of(zone)
    return [datetime.datetime.fromtimestamp(each, shown).strftime("%m-%d %H:%M %z") for each in found]


def test_a_time_that_is_left_out_fires_at_the_jump() -> None:
    """Half past two does not exist: three o'clock, and the days around are as ever."""
    assert ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"] == said(
        "30 2 * * *", BERLIN, "2026-03-28T00:00+01:00", 3
    )


def test_what_happens_every_so_often_goes_on_over_the_gap() -> None:
    """Ticks in the gap are those of the jump: none is doubled."""
    assert ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"] == said(
        "*/30 * * * *", BERLIN, "2026-03-29T01:10+01:00", 3
    )


def test_a_time_that_comes_twice_fires_the_first_time() -> None:
    """A day has one half past two for what happens once a day."""
    assert ["10-24 02:30 +0200", "10-25 02:30 +0200", "10-26 02:30 +0100"] == said(
        "30 2 * * *", BERLIN, "2026-10-24T00:00+02:00", 3
    )


def test_what_happens_every_so_often_does_not_pause_for_an_hour() -> None:
    """Both passes of the hour have their ticks."""
    assert [
        "10-25 02:00 +0200",
        "10-25 02:30 +0200",
        "10-25 02:00 +0100",
        "10-25 02:30 +0100",
        "10-25 03:00 +0100",
    ] == said("*/30 * * * *", BERLIN, "2026-10-25T01:40+02:00", 5)


@pytest.mark.parametrize(
    ("cron", "zone", "start", "count"),
    [
        ("* * * * *", BERLIN, "2026-10-24T22:10Z", 400),
        ("*/7 * * * *", "Australia/Lord_Howe", "2026-04-04T12:00Z", 60),
        ("45 1-3 * * *", BERLIN, "2026-10-24T22:10Z", 9),
        ("15 * 29 * *", BERLIN, "2026-03-28T22:10Z", 30),
        ("0 12 * * mon-fri", "", "2026-01-01T00:00Z", 9),
    ],
)
def test_ticks_are_the_same_from_both_sides(cron: str, zone: str, start: str, count: int) -> None:
    """None is lost, none comes twice, whatever the clocks do."""
    found = said(cron, zone, start, count)

    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *", "60 * * * *", "H * * * *", "r(1-5) * * * *", "@reboot", "0 0 * * 9"],
)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    """Seconds, and what is drawn by lot, are none of it."""
    with pytest.raises(Invalid) as caught:
        CronTimes(cron, "")

    assert ["cron"] == list(caught.value.fields)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "x" * 1000, "Europe/\0"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    """The field is named."""
    with pytest.raises(Invalid) as caught:
        CronTimes("@daily", zone)

    assert ["time_zone"] == list(caught.value.fields)


def test_a_day_that_never_comes_has_no_tick() -> None:
    """The thirtieth of February."""
    assert CronTimes("0 0 30 2 *", BERLIN).after(0) is None


def test_one_moment_comes_once() -> None:
    """Before it is next; from then on it has been."""
    times = OneTime(5.0)

    assert (5.0, None) == (times.after(4.9), times.after(5.0))
    assert (None, 5.0) == (times.before(4.9), times.before(5.0))
