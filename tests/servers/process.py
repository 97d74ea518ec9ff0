"""A server's process: as another user than root, in a folder of its own, gone with whoever started it."""

import concurrent.futures
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import psutil

from tests.ending import wait_procs

_START_S = 60.0
_END_S = 30.0
_STARTER = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="servers")
"""Starts every server: the kernel ends them when the *thread* ends that has started them."""


class NotThere(Exception):
    """A server that tests need is not installed, or does not start."""


def unprivileged() -> dict[str, Any]:
    """Return what `Popen` takes to run as somebody else than root: PostgreSQL refuses to be root."""
    if os.getuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            who = pwd.getpwnam(name)
            return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    raise NotThere("this machine has no user postgres or nobody to run servers as")


def as_somebody_else() -> list[str]:
    """Return what `setpriv` takes for that."""
    who = unprivileged()
    return [f"--reuid={who['user']}", f"--regid={who['group']}", "--clear-groups"] if who else []


@contextlib.contextmanager
def folder(name: str) -> Iterator[pathlib.Path]:
    """A folder that the server's user can write: short, as a socket's path must be, and gone afterwards."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"am-{name}-", dir="/tmp"))
    try:
        path.chmod(0o755)  # clients are other users
        if not os.getuid():
            who = unprivileged()
            os.chown(path, who["user"], who["group"])
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Server:
    """A server that may be stopped, killed, frozen and started again."""

    hurry = signal.SIGKILL
    """Ends it at once, without a trace in the kernel."""

    def __init__(self, command: Sequence[str], path: pathlib.Path) -> None:
        self.path = path
        self._log = path / "log"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        assert self._process is not None, "start it first"
        return self._process.pid

    def answers(self) -> bool:
        """Return whether it takes what is asked."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it answers.  Raises `NotThere`, with its own words."""
        self._process = _STARTER.submit(self._spawn).result()
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_S
        while not self.answers():
            code = self._process.poll()
            if code is not None or time.monotonic() > until:
                how = "is not well yet" if code is None else f"ended with {code}"
                raise NotThere(f"{self._command[0]} {how}: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as sink:
            # No `preexec_fn`, no `user`: what is forked off a process with gRPC's threads to run anything of it before
            # the other program dies of that now and then.
            return subprocess.Popen(
                ["setpriv", *as_somebody_else(), f"--pdeathsig={self.hurry.name}", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self.path,
                start_new_session=True,  # a Ctrl-C is for the tests, which end it in their order
            )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, and wait for its end; one that has ended is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it without its say, and what it has started with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # else it starts another while we count
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.stop(signal.SIGKILL)
        wait_procs(family, _END_S)

    def restart(self) -> None:
        """Stop and start it; its address stays."""
        self.stop()
        self.start()

    def revive(self) -> None:
        """Start it if it has ended by itself; else wait until it answers.  Raises `NotThere`."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self._wait()

    def freeze(self) -> None:
        """Have it and its children stand still."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Have it go on."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def family(self) -> list[psutil.Process]:
        """Return it and its children: each of PostgreSQL's leads a group of its own."""
        if self._process is None:
            return []
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:  # it has ended by itself
            return []
