"""The zygote: imports the app once, then forks the processes that use it.

It has one thread and no running event loop, so a fork of it is safe.  The host sends it a FORK frame with the file
descriptors of the child (its channel and where its output goes) and SIGNAL frames; it sends a FORKED frame for each
child, or an UNFORKED one for a child that could not be had, an EXITED one when a child has ended with all that it has
started, and a PONG for a PING: a host that hears nothing ends it.  Only the zygote signals its children, because
only their parent knows that a process id is still theirs.
"""

import collections
import contextlib
import errno
import gc
import itertools
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any, NamedTuple, NoReturn

from agentmesh_protos.runner.v1 import host_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec

from agentmesh._app.loading import LoadedApp, load
from agentmesh.errors import describe
from agentmesh.host.app import handler
from agentmesh.host.confine import Confinement
from agentmesh.host.jobs import carrying, ending, job, streams, worker
from agentmesh.host.own import descendants
from agentmesh.host.own.folders import Folders
from agentmesh.host.own.processes import die_with_parent
from agentmesh.host.packages import keeping
from agentmesh.host.talk import limits
from agentmesh.host.talk.frames import Channel, Kind, Splitter

ROLE_HANDLER = 1
ROLE_JOB = 2
ROLE_WORKER = 3
FORK = struct.Struct("!QB")
"""Child id and role."""
SIGNAL = struct.Struct("!QB")
"""Child id and signal number."""
EXITED = struct.Struct("!Qi")
"""Child id and `waitpid` status."""
FORKED = struct.Struct("!QI")
"""Child id and process id."""
UNFORKED = struct.Struct("!Qi")
"""Child id and `errno`."""
# What concerns a child and all below it, whatever group that is in.
_HALTS = (signal.SIGSTOP, signal.SIGCONT)
# How long what a child has left behind may take to die, and how often that is looked at.
_STRAYS_S = 10.0
_STRAYS_LOOK_S = 0.02
# How long we may take for that at our end.
_END_S = 0.8
_END_LOOK_S = 0.002
# Its channel, and where a job's output goes; that of the others goes where ours goes.
_FDS = {ROLE_HANDLER: 1, ROLE_JOB: 3, ROLE_WORKER: 1}
# What starts an interpreter of its own where the app cannot be forked.
_MODULES = {ROLE_JOB: "agentmesh.host.jobs.job", ROLE_WORKER: "agentmesh.host.jobs.worker"}
_FDS_MAX = max(_FDS.values())
# What the app's own subprocesses must not inherit.
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def main(control: socket.socket, spec: HostSpec, own: Folders, confinement: Confinement) -> NoReturn:
    """Load the app, tell the host, then fork on demand until the host closes the socket; ends the process."""
    channel = Channel(control)
    streams.install()
    try:
        app = load(spec.import_path)
        loaded = host_pb2.Loaded(flows=handler.flow_infos(app))
        limits.check_message(loaded, "what the app says of its flows")
    except BaseException as error:  # an app may even call sys.exit: it fails alone
        failed = host_pb2.Loaded(error=limits.encodable(describe(error)), detail=carrying.traceback_of(error))
        channel.send(Kind.LOADED, failed.SerializeToString())
        os._exit(1)
    if not getattr(app.asgi, "starts_idle", False):
        channel.send(Kind.STARTS)
    channel.send(Kind.LOADED, loaded.SerializeToString())
    # What is here now lives as long as we do: keep the collector's hands, and so the children's copies, off it.
    gc.collect()
    ending.prepare()
    gc.freeze()
    zygote = _Zygote(control, channel, app, spec, own, confinement)
    zygote.serve()
    zygote.end()
    os._exit(0)


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        channel: Channel,
        app: LoadedApp,
        spec: HostSpec,
        own: Folders,
        confinement: Confinement,
    ) -> None:
        self._control = control
        self._channel = channel
        self._app = app
        self._spec = spec
        self._own = own
        self._confinement = confinement
        self._children: dict[int, int] = {}
        self._ending: dict[int, _Ending] = {}
        self._places: dict[int, int] = {}
        """Of children by number, each no other's while anything of it runs."""
        self._given_up: set[int] = set()
        """Strays that do not die."""
        self._splitter = Splitter()
        self._fds: collections.deque[list[int]] = collections.deque()
        """Of children to be forked, in order; fewer than they need where the kernel could not hand them over."""

    def serve(self) -> None:
        """Fork and reap until the host has gone."""
        descendants.adopt_orphans()
        wake, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            sources: list[Any] = [self._control, wake]
            ready, _, _ = select.select(sources, [], [], _STRAYS_LOOK_S if self._ending else None)
            if wake in ready:
                os.read(wake, 4096)
            if wake in ready or self._ending:
                self._reap()
            if self._control in ready and not self._take(wake, wakeup):
                return

    def end(self) -> None:
        """End every child, and all that any of them has started."""
        if not descendants.end_strays(_END_S, _END_LOOK_S):
            return
        for pid in self._children:  # where nobody tells whose child is whose
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def _take(self, wake: int, wakeup: int) -> bool:
        """Carry out what the host asks; return False when it has closed the socket."""
        # The kernel hands over the descriptors of one message at a time.
        data, fds, flags, _ = socket.recv_fds(self._control, 4096, _FDS_MAX, _RECEIVE_FLAGS)
        if fds or flags & socket.MSG_CTRUNC:
            self._fds.append(fds)
        if not data:
            return False
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.FORK:
                child, role = FORK.unpack(payload)
                self._fork(child, role, self._fds.popleft(), (wake, wakeup))
            elif kind == Kind.SIGNAL:
                self._signal(*SIGNAL.unpack(payload))
            elif kind == Kind.PING:
                self._channel.send(Kind.PONG)
        return True

    def _signal(self, child: int, number: int) -> None:
        """Signal a child and all it started."""
        for pid, known in self._children.items():
            if known == child and number in _HALTS:
                descendants.signal_tree(pid, number)
            elif known == child:
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:  # it has not made its group yet
                    os.kill(pid, number)

    def _fork(self, child: int, role: int, fds: list[int], ours: tuple[int, int]) -> None:
        parent = os.getpid()
        taken = self._places.values()
        self._places[child] = next(place for place in itertools.count() if place not in taken)
        try:
            if len(fds) < _FDS[role]:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:  # no memory, too many processes: this child is not to be had, the others live
            del self._places[child]
            self._channel.send(Kind.UNFORKED, UNFORKED.pack(child, error.errno or 0))
            self._close(fds)
            return
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for fd in ours:
                    os.close(fd)
                self._become(parent, child, role, fds)
            finally:  # never return into the zygote's loop
                os._exit(1)
        self._children[pid] = child
        self._close(fds)
        with contextlib.suppress(BrokenPipeError):
            self._channel.send(Kind.FORKED, FORKED.pack(child, pid))

    def _close(self, fds: list[int]) -> None:
        for fd in fds:
            os.close(fd)

    def _become(self, parent: int, child: int, role: int, fds: list[int]) -> NoReturn:
        die_with_parent(parent)
        os.setsid()  # its own group: what it starts can be ended with it
        descendants.adopt_orphans()  # what it leaves behind is its own while it lives, and nobody else's
        self._control.close()
        keeping.let_go()
        channel_fd, *output = fds
        for fd, standard in zip(output, (1, 2), strict=False):
            os.dup2(fd, standard)
            os.close(fd)
        try:
            if role == ROLE_HANDLER:  # that one has what the app has
                self._confinement.enter_handler()
            else:
                self._confinement.take_user(self._places[child])
                self._own.settle(child)
                self._confinement.enter_job(self._own.of(child))
        except OSError as error:
            print(f"the job's process could not be set apart: {error.strerror}", file=sys.__stderr__, flush=True)
            os._exit(1)
        if role == ROLE_HANDLER:
            handler.main(socket.socket(fileno=channel_fd), self._app, self._spec.expose)
        if not self._spec.fork:
            os.set_inheritable(channel_fd, True)
            command = [sys.executable, "-m", _MODULES[role], str(channel_fd), self._spec.import_path]
            os.execv(sys.executable, command)
        if role == ROLE_WORKER:
            worker.main(socket.socket(fileno=channel_fd), self._app)
        ending.inherit_nothing()
        job.main(Channel(socket.socket(fileno=channel_fd)), self._app)

    def _reap(self) -> None:
        """Take leave of children that have ended, and say so once all that they have started has ended, too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._children.pop(pid, None)
            if child is not None:  # else a stray
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                self._ending[pid] = _Ending(child, status, time.monotonic() + _STRAYS_S)
        if not self._ending:
            return
        strays = [pid for pid in descendants.kill_strays(self._children) if pid not in self._given_up]
        for pid, left in list(self._ending.items()):
            is_late = time.monotonic() > left.until
            if is_late:  # nothing ends them: they are not waited for again
                print(f"host: what a job has started does not end: {strays}", file=sys.stderr)
                self._given_up.update(strays)
            if is_late or not (strays or _is_group(pid)):
                del self._ending[pid], self._places[left.child]
                with contextlib.suppress(BrokenPipeError):
                    self._channel.send(Kind.EXITED, EXITED.pack(left.child, left.status))


class _Ending(NamedTuple):
    """A child that has ended, while processes that it has started have not."""

    child: int
    status: int
    until: float
    """When to wait no more (`time.monotonic`)."""


def _is_group(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # some of it has another user's rights
        pass
    return True
