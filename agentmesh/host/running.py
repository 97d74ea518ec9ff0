"""One running job, as its host sees it: its process's frames and output become reports."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

from mesh.runner.v1 import host_pb2, job_pb2

from agentmesh.host.capture import LineWriter
from agentmesh.host.children import Child, Zygote
from agentmesh.host.frames import Kind, Splitter, pack
from agentmesh.host.processes import describe_exit
from agentmesh.host.reports import Reports
from agentmesh.progress import Throttle

_READ_BYTES = 512 * 1024
# Beyond this much unacknowledged, the job's process is not read any more and blocks on its next event.
_UNACKED_BYTES_MAX = 8 * 1024 * 1024


class RunningJob:
    """Turns what the process sends into reports; `ready` is called when there is something to take from them."""

    def __init__(self, run: host_pb2.Run, child: Child, zygote: Zygote, ready: Callable[["RunningJob"], None]) -> None:
        self.run = run
        self.reports = Reports(run.job, run.epoch)
        self._child = child
        self._zygote = zygote
        self._ready = ready
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._paused = False
        self._unsent = bytearray()
        self._cancelling = False
        self.reported = False
        """Whether the outcome has been reported."""

    def start(self) -> None:
        """Hand the job to its process and listen."""
        child = self._child
        self._send(pack(Kind.RUN, self.run.SerializeToString()))
        drawn = Throttle(self._progress, later=self._loop.call_later)
        self._out = LineWriter(lambda line: self._line("stdout", line), 1, drawn)
        self._err = LineWriter(lambda line: self._line("stderr", line), 2, drawn)
        self._loop.add_reader(child.sock, self._read)
        self._loop.add_reader(child.out, self._read_output, child.out, self._out)
        self._loop.add_reader(child.err, self._read_output, child.err, self._err)
        child.exited.add_done_callback(lambda done: self._finish(done.result()))

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Tell the process what became of a lock; one it does not wait for it ignores."""
        if not self.reported:
            self._send(pack(Kind.LOCK_END, end.SerializeToString()))

    def _send(self, data: bytes) -> None:
        """Write to the process: at once what its socket takes, the rest in order from the loop."""
        sock = self._child.sock
        self._unsent += data
        if len(self._unsent) == len(data):
            self._write()
        if self._unsent and sock.fileno() >= 0:
            self._loop.add_writer(sock, self._write)

    def _write(self) -> None:
        sock = self._child.sock
        try:
            sent = sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:  # it has died: its exit is on the way
            sent = len(self._unsent)
        del self._unsent[:sent]
        if not self._unsent and sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def cancel(self, grace_s: float) -> None:
        """Ask the process to end, and kill it after `grace_s`.  The outcome is CANCELLED once it has gone."""
        if self._cancelling or self.reported:
            return
        self._cancelling = True
        self._zygote.signal(self._child, signal.SIGTERM)
        self._loop.call_later(grace_s, self._zygote.signal, self._child, signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once and report nothing: the lease is lost."""
        self.reported = True
        self.reports.clear()
        self._zygote.signal(self._child, signal.SIGKILL)

    def acknowledge(self, source_seq: int) -> None:
        """Hear that reports up to `source_seq` are on disk; read on if that made room."""
        self.reports.acknowledge(source_seq)
        if self._paused and self.reports.held_bytes < _UNACKED_BYTES_MAX // 2 and self._child.sock.fileno() >= 0:
            self._paused = False
            self._loop.add_reader(self._child.sock, self._read)

    @property
    def done(self) -> bool:
        """Whether everything, the outcome included, has been acknowledged."""
        return self.reported and self.reports.empty

    def _read(self) -> None:
        try:
            data = self._child.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._child.sock)  # its exit tells how it ended
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        for kind, payload in self._splitter.feed(data):
            if self.reported:
                return  # what comes behind an outcome is not the job's any more
            if kind == Kind.EVENT:
                self.reports.add_event(payload)
            elif kind == Kind.RUNNING:
                self.reports.add(host_pb2.Outcome(state=job_pb2.JOB_STATE_RUNNING))
            elif kind == Kind.LOCK:
                self.reports.add(host_pb2.OpenLock.FromString(payload))
            elif kind == Kind.OUTCOME and not self._cancelling:
                self._drain_output()
                self._end(host_pb2.Outcome.FromString(payload))
        self._ready(self)
        if self.reports.held_bytes > _UNACKED_BYTES_MAX and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._child.sock)

    def _end(self, outcome: host_pb2.Outcome) -> None:
        """Gather the outcome: the last thing that is said of the job."""
        if outcome.state == job_pb2.JOB_STATE_CANCELLED and not self._cancelling:  # the flow cancelled itself
            outcome.state = job_pb2.JOB_STATE_FAILED
            outcome.reason = job_pb2.JOB_REASON_ERROR
            outcome.error = "CancelledError: the flow cancelled itself"
        self.reports.add(outcome)
        self.reported = True
        self._ready(self)

    def _read_output(self, fd: int, writer: LineWriter) -> None:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(fd)
            return
        writer.write(data.decode("utf-8", "replace"))
        self._ready(self)

    def _drain_output(self) -> None:
        """Take what native code wrote before the end."""
        for fd, writer in ((self._child.out, self._out), (self._child.err, self._err)):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    while data := os.read(fd, 65536):
                        writer.write(data.decode("utf-8", "replace"))
            writer.finish()

    def _line(self, kind: str, line: str) -> None:
        if not self.reported:
            self.reports.add_event(job_pb2.Event(kind=kind, time=time.time(), payload=line).SerializeToString())

    def _progress(self, payload: str) -> None:
        self._line("progress", payload)
        self._ready(self)

    def _finish(self, status: int) -> None:
        """The process has gone: take what it left, and say how it ended if it did not say so itself."""
        child = self._child
        for source in (child.sock, child.out, child.err):
            self._loop.remove_reader(source)
        self._loop.remove_writer(child.sock)
        with contextlib.suppress(OSError):
            while data := child.sock.recv(_READ_BYTES):
                self._feed(data)
        self._drain_output()
        child.close()
        if self.reported:
            return
        if self._cancelling:
            self._end(host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED))
            return
        self._end(
            host_pb2.Outcome(
                state=job_pb2.JOB_STATE_FAILED,
                reason=job_pb2.JOB_REASON_WORKER_LOST,
                error=f"the job's process {describe_exit(status)}",
            )
        )
