"""The host's view of the processes its zygote forks."""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import os
import signal
import socket

from mesh.runner.v1 import host_pb2

from agentmesh.host.frames import Kind, Splitter, pack
from agentmesh.host.zygote import EXITED, FORK, ROLE_HANDLER, ROLE_JOB, SIGNAL

# Forked ahead and waiting: enough that one job never waits for a fork, little enough that idle memory stays small.
_AHEAD = 1
_AHEAD_BUSY = 4


@dataclasses.dataclass(eq=False, slots=True)
class Child:
    """A process forked by the zygote."""

    number: int
    sock: socket.socket
    """Our end of its channel, non-blocking."""
    out: int
    """Read end of its file descriptor 1, non-blocking; -1 for the handler, which shares ours."""
    err: int
    """Read end of its file descriptor 2."""
    exited: asyncio.Future[int]
    """Its `waitpid` status."""

    def close(self) -> None:
        """Close our ends."""
        self.sock.close()
        for fd in (self.out, self.err):
            if fd >= 0:
                os.close(fd)
        self.out = self.err = -1


class Zygote:
    """Asks the zygote for children and hears of their ends."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._numbers = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._ahead: collections.deque[Child] = collections.deque()
        self.loaded: asyncio.Future[host_pb2.Loaded] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(control, self._read)

    def fork_handler(self) -> Child:
        """Fork the process that answers forms."""
        ours, theirs = socket.socketpair()
        child = self._register(ours, -1, -1)
        self._send(FORK.pack(child.number, ROLE_HANDLER), [theirs.fileno(), 1, 2])
        theirs.close()
        return child

    def take_job(self, running: int) -> Child:
        """Return a process that waits for a job, forked ahead if one is there; then fork the next."""
        child = self._ahead.popleft() if self._ahead else self._fork_job()
        wanted = _AHEAD_BUSY if running > 1 else _AHEAD
        self._loop.call_soon(self.fork_ahead, wanted)
        return child

    def fork_ahead(self, wanted: int = _AHEAD) -> None:
        """Fork until `wanted` processes wait."""
        while len(self._ahead) < wanted and not self.gone.done():
            self._ahead.append(self._fork_job())

    def signal(self, child: Child, number: signal.Signals) -> None:
        """Signal a child and all it started; nothing happens if it has ended."""
        with contextlib.suppress(OSError):
            self._control.send(pack(Kind.SIGNAL, SIGNAL.pack(child.number, number)))

    def _fork_job(self) -> Child:
        ours, theirs = socket.socketpair()
        out, out_theirs = os.pipe()
        err, err_theirs = os.pipe()
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        child = self._register(ours, out, err)
        self._send(FORK.pack(child.number, ROLE_JOB), [theirs.fileno(), out_theirs, err_theirs])
        theirs.close()
        os.close(out_theirs)
        os.close(err_theirs)
        return child

    def _register(self, ours: socket.socket, out: int, err: int) -> Child:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        child = Child(next(self._numbers), ours, out, err, self._loop.create_future())
        self._children[child.number] = child
        return child

    def _send(self, payload: bytes, fds: list[int]) -> None:
        try:
            socket.send_fds(self._control, [pack(Kind.FORK, payload)], fds)
        except OSError:  # the zygote has gone; `gone` says so and the host ends
            if not self.gone.done():
                self.gone.set_result(None)

    def _read(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control)
            if not self.gone.done():
                self.gone.set_result(None)
            return
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.LOADED and not self.loaded.done():
                self.loaded.set_result(host_pb2.Loaded.FromString(payload))
            elif kind == Kind.EXITED:
                self._note_exit(*EXITED.unpack(payload))

    def _note_exit(self, number: int, status: int) -> None:
        child = self._children.pop(number, None)
        if child is None:
            return
        with contextlib.suppress(ValueError):
            self._ahead.remove(child)
            child.close()
        if not child.exited.done():
            child.exited.set_result(status)
