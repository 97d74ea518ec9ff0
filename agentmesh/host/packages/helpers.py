"""Runs programs that get what an app needs: confined as the app is, bounded in time and words, and ended as a whole."""

import contextlib
import dataclasses
import os
import pathlib
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from agentmesh.host.own import descendants, folders
from agentmesh.host.packages.asked import hidden
from agentmesh.host.processes import die_with_parent

WORK = "work"
"""The folder that a helper is at home in, in that which it works on."""
_LOOK_S = 0.1
_OUTPUT_BYTES_MAX = 16 * 1024
_LINES_MAX = 30
_LAST_MAX = 4
_LINE_MAX = 300
_REMOVE_S = 60.0
_STRAYS_S = 10.0
_STRAYS_LOOK_S = 0.01
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Of the mesh and of whoever started it: not what is installed there counts, but what is in the environment.
_NOT_PASSED = re.compile(r"AGENTMESH_.*|PYTHON[A-Z0-9]+|VIRTUAL_ENV|CONDA_PREFIX")


class NotProvided(ValueError):
    """What an app needs could not be had; the text says why, with a few of the helper's own words."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
        """More of them, for operators."""


class Confined(Protocol):
    """What a helper may do, and for how long (`confine.Confinement`)."""

    @property
    def install_timeout_s(self) -> float:
        """How long it may take."""

    @property
    def private_addresses(self) -> bool:
        """Whether it may fetch from addresses that are not the Internet's."""

    def enter_helper(self, folder: pathlib.Path) -> None:
        """Confine this process, which is to be the helper, to writing to `folder`."""

    def give(self, folder: pathlib.Path, *, to_helper: bool) -> None:
        """Give `folder` and all that is in it to whom `enter_helper` makes it; or take it back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Helper:
    """A program, and what it is about, for people to read."""

    name: str
    """Such as `pip`."""
    task: str
    """What it does, such as `install its packages`."""
    command: Sequence[str]
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For it, beside what it gets anyway."""


def run(helper: Helper, folder: pathlib.Path, confined: Confined, until: float) -> None:
    """Have a helper work on `folder`, which is its own meanwhile.  Raises `NotProvided`, and `OSError`.

    This process has one thread: it may fork.
    """
    work, parent = folder / WORK, os.getpid()

    def be_helper() -> None:
        die_with_parent(parent)
        confined.enter_helper(folder)

    environment = {each: value for each, value in os.environ.items() if not _NOT_PASSED.fullmatch(each)}
    environment |= {"HOME": str(work), "TMPDIR": str(work / "tmp"), "PYTHONNOUSERSITE": "1", "NO_COLOR": "1"}
    environment |= helper.variables
    confined.give(folder, to_helper=True)
    descendants.adopt_orphans()
    try:
        process = subprocess.Popen(
            helper.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=work,
            env=environment,
            start_new_session=True,
            preexec_fn=be_helper,
        )
        with process:
            try:
                said, in_time = _heard(process, until)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    except subprocess.SubprocessError:
        raise NotProvided(f"{helper.name} could not be set apart from the mesh, and was not run") from None
    finally:
        _end_strays()  # before what they may write to is ours again
        confined.give(folder, to_helper=False)
    if not in_time:
        raise NotProvided(f"{helper.name} took too long to {helper.task}{_last(said)}", _tail(said))
    if process.returncode != 0:
        raise NotProvided(f"{helper.name} could not {helper.task}{_last(said)}", _tail(said))
    folders.remove(work, _REMOVE_S)


def _end_strays() -> None:
    """End what the helper has left behind, wherever it has hidden."""
    until = time.monotonic() + _STRAYS_S
    while (left := descendants.kill_strays(())) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(_STRAYS_LOOK_S)


def _heard(process: "subprocess.Popen[bytes]", until: float) -> tuple[bytes, bool]:
    """Return the last that a process says, and whether it has ended in time."""
    assert process.stdout is not None, "a pipe"
    said, is_open = b"", True
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None  # what it has started may have the pipe, too, and outlive it
            wait_s = 0.0 if ended else _LOOK_S
            if not is_open:
                time.sleep(wait_s)
            data = process.stdout.read(65536) if is_open and selector.select(wait_s) else None
            is_open = is_open and data != b""
            said = (said + (data or b""))[-_OUTPUT_BYTES_MAX:]
            if (ended and not data) or time.monotonic() > until:
                return said, ended


def _lines(said: bytes) -> list[str]:
    text = hidden(_ANSI.sub("", said.decode(errors="replace")))
    return [line.rstrip()[:_LINE_MAX] for line in text.replace("\r", "\n").splitlines() if line.strip()]


def _last(said: bytes) -> str:
    lines = _lines(said)[-_LAST_MAX:]
    return ": " + "\n".join(line.strip() for line in lines) if lines else ""


def _tail(said: bytes) -> str:
    return "\n".join(_lines(said)[-_LINES_MAX:])
