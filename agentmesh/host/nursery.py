"""The nursery: imports what every app needs once, and forks hosts from that.

It listens on a unix socket and speaks JSON lines.  To it: `{"op": "start", "spec": {…}}`, `{"op": "stop",
"host_id"}`.  From it: `{"event": "hosts", "host_ids": […]}` first, then `{"event": "started" | "exited", "host_id",
…}`.  One client at a time: a runner that restarts takes over from the one before, and finds the hosts still working.
"""

import contextlib
import gc
import importlib
import json
import os
import pathlib
import select
import signal
import socket
import sys
import time
from typing import Any

from agentmesh.host import host
from agentmesh.host.processes import describe_exit, die_with_parent
from agentmesh.host.spec import HostSpec

# Imported before the first fork, so that every app shares these pages.
_PRELOAD = ("fastapi", "pydantic", "agentmesh", "agentmesh.serve", "agentmesh.forms", "agentmesh.tracer", "asyncio")
_LINE_BYTES_MAX = 1024 * 1024
_STOP_GRACE_S = 2.0


def main() -> None:
    """Serve on the socket named by `AGENTMESH_NURSERY` until SIGTERM."""
    path = pathlib.Path(os.environ["AGENTMESH_NURSERY"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us all; the supervisor decides
    for module in _PRELOAD:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)  # only our own user may start processes here
    listener.bind(str(path))
    os.umask(old)
    listener.listen(4)
    gc.collect()
    gc.freeze()
    _Nursery(listener).serve()


class _Nursery:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._client: socket.socket | None = None
        self._buffer = b""
        self._hosts: dict[int, str] = {}
        self._kill_at: dict[int, float] = {}
        self._stopping = False

    def serve(self) -> None:
        """Fork, reap and report until told to stop."""
        wake, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        self._private = [wake, wakeup, self._listener.fileno()]
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        while not self._stopping:
            sources: list[Any] = [wake, self._listener]
            if self._client is not None:
                sources.append(self._client)
            ready, _, _ = select.select(sources, [], [], self._patience())
            if wake in ready:
                os.read(wake, 4096)
            self._reap()
            self._kill_late()
            if self._client is not None and self._client in ready:
                self._read(self._client)
            if self._listener in ready:
                self._accept()
        self._end()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _patience(self) -> float | None:
        return max(0.0, min(self._kill_at.values()) - time.monotonic()) if self._kill_at else None

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._client is not None:
            self._client.close()
        self._client, self._buffer = client, b""
        self._tell(event="hosts", host_ids=sorted(self._hosts.values()))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        if not data or len(self._buffer) > _LINE_BYTES_MAX:
            client.close()
            self._client = None
            return
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, Any]) -> None:
        if order["op"] == "start":
            self._start(HostSpec(**order["spec"]))
        elif order["op"] == "stop":
            for pid, host_id in self._hosts.items():
                if host_id == order["host_id"]:
                    os.kill(pid, signal.SIGTERM)
                    self._kill_at[pid] = time.monotonic() + _STOP_GRACE_S

    def _start(self, spec: HostSpec) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become(parent, spec)
            finally:  # never return into the nursery's loop
                os._exit(1)
        self._hosts[pid] = spec.host_id
        self._tell(event="started", host_id=spec.host_id, pid=pid)

    def _become(self, parent: int, spec: HostSpec) -> None:
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for fd in self._private:
            os.close(fd)
        if self._client is not None:
            self._client.close()
        host.main(spec)

    def _reap(self) -> None:
        while self._hosts:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            host_id = self._hosts.pop(pid, "")
            self._kill_at.pop(pid, None)
            self._tell(event="exited", host_id=host_id, reason=describe_exit(status))

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, at in list(self._kill_at.items()):
            if at <= now:
                os.kill(pid, signal.SIGKILL)
                del self._kill_at[pid]

    def _tell(self, **event: Any) -> None:
        if self._client is None:
            return
        try:
            self._client.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            self._client.close()
            self._client = None

    def _end(self) -> None:
        """Stop every host, the slow ones by force; the kernel sees to their children."""
        for pid in self._hosts:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 1.0
        while self._hosts and time.monotonic() < until:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self._hosts.pop(pid, None)
            if pid == 0:
                time.sleep(0.01)
        for pid in self._hosts:
            os.kill(pid, signal.SIGKILL)
        sys.exit(0)
