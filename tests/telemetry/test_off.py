"""As long as nobody wants telemetry, nothing of it is imported, and requests still have names."""

import pathlib
import subprocess
import sys

import httpx

from agentmesh.testing import Mesh
from meshkit.service import Settings
from tests.families import asked, family
from tests.mesh_wide import meshes
from tests.telemetry.conftest import surfaces

OF_OURS = (
    "meshkit.server",
    "meshkit.client",
    "meshkit.service",
    "services.runner.app",
    "gateway.app",
    "agentmesh.host.jobs.job",
)
FORBIDDEN = ("opentelemetry", "prometheus_client")


def test_no_program_imports_it() -> None:
    """Services, gateway and jobs, with all that they are made of."""
    code = f"import sys, {', '.join(OF_OURS)}; print([name for name in sys.modules if name.startswith({FORBIDDEN})])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True).stdout
    assert "[]" == out.strip()


def test_nothing_of_it_is_mapped(tmp_path: pathlib.Path) -> None:
    """In a mesh that runs a job: telemetry is off unless said, no span is written, and no metrics are to be had."""
    assert not Settings(otlp_endpoint="").telemetry
    with meshes.running(tmp_path) as mesh:
        mesh.deploy("steps", "tests.telemetry.app:app")
        job = mesh.client.run("steps", {"what": "tart"})
        assert {"dict": {"within": "", "outside": ""}} == job.result
        assert "span" not in [event.kind for event in mesh.client.events(job.name)]
        assert 0 == _descriptors(mesh, "envoy.sock")


def _descriptors(mesh: Mesh, name: str) -> int:
    opened = asked(family(mesh.process.pid), lambda each: each.net_connections("unix"))
    return sum(name in str(one.laddr) for _, found in opened for one in found)


def test_every_answer_has_a_request_id(mesh: Mesh) -> None:
    """Of every dialect, good or bad, a service's and Envoy's own; what a client calls its request is not taken."""
    seen = set()
    with httpx.Client(base_url=mesh.url, timeout=60) as http:
        for method, path, more in surfaces():
            answer = http.request(method, path, headers={"x-request-id": "mine", **more})
            found = answer.headers.get_list("x-request-id")
            assert 1 == len(found), (method, path, answer.status_code, found)
            assert len(found[0]) == 36, (path, found)
            seen.add(found[0])
    assert len(list(surfaces())) == len(seen)
