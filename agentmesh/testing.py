"""Run a whole mesh for the length of a test.

    import pytest
    from agentmesh.testing import Mesh, running_mesh

    @pytest.fixture(scope="session")
    def mesh():
        with running_mesh() as mesh:
            mesh.deploy("my-app", "my_app:app")
            yield mesh

    def test_it(mesh):
        job = mesh.client.run("my-app", {"name": "Ada"})

        assert job.succeeded

It is the real thing: `agentmesh up` in a process of its own, on a free port, with a temporary data directory.
"""

import contextlib
import functools
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from agentmesh.client import Client, MeshError

READY = "agentmesh ready "
_END_WITHIN_S = 60.0
"""It takes seconds, but not on a machine that has much else to do."""
_LOG_LINES = 40


class MeshDidNotStart(Exception):
    """`agentmesh up` ended or was not ready in time; the message has the end of its log."""


class Mesh:
    """A mesh that runs."""

    def __init__(
        self, url: str, process: subprocess.Popen[str], data_dir: pathlib.Path, log: pathlib.Path, password: str
    ) -> None:
        self.url = url
        """Such as `http://127.0.0.1:23456`."""
        self.process = process
        """The supervisor, `agentmesh up`."""
        self.data_dir = data_dir
        """Where it keeps everything."""
        self._log = log
        self._password = password

    @functools.cached_property
    def client(self) -> Client:
        """A client that is signed in as the admin."""
        client = Client(self.url)
        client.login("admin", self._password)
        return client

    def deploy(self, name: str, import_path: str) -> None:
        """Expose an app and boot.  Raises `MeshError` if it cannot be loaded."""
        self.client.save_expose(name, f"import_path: {import_path}\n")
        for step in self.client.boot():
            if step.kind == "error" or (step.kind == "warning" and step.expose == name):
                raise MeshError(f"{step.expose}: {step.message}", code="FAILED_PRECONDITION")

    def log(self) -> str:
        """Return what the mesh has logged so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def close_client(self) -> None:
        """Close the client, if it was used."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()


@contextlib.contextmanager
def running_mesh(
    *,
    examples: bool = False,
    data_dir: pathlib.Path | None = None,
    cwd: pathlib.Path | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    timeout_s: float = 120.0,
) -> Iterator[Mesh]:
    """Run `agentmesh up` for the length of the block.

    `examples` boots the example apps.  `data_dir` keeps the data; by default it is temporary.  `cwd` is where apps are
    imported from; by default the current directory.  `env` is added to the environment, `options` to the
    command line.  Raises `MeshDidNotStart` if it is not ready within `timeout_s`.
    """
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agentmesh-test-", ignore_cleanup_errors=True))
        )
        kept = data_dir or folder / "data"
        log = folder / "log"
        # Not even a test that is killed leaves a mesh behind: our end of its input ends with us.
        command = [sys.executable, "-P", "-m", "agentmesh.cli", "up", "--until-eof", "--port", "0"]
        command += ["--data-dir", str(kept)]
        command += ["--examples"] if examples else []
        command += options
        surroundings = {**os.environ, **(env or {})}
        with log.open("w") as sink:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                cwd=cwd,
                env=surroundings,
            )
        stack.callback(_end, process)
        password = surroundings.get("AGENTMESH_ADMIN_PASSWORD") or "admin"
        mesh = Mesh(_ready_url(process, log, timeout_s), process, kept, log, password)
        stack.callback(mesh.close_client)
        yield mesh


def _ready_url(process: subprocess.Popen[str], log: pathlib.Path, timeout_s: float) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            if not selector.select(left_s):
                break
            line = process.stdout.readline()
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
            if not line:
                break
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
    what = "ended" if process.poll() is not None else f"was not ready within {timeout_s:g} s"
    raise MeshDidNotStart(f"`agentmesh up` {what}:\n{tail}")


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
