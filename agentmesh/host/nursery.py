"""The nursery: imports what every app needs once, and forks hosts from that.

It listens on a unix socket: it is told `NurseryOrder`s and says `NurseryEvent`s, each behind its length
(`talk.frames.Pieces`).  One client at a time: a runner that restarts takes over from the one before, and finds the
hosts still working.  A client that does not keep to the protocol, or does not listen, loses its connection; one that
is not of the mesh (`own.peers`), such as a job, gets none.

With the order to start a host comes a pipe that the host's badge lies in.  It is not read here: what was in our memory
is in that of every fork, and so in that of every job.
"""

import asyncio
import collections
import contextlib
import dataclasses
import gc
import importlib
import itertools
import json
import os
import pathlib
import select
import signal
import socket
import sys
import time
from typing import Any, NamedTuple

from agentmesh_protos.runner.v1 import placement_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec, NurseryEvent, NurseryOrder
from google.protobuf.message import DecodeError

from agentmesh.host import rehearsal
from agentmesh.host.attached import host
from agentmesh.host.confine import Confinement, Settings, missing, survey
from agentmesh.host.jobs import job
from agentmesh.host.own import descendants, environment, folders, peers
from agentmesh.host.own.processes import describe_exit, die_with_parent, end_with_parent
from agentmesh.host.talk.frames import LENGTH, BrokenFrame, Pieces

# Imported before the first fork, so that every app shares these pages.
_PRELOAD = ("fastapi", "pydantic", "agentmesh.serve", "agentmesh.forms", "agentmesh.templates", "agentmesh.tracer")
_ORDER_BYTES_MAX = 1024 * 1024
_CLIENT_S = 5.0
_ACCEPT_AGAIN_S = 0.1
_REHEARSALS = 20
_STOP_GRACE_S = 2.0
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
# How long what a host has left behind may take to die, and how often that is looked at.
_STRAYS_S = 10.0
_STRAYS_LOOK_S = 0.02
# At our own end: how long hosts may take by themselves, and how long all others.
_END_GRACE_S = 1.0
_END_S = 1.0
_END_LOOK_S = 0.01


def main() -> None:
    """Serve on the socket named by `AGENTMESH_NURSERY` until SIGTERM.

    Folders of jobs are made in `hosts`, in the folder that `AGENTMESH_JOBS_DIR` names, or beside the socket.
    """
    parent = os.getppid()
    path = pathlib.Path(os.environ[environment.NURSERY])
    jobs_dir = pathlib.Path(os.environ.get(environment.JOBS_DIR) or path.parent) / "hosts"
    settings = _settings(jobs_dir)
    for name in environment.OF_THE_NURSERY:
        os.environ.pop(name, None)
    jobs_dir.mkdir(mode=0o711, parents=True, exist_ok=True)  # a host of another user must get to its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us all; the supervisor decides
    for module in _PRELOAD:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    rehearsal.rehearse()
    _look_around(settings, path.with_suffix(".json"))
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # only our own user may start processes here
    listener.bind(str(path))
    os.umask(old)
    listener.listen(4)
    _warm_up(jobs_dir, settings)
    gc.collect()
    gc.freeze()
    _Nursery(listener, jobs_dir, settings, parent).serve()


def _settings(jobs_dir: pathlib.Path) -> Settings:
    """Read how apps are to be confined, whose folders are in `jobs_dir`.  Ends the process with 2 if that fails."""
    try:
        settings = Settings.of(os.environ)
        return dataclasses.replace(settings, private=(*settings.private, str(jobs_dir.absolute())))
    except ValueError as error:
        print(f"nursery: {error}", file=sys.stderr)
        sys.exit(2)


def _look_around(settings: Settings, path: pathlib.Path) -> None:
    """Try what there is to confine apps with, once for all hosts; write it to `path`, for /health to show."""
    measures = survey(settings)
    for measure in missing(measures):
        print(f"nursery: {measure.name} is not given: {measure.note}", file=sys.stderr)
    said = [dataclasses.asdict(measure) for measure in measures]
    with contextlib.suppress(OSError):  # a full disk is no reason to run no apps
        path.touch(0o600)  # as the sockets beside it
        path.write_text(json.dumps({"setting": settings.isolation, "measures": said}), encoding="utf-8")


