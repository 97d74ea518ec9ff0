"""Processes whose machines have different clocks have one time."""

import asyncio
import pathlib
import sys
import time

import pytest

from meshkit import clock
from meshkit.databases import PostgresDatabase
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from tests.faults.clocks import clocks as wrong_clocks

NEAR_S = 60.0
"""What a busy machine may take to tell the time, which is far less than clocks are wrong."""
BY_DATABASE = """
import asyncio, sys
from meshkit import clock, databases, postgres
async def main():
    async with postgres.opened(databases.PostgresDatabase(sys.argv[1]), "auth", ()):
        print(clock.now(), flush=True)
asyncio.run(main())
"""
BY_AUTH = """
import asyncio, pathlib, sys
from meshkit import clock, service
async def main():
    settings = service.Settings(data_dir=pathlib.Path(sys.argv[2]), auth_address=sys.argv[1])
    async with service.authenticated(settings, "gateway") as auth:
        async with asyncio.timeout(60):
            await auth.verifier.revocations.wait()
        print(clock.now(), flush=True)
asyncio.run(main())
"""

AT_ONCE = """
import asyncio, pathlib, sys
from meshkit import clock, service
async def main():
    settings = service.Settings(data_dir=pathlib.Path(sys.argv[2]), auth_address=sys.argv[1])
    async with service.authenticated(settings, "gateway", patience_s=float(sys.argv[3])):
        print(clock.now(), flush=True)
asyncio.run(main())
"""


async def told(code: str, *arguments: str, by_s: int) -> float:
    """Return how far from ours the time is that a process has whose machine's clock is so wrong."""
    with wrong_clocks() as wrong:
        env = wrong.apart(by_s) | {"PYTHONPATH": ":".join(sys.path)}
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *arguments, env=env, stdout=-1)
        said, _ = await process.communicate()
    return float(said) - time.time()


def test_a_clock_that_is_set_is_noticed_once_each_time() -> None:
    """Either way, and back again; also if no step is a second."""
    ticks, wall = [100.0], [1000.0]
    has_moved = clock.Moved(lambda: wall[0], lambda: ticks[0])
    assert (True, False) == (has_moved(), has_moved())

    heard = []
    for set_by in (3600.0, 0.0, -3600.0, -3600.0, 0.6, 0.6, 0.6):
        wall[0], ticks[0] = wall[0] + 5.0 + set_by, ticks[0] + 5.0
        heard.append(has_moved())
    assert [True, False, True, True, False, True, False] == heard


@pytest.mark.parametrize("by_s", [-3600, 3600])
async def test_who_has_a_database_goes_by_its_clock(postgres: str, by_s: int) -> None:
    """From the moment it is open."""
    assert abs(await told(BY_DATABASE, postgres, by_s=by_s)) < NEAR_S


@pytest.mark.parametrize("by_s", [-3600, 3600])
async def test_who_has_none_hears_the_time_from_the_auth_service(
    postgres: str, tmp_path: pathlib.Path, by_s: int
) -> None:
    """Before it shows a badge, which might have expired otherwise."""
    config = AuthConfig(data_dir=tmp_path, auth_address="127.0.0.1:0", grace_s=0, database_url=postgres)
    async with auth_app.running(config) as port:
        assert isinstance(config.database, PostgresDatabase)
        assert abs(await told(BY_AUTH, f"127.0.0.1:{port}", str(tmp_path), by_s=by_s)) < NEAR_S


def test_a_steady_time_goes_forward_with_the_machines_clock_and_never_back() -> None:
    """A clock that was slow is caught up with, one that was fast is not gone back with; what is heard counts."""
    ticks, wall = [100.0], [1000.0]
    now = clock.Clock(lambda: wall[0], lambda: ticks[0])
    assert 1000.0 == now.steady()

    told = []
    for set_to, ticked in ((4600.0, 107.0), (1010.0, 108.0), (4700.0, 109.0)):
        wall[0], ticks[0] = set_to, ticked
        told.append((now(), now.steady()))
    assert [(4600.0, 4600.0), (1010.0, 4601.0), (4700.0, 4700.0)] == told

    now.hear(2000.0, asked_at=109.0, heard_at=109.0)
    ticks[0] = 110.0
    assert (2001.0, 2001.0) == (now(), now.steady())


