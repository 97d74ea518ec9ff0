"""A job in a process of its own, as its host runs it: frames and output in, cancels and lock answers out."""

import asyncio
import contextlib
import functools
import os
import signal

from agentmesh_protos.runner.v1 import host_pb2
from google.protobuf.message import DecodeError

from agentmesh._job.progress import Throttle
from agentmesh.host.attached.children import Child, Zygote
from agentmesh.host.attached.running import RunningJob
from agentmesh.host.jobs.capture import Bytes, LineWriter
from agentmesh.host.talk import limits
from agentmesh.host.talk.frames import COUNT, BrokenFrame, Kind, Splitter, pack
from agentmesh.host.talk.unsent import Unsent

_HELD_BYTES_MAX = 8 * 1024 * 1024
# How long a process may go on that has said how its job has ended.
_LINGER_S = 2.0
# How often one looks whether nothing of it runs, once its channel is closed: most are gone by then.
_LOOK_S = 0.001
_LOOKS = 4
_READ_BYTES = 512 * 1024
_OUTPUT_BYTES = 64 * 1024


class ProcessJob:
    """The process of `job`: a child of the zygote that has waited for it."""

    def __init__(self, job: RunningJob, run: host_pb2.Run, child: Child, zygote: Zygote) -> None:
        self._job = job
        self._child = child
        self._zygote = zygote
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter(limits.FRAME_BYTES_MAX)
        self._outcome: host_pb2.Outcome | None = None
        """What it has said of its end; told once nothing of it runs."""
        self._linger: asyncio.TimerHandle | None = None
        self._unsent = Unsent()
        self._send(pack(Kind.RUN, run.SerializeToString()))
        later = self._loop.call_later
        drawn = Throttle(functools.partial(self._say, "progress"), later=later)
        self._lines = [LineWriter(functools.partial(self._say, kind), drawn, later) for kind in ("stdout", "stderr")]
        self._output = [Bytes(lines) for lines in self._lines]
        self.go_on()
        child.exited.add_done_callback(lambda done: self._finish(done.result()))

    @property
    def held_bytes_max(self) -> int:
        """How much of it may be unacknowledged."""
        return _HELD_BYTES_MAX

    # -- to the process ------------------------------------------------------------------------------------------

    def end_lock(self, end: host_pb2.LockEnd) -> None:
        """Tell the process what became of a lock."""
        self._send(pack(Kind.LOCK_END, end.SerializeToString()))

    def file_result(self, result: host_pb2.FileResult) -> None:
        """Tell the process what came of what it wanted of its files."""
        self._send(pack(Kind.FILE_RESULT, result.SerializeToString()))

    def keep(self, count: int) -> None:
        """Tell the process that so many more of its steps are on disk."""
        self._send(pack(Kind.KEPT, COUNT.pack(count)))

    def pause(self) -> None:
        """Freeze the process, and all that it has started."""
        self._zygote.signal(self._child, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._zygote.signal(self._child, signal.SIGCONT)

    def cancel(self, grace_s: float) -> None:
        """Ask the process to end, and kill it after `grace_s`."""
        self._zygote.signal(self._child, signal.SIGTERM)
        self._loop.call_later(grace_s, self._zygote.signal, self._child, signal.SIGKILL)

    def kill(self) -> None:
        """End the process at once."""
        self._zygote.signal(self._child, signal.SIGKILL)

    def hold(self) -> None:
        """Read no more: the process blocks on its next event or line."""
        for source in (self._child.sock, self._child.out, self._child.err):
            self._loop.remove_reader(source)

    def go_on(self) -> None:
        """Read, or read again."""
        child = self._child
        if child.sock.fileno() >= 0:
            self._loop.add_reader(child.sock, self._read)
            for index, fd in enumerate((child.out, child.err)):
                self._loop.add_reader(fd, self._read_output, index, fd)

    def _send(self, data: bytes) -> None:
        """Write to the process: at once what its socket takes, the rest in order from the loop."""
        self._unsent.add(data)
        if self._unsent.bytes_count == len(data):
            self._write()
            if self._unsent.bytes_count and self._child.sock.fileno() >= 0:
                self._loop.add_writer(self._child.sock, self._write)

    def _write(self) -> None:
        sock = self._child.sock
        try:
            self._unsent.write(sock)
        except OSError:  # it has died: its exit is on the way
            self._unsent.clear()
        if not self._unsent.bytes_count and sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    # -- from the process ----------------------------------------------------------------------------------------

    def _read(self) -> None:
        if not (data := self._zygote.receive(self._child, _READ_BYTES)):
            self._look_for_end(_LOOKS)  # it may be on its way out; if it said nothing, its exit tells how it ended
            return
        self._feed(data)
        self._job.tell()

    def _feed(self, data: bytes) -> None:
        job = self._job
        try:
            for kind, payload in self._splitter.feed(data):
                if kind != Kind.OUTCOME:
                    job.take(kind, payload)
                elif self._outcome is None:
                    self._outcome = host_pb2.Outcome.FromString(payload)
                    self._linger = self._loop.call_later(_LINGER_S, self.kill)
                    self._look_for_end(0)
        except (BrokenFrame, DecodeError):
            job.break_off("sent what is no frame")

    def _look_for_end(self, looks: int) -> None:
        """Say how the job has ended as soon as nothing of it runs; a process takes a while to be collected after that.

        One that is being stopped has ended when it is collected.
        """
        if self._outcome is None or self._job.cancelling or self._job.reported:
            return
        if self._zygote.is_gone(self._child):
            self._drain_output()
            self._job.end(self._outcome)
        elif looks:
            self._loop.call_later(_LOOK_S, self._look_for_end, looks - 1)

    def _read_output(self, index: int, fd: int) -> None:
        try:
            data = os.read(fd, _OUTPUT_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(fd)
            return
        self._output[index].write(data)
        self._job.tell()

    def _say(self, kind: str, payload: str) -> None:
        self._job.say(kind, payload)
        self._job.tell()

    def _drain_output(self) -> None:
        """Take what native code wrote before the end."""
        for index, fd in enumerate((self._child.out, self._child.err)):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    while data := os.read(fd, _OUTPUT_BYTES):
                        self._output[index].write(data)
        for lines in self._lines:
            lines.finish()

    def _finish(self, how: str) -> None:
        """The process has gone, and all it has started: take what it left, and say how the job has ended."""
        child = self._child
        if self._linger is not None:
            self._linger.cancel()
        self.hold()
        self._loop.remove_writer(child.sock)
        with contextlib.suppress(OSError):
            while data := child.sock.recv(_READ_BYTES):
                self._feed(data)
        self._drain_output()
        child.close()
        if self._outcome is not None:
            self._job.end(self._outcome)
        self._job.gone(f"the job's process {how}")
