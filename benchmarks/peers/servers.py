"""Runs the peers for the length of a block: on free ports, in temporary folders, without a word to anybody outside."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence

from agentmesh.supervisor.ports import reserve
from benchmarks.http import Failed
from benchmarks.peers.installs import ensure

_HERE = pathlib.Path(__file__).parent
_READY_WITHIN_S = 60.0
_END_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.1
_LOG_TAIL = 2000
# Nothing is traced, counted or looked up elsewhere; keys of the person who runs this are not passed on either.
_QUIET = {
    "LANGGRAPH_CLI_NO_ANALYTICS": "1",
    "LANGGRAPH_NO_VERSION_CHECK": "true",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
}


@contextlib.contextmanager
def dbos(database_url: str = "") -> Iterator[tuple[str, int]]:
    """Run DBOS on a database, by default a SQLite file; yield its URL and its process id."""
    programs = ensure("dbos")
    with _folder() as folder, _port() as port:
        database = database_url or f"sqlite:///{folder / 'dbos.sqlite'}"
        command = [str(programs / "python"), str(_HERE / "dbos_app.py"), database, str(port)]
        with _running(command, folder, f"http://127.0.0.1:{port}", "/openapi.json") as served:
            yield served


@contextlib.contextmanager
def langgraph() -> Iterator[tuple[str, int]]:
    """Run `langgraph dev`; yield its URL and its process id."""
    programs = ensure("langgraph")
    with _folder() as folder, _port() as port:
        app = shutil.copytree(_HERE / "langgraph_app", folder / "app")  # it keeps its state beside the code
        command = [str(programs / "langgraph"), "dev", "--no-browser", "--no-reload", "--port", str(port)]
        command += ["--server-log-level", "WARNING"]
        with _running(command, app, f"http://127.0.0.1:{port}", "/ok") as served:
            yield served


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
    with tempfile.TemporaryDirectory(prefix="bench-peer-") as name:
        yield pathlib.Path(name)


@contextlib.contextmanager
def _port() -> Iterator[int]:
    ports, holds = reserve(1)
    try:
        yield ports[0]
    finally:
        for hold in holds:
            hold.close()


@contextlib.contextmanager
def _running(command: Sequence[str], folder: pathlib.Path, url: str, ready: str) -> Iterator[tuple[str, int]]:
    log = folder / "log"
    surroundings = {"PATH": f"{pathlib.Path(command[0]).parent}:{os.environ['PATH']}", "HOME": str(folder), **_QUIET}
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, cwd=folder, env=surroundings
        )
    try:
        _wait_until_ready(process, url + ready, log)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: pathlib.Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:  # nobody listens yet
            time.sleep(_LOOK_EVERY_S)
    tail = log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
    raise Failed(f"{' '.join(process.args[:2])} was not ready:\n{tail}")  # type: ignore[index, arg-type]
