"""What is kept for apps."""

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from agentmesh.host.packages import keeping

DEADLINE_S = 60
KILLED = """
import os, pathlib, signal, sys, time
from agentmesh.host.packages import keeping

found = pathlib.Path(sys.argv[1])

def half():
    (found / "ready").touch()
    os.kill(os.getpid(), signal.SIGKILL)

keeping.provide(found, time.monotonic(), half)
"""


def test_what_a_crash_has_left_is_made_anew(tmp_path: pathlib.Path) -> None:
    """What is whole is not."""
    found = tmp_path / "one"
    found.mkdir()
    (found / "half").touch()
    made = []
    for _ in range(2):
        keeping.provide(found, time.monotonic(), lambda: made.append(sorted(os.listdir(found))))

    assert [[]] == made
    assert [] == os.listdir(found)
    keeping.let_go()
    found.rmdir()  # by hand, though its mark is there
    keeping.provide(found, time.monotonic(), lambda: made.append([]))
    assert [[], []] == made


def test_what_cannot_be_made_leaves_nothing(tmp_path: pathlib.Path) -> None:
    """And may be tried again."""

    def make() -> None:
        (tmp_path / "one" / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        keeping.provide(tmp_path / "one", time.monotonic(), make)

    assert ["one.lock"] == os.listdir(tmp_path)


def test_only_what_was_made_to_its_end_is_whole(tmp_path: pathlib.Path) -> None:
    """A package may write a file of any name before the rest is installed; whoever makes it is killed then."""
    found = tmp_path / "one"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(found)], timeout=DEADLINE_S, check=False)
    assert -signal.SIGKILL == ended.returncode
    assert (found / "ready").exists()
    made = []
    keeping.provide(found, time.monotonic(), lambda: made.append(os.listdir(found)))

    assert [[]] == made


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
        (tmp_path / f"{name}.ready").touch()
        os.utime(tmp_path / f"{name}.ready", (now - age, now - age))
    long_ago = now - keeping.UNUSED_S - 1
    os.utime(tmp_path / "00.ready", (long_ago, long_ago))
    with (tmp_path / f"{names[-1]}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        keeping.prune(tmp_path)

    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert left == {path.stem for path in tmp_path.glob("*.ready")}
    assert {*names[1 : keeping.UNUSED_MAX + 1], names[-1]} == left
