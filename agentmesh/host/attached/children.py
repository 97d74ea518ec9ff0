"""The host's view of the processes its zygote forks."""

import asyncio
import collections
import contextlib
import dataclasses
import errno
import itertools
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence

from agentmesh_protos.runner.v1 import host_pb2

from agentmesh.host.forking.zygote import EXITED, FORK, FORKED, ROLE_JOB, SIGNAL, UNFORKED
from agentmesh.host.own import descendants
from agentmesh.host.own.processes import describe_exit
from agentmesh.host.talk.frames import Kind, Splitter, pack

# Forked ahead and waiting: none for an app that nobody uses, so that idle memory stays small, one from its first job
# on, more while jobs come faster than forks.
_AHEAD = 1
_AHEAD_MAX = 8
_QUIET_S = 5.0
_UNUSED_S = 600.0
# A fork costs some milliseconds of a core: the job that has just been taken gets them first, unless others wait.
_FORK_LATER_S = 0.005
_TRY_AGAIN_S = 0.02
# How often a zygote that has been told something is looked at, and how many looks without a sign of life are too many.
_LOOK_S = 4.0
_LOOKS_MAX = 3
_PARTED_S = 2.0
"""How long a child may go on whose channel is closed."""
# The kernel is out of something for the moment.
_BUSY = (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)


@dataclasses.dataclass(eq=False, slots=True)
class Child:
    """A process forked by the zygote."""

    number: int
    sock: socket.socket
    """Our end of its channel, non-blocking."""
    out: int
    """Read end of its file descriptor 1, non-blocking; -1 if it shares ours."""
    err: int
    """Read end of its file descriptor 2."""
    exited: asyncio.Future[str]
    """How it ended, in words that follow on "the process"; done once all that it has started is gone, too."""
    pid: int = 0
    """Its process, once that is known, as the zygote numbers it."""

    def close(self) -> None:
        """Close our ends."""
        self.sock.close()
        for fd in (self.out, self.err):
            if fd >= 0:
                os.close(fd)
        self.out = self.err = -1


