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
from agentmesh.host.own.processes import die_with_parent
from agentmesh.host.packages.asked import hidden

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
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=work,
            env=environment,
            start_new_session=True,
            preexec_fn=be_helper,
        )
        with process:
            try:
                heard = _hear(process, until)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
    except subprocess.SubprocessError:
        raise NotProvided(f"{helper.name} could not be set apart from the mesh, and was not run") from None
    finally:
        descendants.end_strays(_STRAYS_S, _STRAYS_LOOK_S)  # before what they may write to is ours again
        confined.give(folder, to_helper=False)
    if not heard.in_time:
        raise NotProvided(f"{helper.name} took too long to {helper.task}{heard.words()}", heard.tail())
    if process.returncode != 0:
        raise NotProvided(f"{helper.name} could not {helper.task}{heard.words()}", heard.tail())
    folders.remove(work, _REMOVE_S)


@dataclasses.dataclass(slots=True)
class _Heard:
    """The last that a program says."""

    all: bytes = b""
    errors: bytes = b""
    """Of it, on stderr: there is what went wrong, without advice."""
    in_time: bool = False
    """Whether it has ended in time."""

    def words(self) -> str:
        """Return a few words to go on with, behind what could not be done."""
        lines = [line.strip() for line in _lines(self.errors) or _lines(self.all)]
        return ": " + "\n".join(lines[-_LAST_MAX:]) if lines else ""

    def tail(self) -> str:
        """Return what operators are told."""
        return "\n".join(_lines(self.all)[-_LINES_MAX:])


def _hear(process: "subprocess.Popen[bytes]", until: float) -> _Heard:
    """Listen to a process until it ends, or its time is over."""
    heard, (out, err) = _Heard(), (process.stdout, process.stderr)
    assert out is not None, "a pipe"
    assert err is not None, "a pipe"
    with selectors.DefaultSelector() as selector:
        for pipe in (out, err):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            heard.in_time = process.poll() is not None  # what it has started may have the pipes, too, and outlive it
            wait_s = 0.0 if heard.in_time else _LOOK_S
            if not selector.get_map():
                time.sleep(wait_s)
            pieces = [(key.fileobj, os.read(key.fd, 65536)) for key, _ in selector.select(wait_s)]
            for source, data in pieces:
                if not data:
                    selector.unregister(source)
                heard.all = (heard.all + data)[-_OUTPUT_BYTES_MAX:]
                if source is err:
                    heard.errors = (heard.errors + data)[-_OUTPUT_BYTES_MAX:]
            if (heard.in_time and not any(data for _, data in pieces)) or time.monotonic() > until:
                return heard


def _lines(said: bytes) -> list[str]:
    text = hidden(_ANSI.sub("", said.decode(errors="replace")))
    return [line.rstrip()[:_LINE_MAX] for line in text.replace("\r", "\n").splitlines() if line.strip()]
