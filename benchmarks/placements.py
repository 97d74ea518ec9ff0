"""Hosts of this machine beside hosts on a Ray of the mesh's own: how they start, and how fast they run jobs."""

import asyncio
import contextlib
import dataclasses
import tempfile
import time

from agentmesh.testing import Mesh, running_mesh
from benchmarks.apps import DECLARED, FORM, IMPORT_PATHS, ROOT, SHARED
from benchmarks.figures import Figure, median
from benchmarks.http import Failed, login
from benchmarks.peers import ways
from benchmarks.peers.contest import Promise
from benchmarks.peers.rounds import FINISHED, MANY, Contender, Size, many, one_by_one
from benchmarks.sides import play_all, told

ROUNDS = 5
LOCAL, RAY = "local", "ray"
_ON_RAY = {"AGENTMESH_RAY_CPUS": "4", "AGENTMESH_RAY_MEMORY": str(80 * 1024 * 1024)}
_START_S = 180.0
_WARM = 3


def measure() -> list[Figure]:
    """Start a mesh of each kind, boot apps on both, and let them take turns."""
    with contextlib.ExitStack() as stack:
        rays = stack.enter_context(tempfile.TemporaryDirectory(prefix="am-ray-", ignore_cleanup_errors=True))
        on_ray = {**_ON_RAY, "RAY_TMPDIR": rays}
        meshes = {
            LOCAL: stack.enter_context(running_mesh(cwd=ROOT)),
            RAY: stack.enter_context(running_mesh(cwd=ROOT, env=on_ray, options=["--ray"], timeout_s=_START_S)),
        }
        figures = [figure for where, mesh in meshes.items() for figure in _starts(where, mesh)]
        contenders = []
        for where, mesh in meshes.items():
            key = asyncio.run(login(mesh.url))
            for name in (DECLARED, SHARED):
                way = dataclasses.replace(ways.mesh(name), name=_name(name, where))
                contenders.append(Contender(way=way, url=mesh.url, pid=mesh.process.pid, key=key))
        played = play_all(contenders, ROUNDS, Size(jobs=160), [one_by_one, many])
    for name in (DECLARED, SHARED):
        promises = [
            Promise(way=_name(name, RAY), figure=FINISHED, peer="", ratio=1.5),
            Promise(way=_name(name, RAY), figure=MANY, peer="", ratio=1 / 1.5, at_least=True),
        ]
        figures += told(played, _name(name, LOCAL), promises, [FINISHED, MANY])
    return figures


def _starts(where: str, mesh: Mesh) -> list[Figure]:
    """Boot the first app of a mesh, then others, then one of them once more."""
    cold_s = _boot(mesh, FORM)
    warm_s = [_boot(mesh, name) for name in (DECLARED, SHARED)]
    again_s = [_boot(mesh, FORM, force=True) for _ in range(_WARM)]
    return [
        Figure(name=f"cold start of a host, {where}", value=cold_s, unit="s", note="the first app's boot, once"),
        Figure(
            name=f"warm start of a host, {where}",
            value=median(warm_s),
            unit="s",
            note="median of the boots of two further apps",
        ),
        Figure(
            name=f"all hosts anew, {where}",
            value=median(again_s),
            unit="s",
            note=f"median of {_WARM} forced boots of three apps",
        ),
    ]


def _boot(mesh: Mesh, name: str, *, force: bool = False) -> float:
    mesh.client.save_expose(name, f"import_path: {IMPORT_PATHS[name]}\n")
    started = time.perf_counter()
    for step in mesh.client.boot(force=force):
        if step.kind in ("error", "warning"):
            raise Failed(f"{step.expose}: {step.message}")
    return time.perf_counter() - started


def _name(expose_name: str, where: str) -> str:
    return f"{expose_name}, {where}"
