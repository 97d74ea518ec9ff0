"""Puts the benchmarks' apps on a mesh, and finds out what this mesh does not serve yet."""

from collections.abc import Iterable

from agentmesh.testing import Mesh
from benchmarks.apps import IMPORT_PATHS, SHARED, WHO


def expose(mesh: Mesh, names: Iterable[str], hosts: int = 1) -> dict[str, str]:
    """Expose apps and boot them on so many hosts each; return why one cannot be measured, by its expose.

    Raises `MeshError`.
    """
    names = sorted(names)
    for name in names:
        placed = f"deployments: [{{name: app, num_replicas: {hosts}}}]\n" if hosts > 1 else ""
        mesh.client.save_expose(name, f"import_path: {IMPORT_PATHS[name]}\n{placed}")
    why_not = {
        step.expose: f"the app cannot be loaded: {step.message}"
        for step in mesh.client.boot()
        if step.kind in ("error", "warning") and step.expose in names
    }
    if SHARED in names and SHARED not in why_not and not _shares(mesh):
        why_not[SHARED] = "each job is still a process of its own"
    return why_not


def _shares(mesh: Mesh) -> bool:
    """Return whether two jobs of the app that asks for it ran in one process."""
    first, second = (mesh.client.run(f"{SHARED}{WHO}", {"text": "who?"}).result for _ in range(2))
    return first is not None and first == second
