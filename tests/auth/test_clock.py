"""The order of stamps is the order of events."""

import concurrent.futures
import datetime

from services.auth.clock import StrictClock

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def test_time_never_stands_still() -> None:
    """Also when the wall clock does, is set back, or many threads ask."""
    wall = [NOON]
    clock = StrictClock(lambda: wall[0])
    times = [clock(), clock()]
    wall[0] -= datetime.timedelta(hours=1)
    times.append(clock())
    clock.advance(NOON + datetime.timedelta(hours=5))
    times.append(clock())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        crowd = list(pool.map(lambda _: clock(), range(2000)))

    assert sorted(set(times)) == times
    assert times[3] > NOON + datetime.timedelta(hours=5)
    assert len(set(crowd)) == 2000
