"""Real meshes, started as people start them, that must also end as they should."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

import psutil

from agentmesh.testing import Mesh, running_mesh
from tests.ending import wait_procs

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def running(data_dir: pathlib.Path, *, examples: bool = False, env: Mapping[str, str] | None = None) -> Iterator[Mesh]:
    """Run a mesh for the length of the block, started in the repository's folder; `env` is added to the environment.

    Raises `AssertionError` with its log if it does not end with 0 or leaves a process behind.
    """
    with running_mesh(data_dir=data_dir, cwd=ROOT, examples=examples, env=env) as mesh:
        yield mesh
        everybody = [psutil.Process(mesh.process.pid), *psutil.Process(mesh.process.pid).children(recursive=True)]
        mesh.process.terminate()
        _, alive = wait_procs(everybody, timeout=30)
        assert mesh.process.wait(timeout=30) == 0, mesh.log()[-5000:]
        assert not alive, f"the mesh left processes: {alive}\n{mesh.log()[-5000:]}"


def child(mesh: Mesh, module: str) -> psutil.Process:
    """Return the process of a mesh that runs `python -m module`."""
    for process in psutil.Process(mesh.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if module in process.cmdline():
                return process
    raise AssertionError(f"no process of the mesh runs {module}")