def test_a_steady_time_is_not_pushed_on_by_interruptions() -> None:
    """A process that stands still while it reads the two clocks takes the machine's for no later than it is."""
    ticks = iter(range(1000))
    now = clock.Clock(lambda: 5000.0 + next(ticks), lambda: float(next(ticks)))

    told = [now.steady() for _ in range(20)]

    assert all(said <= 5000.0 + number for said, number in zip(told, range(2, 1000, 3), strict=False))


def test_a_clock_that_is_set_back_is_noticed_once() -> None:
    """At first it may have been; one that is put forward, or kept right, is not."""
    ticks, wall = [100.0], [1000.0]
    is_set_back = clock.SetBack(lambda: wall[0], lambda: ticks[0])
    assert (True, False) == (is_set_back(), is_set_back())

    heard = []
    for set_to, ticked in ((4600.0, 101.0), (4605.0, 106.5), (1010.0, 107.0), (1011.0, 108.0)):
        wall[0], ticks[0] = set_to, ticked
        heard.append(is_set_back())
    assert [False, False, True, False] == heard


def test_a_clock_that_goes_back_little_by_little_is_noticed_each_second() -> None:
    """As one does that is slewed: none of the steps is a second.  Forwards it may go as it likes."""
    ticks, wall = [100.0], [1000.0]
    is_set_back = clock.SetBack(lambda: wall[0], lambda: ticks[0])
    assert is_set_back()

    heard = []
    for slewed in (0.0, -0.75, -0.75, -0.75, -0.75, 0.75, 0.75, -0.75, -0.75, 0.0):
        wall[0], ticks[0] = wall[0] + 5.0 + slewed, ticks[0] + 5.0
        heard.append(is_set_back())
    assert [2, 4, 8] == [number for number, noticed in enumerate(heard) if noticed]


@pytest.mark.parametrize("by_s", [-3600, 3600])
async def test_who_has_patience_begins_with_the_right_time(postgres: str, tmp_path: pathlib.Path, by_s: int) -> None:
    """What the gateway judges first, it judges by it; with nobody to ask it begins all the same."""
    config = AuthConfig(data_dir=tmp_path, auth_address="127.0.0.1:0", grace_s=0, database_url=postgres)
    async with auth_app.running(config) as port:
        assert abs(await told(AT_ONCE, f"127.0.0.1:{port}", str(tmp_path), "60", by_s=by_s)) < NEAR_S

    assert abs(await told(AT_ONCE, f"127.0.0.1:{port}", str(tmp_path), "0.1", by_s=by_s) - by_s) < NEAR_S


def test_a_clock_moves_no_further_than_it_is_surely_wrong() -> None:
    """What is said between two ticks is right at one of them; whose own time is right keeps it, to the microsecond."""
    ticks, wall = [100.0], [1000.0]
    now = clock.Clock(lambda: wall[0], lambda: ticks[0])
    assert (1000.0, False) == (now(), now.has_heard)

    now.hear(1000.5, asked_at=99.0, heard_at=101.0)
    assert (1000.0, True) == (now(), now.has_heard)

    now.hear(1010.0, asked_at=99.0, heard_at=100.0)
    assert 1010.0 == now()
    now.hear(1010.0, asked_at=100.0, heard_at=130.0)
    assert 1010.0 == now()
    now.hear(900.0, asked_at=100.0, heard_at=100.25)
    assert 900.0 == now()

    wall[0], ticks[0] = 5.0, 107.0
    assert 907.0 == now()
