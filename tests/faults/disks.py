"""The disk of a server, which can be full.

Who may mount gets a small one of its own, which is then filled.  Others are held to files of no length, which a server
sees at each of its writes, and not only where it would need more room.
"""

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Protocol

from tests.servers.process import Server, as_somebody_else

_MIB = 1024 * 1024


class Disk(Protocol):
    """What a server's data are on."""

    def under(self, path: pathlib.Path) -> contextlib.AbstractContextManager[None]:
        """Be there for the length of the block."""
        ...

    def fill(self, server: Server) -> None:
        """Leave no room."""
        ...

    def free(self, server: Server) -> None:
        """Leave room again, and start the server if it has ended of that, as whoever runs it would."""
        ...


class Mounted:
    """A small disk in memory, which takes root's rights."""

    def __init__(self, mib: int = 384) -> None:
        self._mib = mib
        self._filler = pathlib.Path()

    @contextlib.contextmanager
    def under(self, path: pathlib.Path) -> Iterator[None]:
        """Mount it.  Raises `OSError` who may not."""
        path.mkdir(mode=0o700)
        owner = path.parent.stat()
        options = f"size={self._mib}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
        command = ["mount", "-t", "tmpfs", "-o", options, "agentmesh-faults", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            path.rmdir()
            raise PermissionError(done.stderr)
        self._filler = path / "filler"
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)

    def fill(self, server: Server) -> None:
        """Take what there is."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while file.write(bytes(_MIB)):
                pass

    def free(self, server: Server) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)
        server.revive()


class Limited:
    """The disk that is there, of which a server may have nothing more."""

    @contextlib.contextmanager
    def under(self, path: pathlib.Path) -> Iterator[None]:
        """Do nothing."""
        yield

    def fill(self, server: Server) -> None:
        """Let no file of it be written."""
        self._limit(server, "0:")

    def free(self, server: Server) -> None:
        """Let it write."""
        self._limit(server, "unlimited:")
        server.revive()

    def _limit(self, server: Server, size: str) -> None:
        # As the server's own user: root may not always do it.
        for process in server.family():
            command = ["setpriv", *as_somebody_else(), "prlimit", f"--pid={process.pid}", f"--fsize={size}"]
            subprocess.run(command, capture_output=True)  # one that has just ended is fine


def may_mount() -> bool:
    """Return whether this process may mount a disk: as root, where a container leaves it that right."""
    if os.geteuid():
        return False
    return not subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True
    ).returncode


def disk() -> Disk:
    """Return a disk that can be full."""
    return Mounted() if may_mount() else Limited()
