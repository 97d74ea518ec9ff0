"""`sys.stdout` and `sys.stderr` where several jobs share a process: what a job's task writes is the job's.

They are put in place before the app is loaded, so that a logging handler that the app makes at its import writes for
whichever job logs.  Outside of a job they are the streams that were there before.
"""

import io
import sys
from typing import Any, Protocol, TextIO

from agentmesh import scope


class HasOutput(Protocol):
    """A job that is `scope.job`."""

    def output(self, kind: str) -> TextIO:
        """Return what takes the job's `stdout` or `stderr`."""


class JobStream(io.TextIOBase):
    """The current job's stream of one kind; without a job, the one below."""

    def __init__(self, kind: str, below: TextIO) -> None:
        super().__init__()
        self._kind = kind
        self._below = below

    @property
    def target(self) -> TextIO:
        """What is written to now."""
        job: HasOutput | None = scope.job.get()
        return self._below if job is None else job.output(self._kind)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of the stream that is written to."""
        return self.target.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """As of the stream that is written to."""
        return self.target.errors

    def writable(self) -> bool:
        """Return True: it is for writing."""
        return True

    def write(self, text: str) -> int:
        """Write for the current job."""
        return self.target.write(text)

    def flush(self) -> None:
        """Flush what is written to."""
        self.target.flush()

    def fileno(self) -> int:
        """Return the descriptor below, which is not the job's alone."""
        return self._below.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self.target.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def install() -> None:
    """Put the streams in place."""
    sys.stdout = JobStream("stdout", sys.stdout)
    sys.stderr = JobStream("stderr", sys.stderr)
