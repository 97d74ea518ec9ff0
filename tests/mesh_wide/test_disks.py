"""A service whose disk takes nothing: writes are refused in every dialect, reads go on, nothing is lost."""

import contextlib
import json
import pathlib
import resource
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from agentmesh.client import MeshError
from agentmesh.testing import Mesh
from tests.ending import wait_procs
from tests.gateway.dialects.masumi.escrows import iso
from tests.mesh_wide import meshes
from tests.mesh_wide.panel import until_healthy
from tests.mesh_wide.test_kills import AGENT, NETWORK, eventually

pytestmark = pytest.mark.xdist_group("disks")
EVENTS = 2000
TAKES_NOTHING = 0
"""How large a file may get: no write to one succeeds, as on a disk that is full."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Return a mesh for the tests of this file."""
    with meshes.running(tmp_path_factory.mktemp("disks")) as mesh:
        mesh.deploy("work", "tests.faults.flows:app")
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        mesh.client.save_expose("errand", "import_path: tests.apps.errand:app\n", network=NETWORK, meta=meta)
        assert [] == [step for step in mesh.client.boot() if step.kind in ("error", "warning")]
        yield mesh


@pytest.fixture
def http(mesh: Mesh) -> Iterator[httpx.Client]:
    """Return the operator at the panel."""
    with httpx.Client(base_url=mesh.url, timeout=60) as client:
        login = client.post("/api/login", json={"name": "admin", "password": "admin"}).json()
        client.headers["KODOSUMI_API_KEY"] = str(login["KODOSUMI_API_KEY"])
        yield client


@contextlib.contextmanager
def full_disk(mesh: Mesh, part: str) -> Iterator[psutil.Process]:
    """Let a part of a mesh write to no file for the length of the block."""
    process = meshes.child(mesh, f"services.{part}")
    _, hard = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (TAKES_NOTHING, hard))
    try:
        yield process
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (hard, hard))


def launch(http: httpx.Client) -> httpx.Response:
    """Start a job at the panel."""
    return http.post("/-/localhost/8005/work/-/handled", json={"tag": "one", "steps": 1})


def start_job(http: httpx.Client) -> httpx.Response:
    """Start a job as an agent does."""
    body = {"identifier_from_purchaser": secrets.token_hex(13), "input_data": {"tag": "one", "steps": 1}}
    return http.post("/sumi/work/handled/start_job", json=body)


def typed(http: httpx.Client) -> httpx.Response:
    """Start a job by the mesh's own API."""
    inputs = json.dumps({"tag": "one", "steps": 1, "pause_s": 0})
    return http.post("/mesh/v1/jobs", json={"target": "flows/work", "inputs_json": inputs})


def add_user(http: httpx.Client) -> httpx.Response:
    """Add a user."""
    name = f"user-{secrets.token_hex(4)}"
    return http.post("/role/", json={"name": name, "email": f"{name}@example.com", "password": "long enough"})


def sign_in(http: httpx.Client) -> httpx.Response:
    """Sign in: a session is kept."""
    return http.post("/api/login", json={"name": "admin", "password": "admin"})


def add_expose(http: httpx.Client) -> httpx.Response:
    """Add an expose."""
    bootstrap = "import_path: tests.faults.flows:app"
    return http.post("/expose/", json={"name": f"e{secrets.token_hex(4)}", "bootstrap": bootstrap, "enabled": False})


def ask_for_money(http: httpx.Client) -> httpx.Response:
    """Ask the ledger for an escrow."""
    body = {
        "inputHash": "0" * 64,
        "network": NETWORK,
        "agentIdentifier": AGENT,
        "identifierFromPurchaser": secrets.token_hex(10),
        "payByTime": iso(600),
        "submitResultTime": iso(3600),
    }
    token = http.get("/mesh/v1/ledger/developmentToken").raise_for_status().json()["token"]
    return http.post("/api/v1/payment/", json=body, headers={"token": token})


