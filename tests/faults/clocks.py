"""Clocks that are wrong from the start of a process that a test starts: libfaketime's, a package of Debian.

It stands before the C library.  What no clock of a machine does, it does not do either: the one that only counts is
left as it is.  Processes that run already, and whatever a mesh starts, are told a wrong time by `vdso`.
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

from tests.servers.process import NotThere


class Clocks:
    """What of the environment has a process go by a wrong clock."""

    def __init__(self, folder: pathlib.Path) -> None:
        found = sorted(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        if not found:
            raise NotThere("libfaketime is not installed: run tools/servers.sh")
        self._folder = folder
        self._library = found[0]

    def apart(self, by_s: int) -> dict[str, str]:
        """Return what has a process go by a clock that is always so many seconds fast."""
        path = self._folder / f"clock{by_s:+d}"
        path.write_text(f"{by_s:+d}\n")
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


@contextlib.contextmanager
def clocks() -> Iterator[Clocks]:
    """Keep clocks for the length of the block.  Raises `NotThere`."""
    with tempfile.TemporaryDirectory(prefix="am-clock-") as folder:
        yield Clocks(pathlib.Path(folder))