class Zygote:
    """Asks the zygote for children and hears of their ends."""

    def __init__(
        self,
        control: socket.socket,
        pid: int = 0,
        *,
        ended: Callable[[int], None] = lambda number: None,
        prepares: Callable[[str], None] | None = None,
        look_s: float = _LOOK_S,
    ) -> None:
        """`pid` is the process at the other end, a child of ours; 0 if it is not to be killed when it hangs.

        `ended` is told the number of a child when it and all that it has started are gone.  `look_s` is how often a
        zygote that has been told something is looked at.  `prepares` is told what it does before it loads the app, and
        nothing at last; what it says then is the app's own, and not heard.
        """
        control.setblocking(False)
        self._pid = pid
        self._ended = ended
        self._prepares = prepares
        self._look_s = look_s
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._splitter = Splitter()
        self._unsent: collections.deque[tuple[bytes, Sequence[int]]] = collections.deque()
        """What is to be said, in order, with file descriptors that are closed once they are sent."""
        self._is_flushing = False
        """Whether the loop writes what is unsent, as soon as that can be."""
        self._numbers = itertools.count(1)
        self._children: dict[int, Child] = {}
        self._pids: set[int] = set()
        self._ahead: collections.deque[Child] = collections.deque()
        self._wanted = 0
        self._refill: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._looks = 0
        """Since the last sign of life, while an answer is due."""
        self.loaded: asyncio.Future[host_pb2.Loaded] = self._loop.create_future()
        self.starts = False
        """Whether the app does something when it starts; known when it is loaded."""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(control, self._read)

    # -- children ------------------------------------------------------------------------------------------------

    def fork(self, role: int) -> Child:
        """Fork a process that shares our output.  Raises `OSError` if there are no descriptors for it."""
        ours, theirs = socket.socketpair()
        child = self._register(ours, -1, -1)
        self._send(pack(Kind.FORK, FORK.pack(child.number, role)), (theirs.detach(),))
        return child

    def take_job(self) -> Child:
        """Return a process that waits for a job, forked ahead if one is there, and see to the next.

        Raises `OSError` if there are no descriptors for it.
        """
        if self._ahead:
            child = self._ahead.popleft()
        else:
            self._wanted = min(self._wanted * 2 or _AHEAD, _AHEAD_MAX)
            child = self._fork_job()
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = self._loop.call_later(_QUIET_S, self._relax, _AHEAD)
        if self._refill is None:
            self._refill = self._loop.call_later(_FORK_LATER_S, self._fork_ahead)
        return child

    def _fork_ahead(self) -> None:
        """Fork until as many processes wait as shall."""
        self._refill = None
        with contextlib.suppress(OSError):  # no descriptors: the next job says so, if it is still true then
            while len(self._ahead) < self._wanted and not self.gone.done():
                self._ahead.append(self._fork_job())

    def _relax(self, wanted: int) -> None:
        """It has been quiet: keep only so many waiting, and none after much longer."""
        self._quiet = self._loop.call_later(_UNUSED_S, self._relax, 0) if wanted else None
        self._wanted = wanted
        while len(self._ahead) > self._wanted:
            self._ahead.pop().close()  # it ends when its channel does

    def signal(self, child: Child, number: signal.Signals) -> None:
        """Signal a child and all it started; nothing happens if it has ended."""
        self._send(pack(Kind.SIGNAL, SIGNAL.pack(child.number, number)))

    def is_gone(self, child: Child) -> bool:
        """Return whether nothing of a child can run any more, though it may not have been collected yet."""
        return child.exited.done() or bool(child.pid and descendants.is_gone(child.pid, self._pid, self._pids))

    def receive(self, child: Child, bytes_max: int) -> bytes:
        """Return what a child has sent; nothing if there is nothing yet, or it has closed its channel.

        Such a one is not read any more, and ended unless it ends by itself now: nobody can hear it.
        """
        try:
            data = child.sock.recv(bytes_max)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(child.sock)
            self._loop.call_later(_PARTED_S, self._end_parted, child)
        return data

    def _end_parted(self, child: Child) -> None:
        if not child.exited.done() and not self.gone.done():
            self.signal(child, signal.SIGKILL)

    def _fork_job(self) -> Child:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            undo.callback(theirs.close)
            out, out_theirs = os.pipe()
            undo.callback(os.close, out)
            undo.callback(os.close, out_theirs)
            err, err_theirs = os.pipe()
            undo.pop_all()
        for fd in (out_theirs, err_theirs):  # a job of another user opens them again, as /dev/stdout
            os.fchmod(fd, 0o622)
        os.set_blocking(out, False)
        os.set_blocking(err, False)
        child = self._register(ours, out, err)
        self._send(pack(Kind.FORK, FORK.pack(child.number, ROLE_JOB)), (theirs.detach(), out_theirs, err_theirs))
        return child

    def _register(self, ours: socket.socket, out: int, err: int) -> Child:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        child = Child(next(self._numbers), ours, out, err, self._loop.create_future())
        self._children[child.number] = child
        return child

    def close(self) -> None:
        """Let the zygote end, and what waits there."""
        for timer in (self._refill, self._quiet, self._look):
            if timer is not None:
                timer.cancel()
        self._note_gone()
        for child in self._ahead:
            child.close()
        self._control.close()

    # -- the channel to the zygote -------------------------------------------------------------------------------

    def _send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        self._unsent.append((data, fds))
        if self._look is None:  # no answer is due yet
            self._unsent.append((pack(Kind.PING), ()))
            self._looks = 0
            self._look = self._loop.call_later(self._look_s, self._look_at)
        if not self._is_flushing:
            self._flush()

    def _look_at(self) -> None:
        """See that the zygote does as it is told; one that hangs is ended, and we end with it.

        Counted in looks and not in seconds: we may have stood still ourselves.
        """
        self._looks += 1
        if self._looks < _LOOKS_MAX:
            self._look = self._loop.call_later(self._look_s, self._look_at)
            return
        print("host: the app's zygote does nothing of what it is told: it is ended", file=sys.stderr)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._note_gone()

    def _flush(self) -> None:
        """Write what the socket takes; the rest follows in order, and nobody waits for it here."""
        self._is_flushing = True
        while self._unsent:
            data, fds = self._unsent[0]
            try:
                sent = socket.send_fds(self._control, [data], fds) if fds else self._control.send(data)
            except BlockingIOError:
                self._loop.add_writer(self._control, self._flush)
                return
            except OSError as error:
                if error.errno in _BUSY:
                    self._loop.remove_writer(self._control)
                    self._loop.call_later(_TRY_AGAIN_S, self._flush)
                    return
                self._note_gone()
                return
            self._looks = 0
            self._unsent.popleft()
            for fd in fds:
                os.close(fd)
            if sent < len(data):
                self._unsent.appendleft((data[sent:], ()))
        self._is_flushing = False
        if self._control.fileno() >= 0:
            self._loop.remove_writer(self._control)

    def _note_gone(self) -> None:
        """The zygote has ended; the host ends too."""
        if self._look is not None:
            self._look.cancel()
        self._loop.remove_reader(self._control)
        self._loop.remove_writer(self._control)
        while self._unsent:
            for fd in self._unsent.popleft()[1]:
                os.close(fd)
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
            self._note_gone()
            return
        self._looks = 0
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.PONG and self._look is not None:
                self._look.cancel()
                self._look = None
            elif kind == Kind.LOADED and not self.loaded.done():
                self.loaded.set_result(host_pb2.Loaded.FromString(payload))
            elif kind == Kind.PREPARING:
                self._note_preparing(payload.decode(errors="replace"))
            elif kind == Kind.STARTS:
                self.starts = True
            elif kind == Kind.EXITED:
                number, status = EXITED.unpack(payload)
                self._note_exit(number, describe_exit(status))
            elif kind == Kind.FORKED:
                number, pid = FORKED.unpack(payload)
                if (child := self._children.get(number)) is not None:
                    child.pid = pid
                    self._pids.add(pid)
            elif kind == Kind.UNFORKED:
                number, code = UNFORKED.unpack(payload)
                self._note_exit(number, f"could not be started: {os.strerror(code)}")

    def _note_preparing(self, text: str) -> None:
        prepares = self._prepares
        if not text:  # the app is loaded from now on, and has this channel, too
            self._prepares = None
        if prepares is not None:
            prepares(text)

    def _note_exit(self, number: int, how: str) -> None:
        child = self._children.pop(number, None)
        if child is None:
            return
        self._pids.discard(child.pid)
        self._ended(number)
        with contextlib.suppress(ValueError):
            self._ahead.remove(child)
            child.close()
        if not child.exited.done():
            child.exited.set_result(how)
