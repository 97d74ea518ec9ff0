"""The zygote: imports the app once, then forks the processes that use it.

It has one thread and no event loop, so a fork of it is safe.  The host sends it a FORK frame with the file
descriptors of the child (its channel and where its output goes) and SIGNAL frames; it sends an EXITED frame when a
child has ended.  Only the zygote signals its children, because only their parent knows that a process id is still
theirs.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from typing import Any, NoReturn

from mesh.runner.v1 import host_pb2
from mesh.runner.v1.placement_pb2 import HostSpec

from agentmesh.errors import describe
from agentmesh.host import handler, job
from agentmesh.host.frames import Channel, Kind, Splitter
from agentmesh.host.processes import die_with_parent
from agentmesh.loading import LoadedApp, load

ROLE_HANDLER = 1
ROLE_JOB = 2
FORK = struct.Struct("!QB")
"""Child id and role."""
SIGNAL = struct.Struct("!QB")
"""Child id and signal number."""
EXITED = struct.Struct("!Qi")
"""Child id and `waitpid` status."""
_FDS_MAX = 3
# What the app's own subprocesses must not inherit.
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def main(control: socket.socket, spec: HostSpec) -> NoReturn:
    """Load the app, tell the host, then fork on demand until the host closes the socket; ends the process."""
    channel = Channel(control)
    try:
        app = load(spec.import_path)
        loaded = host_pb2.Loaded(flows=handler.flow_infos(app))
    except BaseException as error:  # an app may even call sys.exit: it fails alone
        detail = "".join(traceback.format_exception(error))
        channel.send(Kind.LOADED, host_pb2.Loaded(error=describe(error), detail=detail).SerializeToString())
        os._exit(1)
    channel.send(Kind.LOADED, loaded.SerializeToString())
    # What is here now lives as long as we do: keep the collector's hands, and so the children's copies, off it.
    gc.collect()
    gc.freeze()
    _Zygote(control, channel, app, spec).serve()
    os._exit(0)


class _Zygote:
    def __init__(self, control: socket.socket, channel: Channel, app: LoadedApp, spec: HostSpec) -> None:
        self._control = control
        self._channel = channel
        self._app = app
        self._spec = spec
        self._children: dict[int, int] = {}
        self._splitter = Splitter()
        self._fds: list[int] = []

    def serve(self) -> None:
        """Fork and reap until the host has gone."""
        wake, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            sources: list[Any] = [self._control, wake]
            ready, _, _ = select.select(sources, [], [])
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if self._control in ready and not self._take(wake, wakeup):
                return

    def _take(self, wake: int, wakeup: int) -> bool:
        """Carry out what the host asks; return False when it has closed the socket."""
        data, fds, _, _ = socket.recv_fds(self._control, 4096, 64 * _FDS_MAX, _RECEIVE_FLAGS)
        self._fds += fds
        if not data:
            return False
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.FORK:
                child, role = FORK.unpack(payload)
                fds, self._fds = self._fds[:_FDS_MAX], self._fds[_FDS_MAX:]
                self._fork(child, role, fds, (wake, wakeup))
            elif kind == Kind.SIGNAL:
                self._signal(*SIGNAL.unpack(payload))
        return True

    def _signal(self, child: int, number: int) -> None:
        """Signal a child and all it started."""
        for pid, known in self._children.items():
            if known == child:
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:  # it has not made its group yet
                    os.kill(pid, number)

    def _fork(self, child: int, role: int, fds: list[int], ours: tuple[int, int]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for fd in ours:
                    os.close(fd)
                self._become(parent, role, fds)
            finally:  # never return into the zygote's loop
                os._exit(1)
        self._children[pid] = child
        for fd in fds:
            os.close(fd)

    def _become(self, parent: int, role: int, fds: list[int]) -> NoReturn:
        die_with_parent(parent)
        os.setsid()  # its own group: what it starts can be ended with it
        self._control.close()
        channel_fd, out, err = fds
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        if role == ROLE_HANDLER:
            handler.main(socket.socket(fileno=channel_fd), self._app, self._spec.expose)
        if not self._spec.fork:
            os.set_inheritable(channel_fd, True)
            command = [sys.executable, "-m", "agentmesh.host.job", str(channel_fd), self._spec.import_path]
            os.execv(sys.executable, command)
        job.main(Channel(socket.socket(fileno=channel_fd)), self._app)

    def _reap(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)  # what it started and left behind
                with contextlib.suppress(BrokenPipeError):
                    self._channel.send(Kind.EXITED, EXITED.pack(child, status))