@pytest.mark.parametrize(
    ("part", "write"),
    [
        ("runner", launch),
        ("runner", start_job),
        ("runner", typed),
        ("auth", add_user),
        ("auth", sign_in),
        ("registry", add_expose),
        ("ledger", ask_for_money),
    ],
)
def test_a_write_is_refused_and_works_again(
    mesh: Mesh, http: httpx.Client, part: str, write: Callable[[httpx.Client], httpx.Response]
) -> None:
    """503 in the dialect's shape while the disk takes nothing; the service is the same process before and after.

    Sumi's shape of it is its seed's: 201, and a job that is said to have failed.
    """
    before = write(http)
    assert before.status_code in (200, 201), before.text
    with full_disk(mesh, part) as process:
        refused = write(http)
        until_healthy(http)
        reads = [http.get(path).status_code for path in ("/flow", "/timeline/list", "/expose/")]

    def works() -> None:
        again = write(http)
        assert again.status_code in (200, 201), again.text
        assert again.json().get("status") != "failed", again.text

    eventually(works)

    assert (201 if write is start_job else 503) == refused.status_code, refused.text
    assert "Traceback" not in refused.text
    # The job before may still have something to say: then its host comes again, and a form handler cannot be asked.
    words = ("cannot be written now", "try again")
    assert write is ask_for_money or any(each in refused.text for each in words)  # masumi's shape has no room for it
    assert refused.json().get("status") != "pending"
    assert [200] * 3 == reads
    assert process.is_running()
    assert "Traceback" not in mesh.log()


def test_a_job_loses_nothing_while_the_disk_is_full(mesh: Mesh) -> None:
    """What could not be kept comes again: each of its words is in the log once, in order, and it succeeds."""
    inputs = {"tag": "many", "steps": EVENTS, "pause_s": 0.001}
    jobs = [mesh.client.create_job(flow, inputs).name for flow in ("work", "work/shared") for _ in range(2)]
    for name in jobs:
        next(event for event in mesh.client.watch(name) if event.kind == "result")
    with full_disk(mesh, "runner"), pytest.raises(MeshError) as refused:
        mesh.client.create_job("work", inputs)
    ended = [mesh.client.wait(name, 120) for name in jobs]

    assert "UNAVAILABLE" == refused.value.code
    assert ["succeeded"] * len(jobs) == [job.state for job in ended], ended
    for job in ended:
        events = mesh.client.events(job.name)
        assert list(range(1, job.last_seq + 1)) == [event.seq for event in events]
        said = [json.loads(event.payload)["dict"]["step"] for event in events if event.kind == "result"]
        assert list(range(EVENTS)) == said


def test_a_paid_job_is_asked_for_once_the_payments_service_can(mesh: Mesh, http: httpx.Client) -> None:
    """It waits meanwhile: its buyer is told what to pay as soon as that is written down."""
    with full_disk(mesh, "payments"):
        body = {"identifier_from_purchaser": secrets.token_hex(13), "input_data": {"gate": "", "question": ""}}
        started = http.post("/sumi/errand/start_job", json=body)
        jobs = [job for job in mesh.client.jobs() if job.flow == "flows/errand"]

    assert started.status_code in (200, 201, 503), started.text
    assert ["awaiting_payment"] == [job.state for job in jobs]

    def payable() -> Any:
        assert mesh.client.payment(jobs[0].name).payable

    eventually(payable)


@pytest.mark.parametrize("part", ["auth", "registry", "runner", "payments", "ledger"])
def test_a_deleted_database_comes_back_whole(mesh: Mesh, http: httpx.Client, part: str) -> None:
    """What was kept before is there after a restart of its service, too."""
    job = mesh.client.run("work", {"tag": "before", "steps": 1, "pause_s": 0})
    for path in mesh.data_dir.glob(f"{part}.db*"):
        path.unlink(missing_ok=True)  # it mends itself meanwhile
    database: pathlib.Path = mesh.data_dir / f"{part}.db"

    def restored() -> None:
        assert database.exists()

    eventually(restored)
    victim = meshes.child(mesh, f"services.{part}")
    victim.kill()
    wait_procs([victim], 60)

    def as_before() -> None:
        assert mesh.client.job(job.name).succeeded
        assert mesh.client.run("work", {"tag": "after", "steps": 1, "pause_s": 0}).succeeded
        assert 200 == sign_in(http).status_code

    eventually(as_before)
