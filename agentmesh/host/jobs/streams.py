"""`sys.stdout` and `sys.stderr` where several jobs share a process: what a job's task writes is the job's.

They are put in place before the app is loaded, so that a logging handler that the app makes at its import writes for
whichever job logs.  Outside of a job they are the streams that were there before.

A job that closes them, or puts something else in their place, as `contextlib.redirect_stdout` does, does it for the
task that it is in, and for what that task starts.
"""

import contextvars
import io
import sys
import types
from typing import Any, Protocol, TextIO

from agentmesh._job import scope


class HasOutput(Protocol):
    """A job that is `scope.job`."""

    def output(self, kind: str) -> TextIO:
        """Return what takes the job's `stdout` or `stderr`."""


class JobStream:
    """The current job's stream of one kind; without a job, the one below."""

    def __init__(self, kind: str, below: TextIO) -> None:
        self._kind = kind
        self._below = below
        self._instead: contextvars.ContextVar[Any] = contextvars.ContextVar(kind, default=None)

    @property
    def target(self) -> Any:
        """What is written to now."""
        job: HasOutput | None = scope.job.get()
        return self._below if job is None else self._instead.get() or job.output(self._kind)

    def replace(self, stream: Any) -> None:
        """Have the current task write to something else; to the job again if it is this stream."""
        self._instead.set(None if stream is self else stream)

    def write(self, text: str) -> int:
        """Write for the current job."""
        written: int = self.target.write(text)
        return written

    def flush(self) -> None:
        """Flush what is written to."""
        self.target.flush()

    def close(self) -> None:
        """Close the job's; without a job nothing is closed."""
        if scope.job.get() is not None:
            self.target.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


io.TextIOBase.register(JobStream)


class _Sys(types.ModuleType):
    """The module `sys` of a worker."""

    def __setattr__(self, name: str, value: Any) -> None:
        stream = self.__dict__.get(name) if name in ("stdout", "stderr") else None
        if isinstance(stream, JobStream) and scope.job.get() is not None:
            stream.replace(value)
        else:
            super().__setattr__(name, value)


def install() -> None:
    """Put the streams in place."""
    sys.stdout = JobStream("stdout", sys.stdout)
    sys.stderr = JobStream("stderr", sys.stderr)


def keep_apart() -> None:
    """In a worker: have what a job puts in their place be its own."""
    sys.__class__ = _Sys
