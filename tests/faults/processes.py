"""The processes of a mesh: found, hit, and counted when they should be gone."""

import asyncio
import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psutil

from agentmesh.supervisor import ports
from agentmesh.testing import READY
from tests.faults.plan import Fault, Kind

ROOT = pathlib.Path(__file__).parents[2]
READY_S = 120.0
ENDED_S = 60.0
_MARKER = "AM_FAULTS_DATA_DIR"
_MODULES = {
    "services.auth": "auth",
    "services.registry": "registry",
    "services.runner": "runner",
    "services.payments": "payments",
    "services.ledger": "ledger",
    "gateway": "gateway",
    "gateway.envoy": "edge",
    "agentmesh.host": "nursery",
    "agentmesh.cluster": "bridge",
    "agentmesh.supervisor.forkserver": "forkserver",
}


class NotReady(Exception):
    """The mesh did not start."""


class Supervised:
    """`agentmesh up` on one port and one folder, which may be killed and started again."""

    def __init__(self, folder: pathlib.Path, env: Mapping[str, str], hosts: Sequence[int] = ()) -> None:
        """`env` is added to the environment; `hosts` are processes of others that start hosts."""
        self._env = env
        self._hosts = hosts
        self.data_dir = folder / "data"
        self.log_path = folder / "log"
        (self._port,), (self._hold,) = ports.reserve(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        """Start it and wait until it says that it is ready.  Raises `NotReady`."""
        command = [sys.executable, "-P", "-m", "agentmesh.cli", "up", "--port", str(self._port)]
        with self.log_path.open("a") as sink:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                cwd=ROOT,
                # So that processes with an app's code, which are told nothing of the mesh, can be told from others.
                env={**os.environ, **self._env, "AGENTMESH_PASS_ENV": _MARKER, _MARKER: str(self.data_dir.resolve())},
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await asyncio.to_thread(self._process.stdout.readline)
        except TimeoutError:
            line = ""
        if not line.startswith(READY):
            raise NotReady

    async def kill(self) -> list[psutil.Process]:
        """Kill the supervisor; return what is left of the mesh when all should be gone, but for hosts elsewhere."""
        assert self._process is not None, "started"
        self._process.kill()
        return await self._left(but=self._hosts)

    async def stop(self) -> tuple[int | None, list[psutil.Process]]:
        """End it as people do; return its exit code, and what is left."""
        if self._process is None:
            self._hold.close()
            return None, []
        self._process.send_signal(signal.SIGTERM)
        left = await self._left()
        self._hold.close()
        return self._process.poll(), left

    async def _left(self, but: Sequence[int] = ()) -> list[psutil.Process]:
        assert self._process is not None, "started"
        left: list[psutil.Process] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDED_S):
                while True:
                    stay = {process.pid for process in _below(but)}
                    left = [process for process in self.everybody() if process.pid not in stay]
                    if self._process.poll() is not None and not left:
                        break
                    await asyncio.sleep(0.1)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return left

    def everybody(self) -> Iterator[psutil.Process]:
        """Yield every living process that was started for this mesh, whoever is its parent."""
        markers = {f"{name}={self.data_dir.resolve()}".encode() for name in (_MARKER, "AGENTMESH_DATA_DIR")}
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                environ = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes()
                if markers.intersection(environ.split(b"\0")) and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def find(self, part: str) -> list[psutil.Process]:
        """Return the processes of a part as they are now."""
        found = [process for name, process in self.named() if name == part]
        return sorted(found, key=lambda process: process.pid)

    def named(self, but: Sequence[int] = ()) -> Iterator[tuple[str, psutil.Process]]:
        """Yield every process as it is now, with the name of its part; not what some processes `but` have started."""
        assert self._process is not None, "started"
        with contextlib.suppress(psutil.Error):
            supervisor = psutil.Process(self._process.pid)
            yield "supervisor", supervisor
        for process in _below({self._process.pid, *self._hosts}.difference(but)):
            with contextlib.suppress(psutil.Error):
                yield self._part(process), process

    def _part(self, process: psutil.Process) -> str:
        line = process.cmdline()
        module = line[line.index("-m") + 1] if "-m" in line else ""
        if "envoy" in process.name():
            return "edge"
        if line and line[0].startswith("ray::HostActor"):
            return "actor"
        if module != "agentmesh.host":
            return _MODULES.get(module, "")
        depth = sum("agentmesh.host" in parent.cmdline() for parent in process.parents())
        return ("nursery", "host", "zygote", "child")[min(depth, 3)]


def _below(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Yield all that some processes have started."""
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            yield from psutil.Process(pid).children(recursive=True)


async def hit(fault: Fault, process: psutil.Process) -> None:
    """Do to a process what a fault says, for as long as it says.  Raises `psutil.Error` if it has gone before."""
    match fault.kind:
        case Kind.KILL:
            process.kill()
        case Kind.FREEZE:
            process.suspend()
            try:
                await asyncio.sleep(fault.duration_s)
            finally:
                with contextlib.suppress(psutil.Error):
                    process.resume()
        case Kind.DISK:
            await _limited(process, resource.RLIMIT_FSIZE, 0, fault.duration_s)
        case Kind.DESCRIPTORS:
            await _limited(process, resource.RLIMIT_NOFILE, process.num_fds(), fault.duration_s)


async def _limited(process: psutil.Process, what: int, limit: int, duration_s: float) -> None:
    """Let a process have less of something for a while.  No file may grow beyond 0 bytes: it is as a full disk."""
    soft, hard = process.rlimit(what)
    process.rlimit(what, (limit, hard))
    try:
        await asyncio.sleep(duration_s)
    finally:
        with contextlib.suppress(psutil.Error, OSError):
            process.rlimit(what, (soft, hard))
