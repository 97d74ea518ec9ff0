"""What is kept for apps."""

import fcntl
import os
import pathlib
import time

import pytest

from agentmesh.host.packages import keeping


def test_what_a_crash_has_left_is_made_anew(tmp_path: pathlib.Path) -> None:
    """What is whole is not."""
    found = tmp_path / "one"
    found.mkdir()
    (found / "half").touch()
    made = []
    for _ in range(2):
        keeping.provide(found, time.monotonic(), lambda: made.append(sorted(os.listdir(found))))

    assert [[]] == made
    assert ["ready"] == os.listdir(found)


def test_what_cannot_be_made_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """And may be tried again."""

    def make() -> None:
        (tmp_path / "one" / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        keeping.provide(tmp_path / "one", time.monotonic(), make)

    assert ["one.lock"] == os.listdir(tmp_path)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_mark_leads_nowhere(tmp_path: pathlib.Path, is_there: bool) -> None:
    """Whoever makes it may have put a link there: where that leads nothing is made, and nothing touched."""
    elsewhere = tmp_path / "elsewhere"
    if is_there:
        elsewhere.touch()
        os.utime(elsewhere, (1, 1))
    keeping.provide(tmp_path / "one", time.monotonic(), lambda: (tmp_path / "one" / "ready").symlink_to(elsewhere))

    assert not (tmp_path / "one" / "ready").is_symlink()
    assert is_there == elsewhere.exists()
    assert not is_there or 1 == elsewhere.stat().st_mtime


def test_nobody_makes_the_same_at_the_same_time(tmp_path: pathlib.Path) -> None:
    """Who has no time to wait for it is told so."""
    with (tmp_path / "one.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(keeping.Busy):
            keeping.provide(tmp_path / "one", time.monotonic(), lambda: None)


def test_what_nobody_uses_goes(tmp_path: pathlib.Path) -> None:
    """The oldest of many, and what was not used for long; nothing that somebody holds."""
    now, names = time.time(), [f"{number:02d}" for number in range(keeping.UNUSED_MAX + 3)]
    for age, name in enumerate(names):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ready").touch()
        os.utime(tmp_path / name / "ready", (now - age, now - age))
    long_ago = now - keeping.UNUSED_S - 1
    os.utime(tmp_path / "00" / "ready", (long_ago, long_ago))
    with (tmp_path / f"{names[-1]}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        keeping.prune(tmp_path)

    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert {*names[1 : keeping.UNUSED_MAX + 1], names[-1]} == left