def _warm_up(jobs_dir: pathlib.Path, settings: Settings) -> None:
    """Run what every job runs, often enough that Python has adapted the code in place: no fork writes to it then.

    And find out once what every host would: where Python and its packages lie, and what of /etc all may read.
    """
    with contextlib.suppress(ValueError, OSError):  # each host says what is missing
        Confinement.of(HostSpec(), jobs_dir / "rehearsal", settings, 0)
    loop = asyncio.new_event_loop()
    for _ in range(_REHEARSALS):
        job.rehearse(loop)
    loop.close()


class _Nursery:
    def __init__(self, listener: socket.socket, jobs_dir: pathlib.Path, settings: Settings, parent: int) -> None:
        self._parent = parent
        self._listener = listener
        self._jobs_dir = jobs_dir
        self._settings = settings
        self._cleaning: set[int] = set()
        """Children that remove folders."""
        self._client: socket.socket | None = None
        self._pieces = Pieces(_ORDER_BYTES_MAX)
        self._badges: collections.deque[int] = collections.deque()
        """Reading ends of the pipes of hosts that are to be started, in order."""
        self._hosts: dict[int, str] = {}
        self._places: dict[int, int] = {}
        """Of hosts by process, each no other's."""
        self._kill_at: dict[int, float] = {}
        self._ending: dict[str, _Ending] = {}
        """Hosts that have ended, while processes that they have started have not."""
        self._stopping = False

    def serve(self) -> None:
        """Fork, reap and report until told to stop."""
        wake, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        self._private = [wake, wakeup, self._listener.fileno()]
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        descendants.adopt_orphans()
        # Not SIGKILL, as for all others: what is below us is ours to end.
        self._stopping = end_with_parent(self._parent)
        for left in self._jobs_dir.iterdir():  # by hosts of a nursery before us
            self._clean(left)
        while not self._stopping:
            sources: list[Any] = [wake, self._listener]
            if self._client is not None:
                sources.append(self._client)
            ready, _, _ = select.select(sources, [], [], self._patience())
            if wake in ready:
                os.read(wake, 4096)
            self._reap()
            self._take_leave()
            self._kill_late()
            if self._client is not None and self._client in ready:
                self._read(self._client)
            if self._listener in ready:
                self._accept()
        self._end()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _patience(self) -> float | None:
        if self._ending:
            return _STRAYS_LOOK_S
        return max(0.0, min(self._kill_at.values()) - time.monotonic()) if self._kill_at else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # no descriptors for it now: it waits in the listener's line
            print(f"nursery: nobody can connect now: {error.strerror}", file=sys.stderr)
            time.sleep(_ACCEPT_AGAIN_S)
            return
        if why_not := peers.why_not(peers.of(client)):
            print(f"nursery: somebody who connects is refused: {why_not}", file=sys.stderr)
            client.close()
            return
        self._hang_up()
        client.settimeout(_CLIENT_S)
        self._client, self._pieces = client, Pieces(_ORDER_BYTES_MAX)
        present = placement_pb2.HostsPresent(host_ids=sorted(self._hosts.values()))
        self._tell(NurseryEvent(present=present))

    def _hang_up(self) -> None:
        while self._badges:
            os.close(self._badges.popleft())
        if self._client is not None:
            self._client.close()
            self._client = None

    def _read(self, client: socket.socket) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(client, 65536, 1, _RECEIVE_FLAGS)
        except OSError:
            data, fds = b"", []
        self._badges.extend(fds)
        try:
            for piece in self._pieces.feed(data):
                self._obey(NurseryOrder.FromString(piece))
        except (BrokenFrame, DecodeError) as error:
            print(f"nursery: what came is no order: {error}", file=sys.stderr)
            data = b""
        if not data:
            self._hang_up()

    def _obey(self, order: NurseryOrder) -> None:
        match order.WhichOneof("order"):
            case "start":
                badge = self._badges.popleft() if self._badges else -1
                self._start(order.start, badge)
                if badge >= 0:
                    os.close(badge)
            case "stop":
                for pid, host_id in self._hosts.items():
                    if host_id == order.stop:
                        os.kill(pid, signal.SIGTERM)
                        self._kill_at[pid] = time.monotonic() + _STOP_GRACE_S

    def _start(self, spec: HostSpec, badge: int) -> None:
        parent = os.getpid()
        taken = self._places.values()
        place = next(place for place in itertools.count() if place not in taken)
        try:
            pid = os.fork()
        except OSError as error:  # no memory, too many processes: this host is not started, the others live
            self._tell_exit(spec.host_id, f"could not be forked: {error.strerror}")
            return
        if pid == 0:
            try:
                self._become(parent, spec, badge, place)
            finally:  # never return into the nursery's loop
                os._exit(1)
        self._hosts[pid] = spec.host_id
        self._places[pid] = place

    def _become(self, parent: int, spec: HostSpec, badge: int, place: int) -> None:
        die_with_parent(parent)
        self._be_no_nursery()
        host.main(spec, self._jobs_dir / spec.host_id, badge, self._settings, place)

    def _be_no_nursery(self) -> None:
        """In a fork: leave signals and sockets to the nursery."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for fd in (*self._private, *self._badges):
            os.close(fd)
        if self._client is not None:
            self._client.close()

    def _clean(self, folder: pathlib.Path) -> None:
        """Remove what a host has left, in a process of its own: there may be much of it."""
        if not folder.is_dir() or folders.remove_empty(folder):
            return
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # it goes with the next that is started here
            return
        if pid == 0:
            try:
                die_with_parent(parent)
                self._be_no_nursery()
                os.nice(10)
                folders.remove(folder)
            finally:
                os._exit(0)
        self._cleaning.add(pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._cleaning.discard(pid)
            if (host_id := self._hosts.pop(pid, None)) is not None:
                self._kill_at.pop(pid, None)
                self._ending[host_id] = _Ending(pid, describe_exit(status), time.monotonic() + _STRAYS_S)

    def _take_leave(self) -> None:
        """Say of hosts that they have ended once all that they have started has ended, too."""
        if not self._ending:
            return
        strays = descendants.kill_strays({*self._hosts, *self._cleaning})
        for host_id, left in list(self._ending.items()):
            if not strays or time.monotonic() > left.until:
                del self._ending[host_id]
                self._places.pop(left.pid, None)
                self._clean(self._jobs_dir / host_id)
                self._tell_exit(host_id, left.how)

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, at in list(self._kill_at.items()):
            if at <= now:
                os.kill(pid, signal.SIGKILL)
                del self._kill_at[pid]

    def _tell_exit(self, host_id: str, reason: str) -> None:
        self._tell(NurseryEvent(exited=placement_pb2.HostExited(host_id=host_id, reason=reason)))

    def _tell(self, event: NurseryEvent) -> None:
        if self._client is None:
            return
        data = event.SerializeToString()
        try:
            self._client.sendall(LENGTH.pack(len(data)) + data)
        except OSError:
            self._hang_up()

    def _end(self) -> None:
        """Stop every host, the slow ones by force, and then all that they have left behind."""
        for pid in self._hosts:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + _END_GRACE_S
        while self._hosts and time.monotonic() < until:
            self._reap()
            time.sleep(_END_LOOK_S)
        until = time.monotonic() + _END_S
        while descendants.kill_strays(()) and time.monotonic() < until:
            self._reap()
            time.sleep(_END_LOOK_S)
        sys.exit(0)


class _Ending(NamedTuple):
    """A host that has ended, while processes that it has started have not."""

    pid: int
    how: str
    until: float
    """When to wait no more (`time.monotonic`)."""
