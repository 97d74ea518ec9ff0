"""Real meshes, started as people start them, that must also end as they should."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

import httpx
import psutil

from agentmesh.testing import Mesh, running_mesh
from tests import families
from tests.ending import wait_procs
from tests.mesh_wide import panel

ROOT = pathlib.Path(__file__).parents[2]
END_S = 60.0


@contextlib.contextmanager
def running(data_dir: pathlib.Path, *, examples: bool = False, env: Mapping[str, str] | None = None) -> Iterator[Mesh]:
    """Run a mesh for the length of the block, started in the repository's folder; `env` is added to the environment.

    Raises `AssertionError` with its log if it does not end with 0 or leaves a process behind.
    """
    with running_mesh(data_dir=data_dir, cwd=ROOT, examples=examples, env=env) as mesh:
        yield mesh
        everybody = families.family(mesh.process.pid)
        mesh.process.terminate()
        assert mesh.process.wait(END_S) == 0, mesh.log()[-5000:]
        _, alive = wait_procs(everybody, END_S)
        assert not alive, f"the mesh left processes: {alive}\n{mesh.log()[-5000:]}"


def child(mesh: Mesh, module: str) -> psutil.Process:
    """Return the process of a mesh that runs `python -m module`."""
    return families.running(mesh.process.pid, module)


def until_healthy(mesh: Mesh) -> None:
    """Ask whether all is well until it is."""
    with httpx.Client(base_url=mesh.url, timeout=panel.READ_S) as http:
        panel.until_healthy(http)
