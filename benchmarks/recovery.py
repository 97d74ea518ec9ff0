"""How long a mesh takes to be whole again when one of its processes is killed."""

import asyncio
import pathlib
import tempfile
import time

from agentmesh.client import Client
from benchmarks.apps import DECLARED, IMPORT_PATHS
from benchmarks.figures import Figure, median
from benchmarks.http import Failed, Http, login
from benchmarks.peers import ways
from tests.faults.processes import Supervised

ROUNDS = 5
PARTS = (
    "runner",
    "auth",
    "registry",
    "payments",
    "ledger",
    "gateway",
    "edge",
    "nursery",
    "forkserver",
    "host",
    "zygote",
)
_APART_S = 31.0
"""Of two kills of a process: the supervisor waits longer each time with what crashes more often than every 30 s."""
_STALE_S = 0.6
"""What /health has found is told for half a second: what it says after a kill must not be from before."""
_FORKED = "registry"
"""What is killed with the forkserver, which is only missed when something is to be forked of it."""
_OF_AN_APP = ("nursery", "host", "zygote")
"""What an app is lost with.  One that has just been lost waits longer each time: it is deployed anew before each."""
_TARGET_S = 2.0
_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.02
_TROUBLE = (Failed, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError)


def measure() -> list[Figure]:
    """Kill each kind of process in turn, several times."""
    with tempfile.TemporaryDirectory(prefix="bench-recovery-") as folder:
        took_s = asyncio.run(_measure(pathlib.Path(folder)))
    return [
        Figure(
            name=f"recovery of {part} p50",
            value=median(found),
            unit="s",
            target=_TARGET_S,
            note=f"{min(found):.2f}..{max(found):.2f} in {len(found)} rounds; until a new one serves, /health"
            " is good, and a job that was started afterwards has ended",
        )
        for part, found in took_s.items()
    ]


async def _measure(folder: pathlib.Path) -> dict[str, list[float]]:
    mesh = Supervised(folder, {})
    await mesh.start()
    try:
        key = await login(mesh.url)
        await asyncio.to_thread(_deploy, mesh.url, key)
        took_s: dict[str, list[float]] = {part: [] for part in PARTS}
        loop = asyncio.get_running_loop()
        steady_at = dict.fromkeys(PARTS, 0.0)
        for part in PARTS * ROUNDS:
            killed = _killed_with(part)
            await asyncio.sleep(max(steady_at[each] for each in killed) - loop.time())
            if part in _OF_AN_APP:
                await asyncio.to_thread(_deploy, mesh.url, key)
            await _job(mesh.url, key)
            await asyncio.sleep(_STALE_S)
            took_s[part].append(await _kill(mesh, key, part))
            steady_at.update(dict.fromkeys(killed, loop.time() + _APART_S))
        return took_s
    finally:
        await mesh.stop()


def _deploy(url: str, key: str) -> None:
    with Client(url, token=key) as client:
        client.save_expose(DECLARED, f"import_path: {IMPORT_PATHS[DECLARED]}\n")
        for step in client.boot():
            if step.kind in ("error", "warning"):
                raise Failed(f"{step.expose}: {step.message}")


def _killed_with(part: str) -> tuple[str, ...]:
    """Return what is killed to see how long a part is missed."""
    return (part, _FORKED) if part == "forkserver" else (part,)


async def _kill(mesh: Supervised, key: str, part: str) -> float:
    """Kill a part; return after how many seconds all is well again."""
    # The oldest forkserver forks; another waits to take its place.
    missed = [*mesh.find(part)[:1], *mesh.find(_FORKED)] if part == "forkserver" else mesh.find(part)
    if not missed:
        raise Failed(f"the mesh has no {part}")
    started = time.perf_counter()
    for process in missed:
        process.kill()
    gone = {process.pid for process in missed}
    async with asyncio.timeout(_WITHIN_S):
        for each in _killed_with(part):
            await _there(mesh, each, gone)
        await _well(mesh.url)
        await _job(mesh.url, key)
    return time.perf_counter() - started


async def _there(mesh: Supervised, part: str, gone: set[int]) -> None:
    """Wait for another process of a part."""
    while True:
        if {process.pid for process in mesh.find(part)} - gone:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _well(url: str) -> None:
    """Wait until every service says that it serves."""
    while True:
        try:
            async with Http(url) as http:
                await http.json("GET", "/health")
            return
        except _TROUBLE:
            await asyncio.sleep(_LOOK_EVERY_S)


async def _job(url: str, key: str) -> None:
    """Run jobs until one has ended well."""
    way = ways.mesh(DECLARED)
    while True:
        try:
            async with Http(url, key) as http:
                await way.wait(http, await way.start(http))
            return
        except _TROUBLE:
            await asyncio.sleep(_LOOK_EVERY_S)
