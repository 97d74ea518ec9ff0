"""A mesh, nonsense at each of its doors, and a look at who lives afterwards."""

import asyncio
import pathlib

import httpx

from agentmesh.testing import Mesh
from tests.families import asked, family
from tests.fuzz import rest, rpc
from tests.fuzz.garbage import Garbage
from tests.fuzz.seen import Seen
from tests.mesh_wide import meshes

PASSWORD = "an ordinary password"


async def run(folder: pathlib.Path, seed: int, calls: int) -> dict[str, Seen]:
    """Return what was seen at each door, `calls` calls to each."""
    with meshes.running(folder, examples=True, env={"CONTROL_PLANE_RATE_LIMIT": "1000000"}) as mesh:
        before = _services(mesh)
        tokens = await asyncio.to_thread(_tokens, mesh)
        garbage = Garbage(seed)
        seen = {door: Seen() for door in ("REST", "HTTP", "gRPC", "afterwards")}
        await rest.fuzz(mesh.url, tokens, garbage, calls, seen["REST"])
        await rest.wire(mesh.url, garbage, calls // 10, seen["HTTP"])
        await rpc.fuzz(mesh.url.removeprefix("http://"), tokens, garbage, calls, seen["gRPC"])
        for name in sorted(before - _services(mesh)):
            seen["afterwards"].wrong("ended", name)
        await asyncio.to_thread(_work, mesh, seen["afterwards"])
    return seen


def _services(mesh: Mesh) -> set[str]:
    """Return the processes of a mesh that no caller may end: not those of jobs and apps."""
    shown = asked(family(mesh.process.pid), lambda one: f" {' '.join(one.cmdline())}")
    return {f"{one.pid}{command[:100]}" for one, command in shown if " services." in command}


def _tokens(mesh: Mesh) -> list[str]:
    """Return nobody's token, an ordinary user's and the operator's."""
    with httpx.Client(base_url=mesh.url, timeout=30) as http:

        def sign_in(name: str, password: str) -> str:
            return str(http.post("/api/login", json={"name": name, "password": password}).json()["KODOSUMI_API_KEY"])

        operator = sign_in("admin", "admin")
        role = {"name": "fuzzy", "email": "fuzzy@example.com", "password": PASSWORD}
        http.post("/role", json=role, headers={"KODOSUMI_API_KEY": operator}).raise_for_status()
        return ["", "no token", sign_in("fuzzy", PASSWORD), operator]


def _work(mesh: Mesh, seen: Seen) -> None:
    """See that a job runs still."""
    job = mesh.client.run("noop", {})
    if not job.succeeded:
        seen.wrong("runs no job", str(job))
