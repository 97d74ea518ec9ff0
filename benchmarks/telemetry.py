"""What OpenTelemetry costs: the same jobs on meshes that tell a collector nothing, a tenth, or everything."""

import asyncio
import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator

from agentmesh.testing import running_mesh
from benchmarks.apps import DECLARED, ROOT, SHARED
from benchmarks.exposing import expose
from benchmarks.figures import Figure
from benchmarks.http import Failed, login
from benchmarks.peers import ways
from benchmarks.peers.contest import Promise
from benchmarks.peers.rounds import CPU, MANY, Contender, Size, many
from benchmarks.sides import play_all, told

ROUNDS = 7
RATIOS = {"off": None, "off again": None, "a tenth traced": "0.1", "all traced": "1"}
"""What is measured beside each other; what differs between the first two is chance."""
_AT_LEAST = 0.95


def measure() -> list[Figure]:
    """Run all meshes at once, and let them take turns."""
    with contextlib.ExitStack() as stack:
        collector = stack.enter_context(sink())
        contenders: list[Contender] = []
        for what, share in RATIOS.items():
            told_to = {"AGENTMESH_OTLP_ENDPOINT": collector, "AGENTMESH_TRACES_RATIO": share} if share else {}
            mesh = stack.enter_context(running_mesh(cwd=ROOT, env=told_to))
            if why_not := expose(mesh, [DECLARED, SHARED]):
                raise Failed(str(why_not))
            key = asyncio.run(login(mesh.url))
            for name in (SHARED, DECLARED):
                way = dataclasses.replace(ways.mesh(name), name=_name(name, what))
                contenders.append(Contender(way=way, url=mesh.url, pid=mesh.process.pid, key=key))
        played = play_all(contenders, ROUNDS, Size(jobs=240), [many])
    figures = []
    for name in (SHARED, DECLARED):
        rest = [what for what in RATIOS if what != "off"]
        promises = [
            Promise(way=_name(name, what), figure=MANY, peer="", ratio=_AT_LEAST, at_least=True) for what in rest
        ]
        promises += [Promise(way=_name(name, what), figure=CPU, peer="", ratio=1 / _AT_LEAST) for what in rest]
        figures += told(played, _name(name, "off"), promises, [MANY, CPU])
    return figures


def _name(expose_name: str, what: str) -> str:
    return f"{expose_name}, telemetry {what}"


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """Run a collector that takes everything and looks at nothing; yield its address."""
    command = [sys.executable, "-m", "benchmarks.sink"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
