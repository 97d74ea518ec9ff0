"""A clock that can be set wrong for all processes that are told of it: libfaketime's, a package of Debian.

It stands before the C library in each of them, Envoy included, and looks into a file once in a second.  What no clock
of a machine does, it does not do either: the one that only counts is left as it is.
"""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from tests.servers.process import NotThere

WRONG_S = (-3600, -300, -20, 20, 300, 3600)
"""How far: as when a machine has slept, or has just asked what the time is."""


class Clock:
    """A clock, and what of the environment has a process go by it."""

    def __init__(self, folder: pathlib.Path) -> None:
        found = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            raise NotThere("libfaketime is not installed: run tools/servers.sh")
        self._path = folder / "clock"
        self._library = found[0]
        self.env = self._env(self._path)
        self.set(0)

    def set(self, by_s: int) -> None:
        """Have it be so many seconds fast, from the next second on."""
        _write(self._path, by_s)

    def apart(self, by_s: int) -> dict[str, str]:
        """Return what has a process go by another clock, which is always so many seconds fast."""
        path = self._path.with_name(f"clock{by_s:+d}")
        _write(path, by_s)
        return self._env(path)

    def _env(self, path: pathlib.Path) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def _write(path: pathlib.Path, by_s: int) -> None:
    whole = path.with_suffix(".new")
    whole.write_text(f"{by_s:+d}\n")
    os.replace(whole, path)


@contextlib.contextmanager
def clock() -> Iterator[Clock]:
    """Keep a clock for the length of the block.  Raises `NotThere`."""
    with tempfile.TemporaryDirectory(prefix="am-clock-") as folder:
        yield Clock(pathlib.Path(folder))
