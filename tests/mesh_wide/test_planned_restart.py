"""A mesh that is ended and started again on the same data: what waits for a human or for money waits on."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import httpx
import pytest

from agentmesh.client import Job
from agentmesh.testing import Mesh
from tests.mesh_wide import meshes
from tests.mesh_wide.test_kills import eventually

NETWORK = "Preprod"
AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "65" * 16
IDENTIFIER = "ab" * 13
QUICK = {"AGENTMESH_LEDGER_WORKER_DELAY_S": "0.05", "AGENTMESH_LEDGER_CONFIRM_DELAY_S": "0.1"}
DEADLINE_S = 60.0


@contextlib.contextmanager
def mesh_at(folder: pathlib.Path) -> Iterator[Mesh]:
    """Run a mesh on a data folder; on its way out it is told to end, as by an operator."""
    with meshes.running(folder, env=QUICK) as mesh:
        yield mesh


def lock_of(mesh: Mesh, job: Job) -> str:
    """Wait until a job has asked something; return the lock."""
    for event in mesh.client.watch(job.name):
        if event.kind == "lock":
            return f"{job.name}/locks/{json.loads(event.payload)['dict']['lid']}"
    raise AssertionError("it ended before")


@pytest.mark.parametrize("isolation", ["process", "shared"])
def test_a_job_that_waits_for_a_human_waits_on(tmp_path: pathlib.Path, isolation: str) -> None:
    """Over two restarts; the answer starts another attempt, which gets it without asking again."""
    with mesh_at(tmp_path) as mesh:
        mesh.client.save_expose("asking", f"import_path: tests.runner.samples.locking:app\nisolation: {isolation}\n")
        assert [] == [step for step in mesh.client.boot() if step.kind in ("error", "warning")]
        job = mesh.client.create_job("asking", {"how": "greet"})
        lock = lock_of(mesh, job)
        stopped = mesh.client.create_job("asking", {"how": "greet"})
        lock_of(mesh, stopped)

    with mesh_at(tmp_path) as mesh:
        assert "awaiting_input" == mesh.client.job(job.name).state
        assert [lock] == [found.name for found in mesh.client.locks(job.name)]
        ended = eventually(lambda: mesh.client.cancel(stopped.name))  # once it is known that its host is gone
        assert "cancelled" == ended.state

    with mesh_at(tmp_path) as mesh:
        mesh.client.answer(lock, {"greeting": "hello"})
        done = mesh.client.wait(job.name, DEADLINE_S)
        events = list(mesh.client.events(job.name))

        assert done.succeeded, done.error
        assert {"dict": {"said": "hello", "to": "Ada"}} == done.result
        assert list(range(1, len(events) + 1)) == [event.seq for event in events]
        kinds = [event.kind for event in events]
        assert (1, 1, 1) == (kinds.count("lock"), kinds.count("lease"), kinds.count("final"))
        assert 2 == [event.payload for event in events].count("before")


def test_a_job_that_waits_for_money_waits_on(tmp_path: pathlib.Path) -> None:
    """It is paid after the restart, then runs."""
    with mesh_at(tmp_path) as mesh:
        meta = {"/": f"agentIdentifier: {AGENT}\n"}
        mesh.client.save_expose("errand", "import_path: tests.apps.errand:app\n", network=NETWORK, meta=meta)
        assert [] == [step for step in mesh.client.boot() if step.kind in ("error", "warning")]
        body = {"identifier_from_purchaser": IDENTIFIER, "input_data": {"gate": "", "question": ""}}
        with httpx.Client(base_url=mesh.url, timeout=DEADLINE_S) as http:
            login = http.post("/api/login", json={"name": "admin", "password": "admin"}).json()
            headers = {"KODOSUMI_API_KEY": login["KODOSUMI_API_KEY"]}
            name = f"jobs/{http.post('/sumi/errand/start_job', json=body, headers=headers).json()['job_id']}"

    with mesh_at(tmp_path) as mesh:
        assert "awaiting_payment" == mesh.client.job(name).state
        payment = next(payment for payment in mesh.client.watch_payment(name) if payment.payable)
        headers = {"token": mesh.client.development_token()}
        paid = httpx.post(f"{mesh.url}/api/v1/purchase", json=payment.purchase(), headers=headers, timeout=30)
        done = mesh.client.wait(name, DEADLINE_S)

        assert 200 == paid.status_code, paid.text
        assert done.succeeded, done.error
