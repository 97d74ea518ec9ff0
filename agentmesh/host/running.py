"""One running job, as its host sees it: its process's frames and output become reports."""

import asyncio
import collections
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

_READ_BYTES = 512 * 1024
# Beyond this much unacknowledged, the job's process is not read any more and blocks on its next event.
_UNACKED_BYTES_MAX = 8 * 1024 * 1024


class RunningJob:
    """Turns what the process sends into numbered reports, and keeps them until they are acknowledged."""

    def __init__(
        self, run: host_pb2.Run, child: Child, zygote: Zygote, post: Callable[[host_pb2.Report], None]
    ) -> None:
        self.run = run
        self._child = child
        self._zygote = zygote
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._source_seq = 1
        self._unacked: collections.deque[tuple[int, host_pb2.Report, int]] = collections.deque()
        self._unacked_bytes = 0
        self._paused = False
        self._events: list[job_pb2.Event] = []
        self._outcome: host_pb2.Outcome | None = None
        self._cancelling = False
        self.reported = False
        """Whether the outcome has been reported."""

    def start(self) -> None:
        """Hand the job to its process and listen."""
        child = self._child
        try:
            # A fresh socket's buffer takes a Run whole, or the pieces follow from the loop.
            data = pack(Kind.RUN, self.run.SerializeToString())
            sent = child.sock.send(data)
        except OSError:
            sent, data = 0, b""  # it died while it waited: its exit is on the way
        if sent < len(data):
            task = self._loop.create_task(self._loop.sock_sendall(child.sock, data[sent:]))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._out = LineWriter(lambda line: self._line("stdout", line), 1)
        self._err = LineWriter(lambda line: self._line("stderr", line), 2)
        self._loop.add_reader(child.sock, self._read)
        self._loop.add_reader(child.out, self._read_output, child.out, self._out)
        self._loop.add_reader(child.err, self._read_output, child.err, self._err)
        child.exited.add_done_callback(lambda done: self._finish(done.result()))

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
        self._unacked.clear()
        self._zygote.signal(self._child, signal.SIGKILL)

    def unacked(self) -> list[host_pb2.Report]:
        """Return what must be sent again after a reconnect, in order."""
        return [report for _, report, _ in self._unacked]

    def acknowledge(self, source_seq: int) -> None:
        """Forget reports up to `source_seq`; read on if that made room."""
        while self._unacked and self._unacked[0][0] <= source_seq:
            _, _, size = self._unacked.popleft()
            self._unacked_bytes -= size
        if self._paused and self._unacked_bytes < _UNACKED_BYTES_MAX // 2 and self._child.sock.fileno() >= 0:
            self._paused = False
            self._loop.add_reader(self._child.sock, self._read)

    @property
    def done(self) -> bool:
        """Whether everything, the outcome included, has been acknowledged."""
        return self.reported and not self._unacked

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
        outcome = None
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.EVENT:
                self._events.append(job_pb2.Event.FromString(payload))
            elif kind == Kind.OUTCOME:
                outcome = host_pb2.Outcome.FromString(payload)
            elif kind == Kind.RUNNING:
                self._report(host_pb2.Outcome(state=job_pb2.JOB_STATE_RUNNING))
        if outcome is not None and not self._cancelling:
            self._drain_output()
            if outcome.state == job_pb2.JOB_STATE_CANCELLED:  # nobody asked: the flow cancelled itself
                outcome.state = job_pb2.JOB_STATE_FAILED
                outcome.reason = job_pb2.JOB_REASON_ERROR
                outcome.error = "CancelledError: the flow cancelled itself"
            self._report(outcome)
        elif self._events:
            self._report(None)

    def _report(self, outcome: host_pb2.Outcome | None) -> None:
        """Post what is gathered; `outcome` counts as one more in the numbering."""
        if self.reported:
            return
        run = self.run
        report = host_pb2.Report(job=run.job, epoch=run.epoch, source_seq=self._source_seq, events=self._events)
        if outcome is not None:
            report.outcome.CopyFrom(outcome)
            self.reported = outcome.state != job_pb2.JOB_STATE_RUNNING
        self._source_seq += len(self._events) + (outcome is not None)
        self._events = []
        size = report.ByteSize()
        self._unacked.append((self._source_seq - 1, report, size))
        self._unacked_bytes += size
        if self._unacked_bytes > _UNACKED_BYTES_MAX and not self._paused:
            self._paused = True
            with contextlib.suppress(ValueError, OSError):
                self._loop.remove_reader(self._child.sock)
        self._post(report)

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
        if self._events:
            self._report(None)

    def _drain_output(self) -> None:
        """Take what native code wrote before the end."""
        for fd, writer in ((self._child.out, self._out), (self._child.err, self._err)):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    while data := os.read(fd, 65536):
                        writer.write(data.decode("utf-8", "replace"))
            writer.finish()

    def _line(self, kind: str, line: str) -> None:
        self._events.append(job_pb2.Event(kind=kind, time=time.time(), payload=line))

    def _finish(self, status: int) -> None:
        """The process has gone: take what it left, and say how it ended if it did not say so itself."""
        child = self._child
        for source in (child.sock, child.out, child.err):
            self._loop.remove_reader(source)
        with contextlib.suppress(OSError):
            while data := child.sock.recv(_READ_BYTES):
                self._feed(data)
        self._drain_output()
        child.close()
        if self.reported:
            return
        if self._cancelling:
            self._report(host_pb2.Outcome(state=job_pb2.JOB_STATE_CANCELLED))
            return
        self._report(
            host_pb2.Outcome(
                state=job_pb2.JOB_STATE_FAILED,
                reason=job_pb2.JOB_REASON_WORKER_LOST,
                error=f"the job's process {describe_exit(status)}",
            )
        )
