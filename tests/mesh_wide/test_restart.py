"""`agentmesh restart`: services are restarted one after the other, under load and through the real front door."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from agentmesh.client import Job
from agentmesh.testing import Mesh
from tests.mesh_wide import meshes

DEADLINE_S = 120.0
APP = "import_path: tests.runner.samples.stepping:app\nisolation: {}\n"


class Load:
    """Somebody who asks without pause, and somebody who starts jobs; each keeps what was not answered as it should."""

    def __init__(self, mesh: Mesh, token: str, path: pathlib.Path) -> None:
        self._mesh = mesh
        self._headers = {"authorization": f"Bearer {token}"}
        self._path = path
        self._over = threading.Event()
        self.reads = 0
        self.failed_reads: list[str] = []
        self.created: dict[str, set[str]] = {}
        """Jobs by the id of their request."""
        self.put_off = 0
        """How often somebody who starts a job was asked to try again."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask for the length of the block."""
        threads = [threading.Thread(target=work) for work in (self._read, self._create)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _read(self) -> None:
        with httpx.Client(base_url=self._mesh.url, headers=self._headers, timeout=60) as http:
            while not self._over.is_set():
                for path in ("/mesh/v1/jobs?page_size=1", "/mesh/v1/exposes", "/mesh/v1/agents"):
                    answer = http.get(path)
                    self.reads += 1
                    if answer.status_code != 200:
                        self.failed_reads.append(f"{path} {answer.status_code} {answer.text[:200]}")

    def _create(self) -> None:
        with httpx.Client(base_url=self._mesh.url, headers=self._headers, timeout=60) as http:
            number = 0
            while not self._over.is_set():
                number += 1
                body: dict[str, Any] = {
                    "target": "flows/shared/sync",
                    "request_id": f"00000000-0000-4000-8000-{number:012}",
                    "inputs": {"path": str(self._path)},
                }
                answer = http.post("/mesh/v1/jobs", json=body)
                while answer.status_code == 503:
                    self.put_off += 1
                    time.sleep(0.05)
                    answer = http.post("/mesh/v1/jobs", json=body)
                assert answer.status_code == 200, answer.text
                self.created.setdefault(body["request_id"], set()).add(answer.json()["name"])
                time.sleep(0.05)


def processes(mesh: Mesh) -> dict[str, int]:
    """Return the processes of services by name, as the supervisor's children show them."""
    shown = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(mesh.process.pid)], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for line in shown.splitlines():
        pid, _, args = line.strip().partition(" ")
        if " -m services." in args or args.endswith(" -m gateway"):
            found[args.rpartition(" ")[2]] = int(pid)
    return found


def begun(mesh: Mesh, flow: str, path: pathlib.Path, gate: pathlib.Path) -> Job:
    """Start a job that runs until it is let go, and wait until it runs."""
    path.touch()
    path.chmod(0o666)
    job = mesh.client.create_job(flow, {"path": str(path), "gate": str(gate)})
    next(event for event in mesh.client.watch(job.name) if event.kind == "debug")
    return job


def test_a_planned_restart_ends_no_job_and_fails_no_request(
    tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever reads notices nothing; whoever starts a job may be put off, and gets one job for one request."""
    tmp_path.chmod(0o777)
    gate = tmp_path / "gate"
    (tmp_path / "made").touch()
    (tmp_path / "made").chmod(0o666)
    bounds = f"paths:\n  write: [{json.dumps(str(tmp_path))}]\n"
    with meshes.running(tmp_path_factory.mktemp("data")) as mesh:
        for isolation in ("process", "shared"):
            mesh.client.save_expose(isolation, APP.format(isolation) + bounds)
        assert [] == [step for step in mesh.client.boot() if step.kind in ("error", "warning")]
        jobs = [begun(mesh, f"{name}/ticking", tmp_path / name, gate) for name in ("process", "shared")]
        before = processes(mesh)
        load = Load(mesh, mesh.client.login("admin", "admin").access_token, tmp_path / "made")

        with load.running():
            command = [sys.executable, "-P", "-m", "agentmesh.cli", "restart", "--data-dir", str(mesh.data_dir)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env={**os.environ})
        gate.touch()
        ended = [mesh.client.wait(job.name, DEADLINE_S) for job in jobs]
        made = [mesh.client.wait(name, DEADLINE_S) for names in load.created.values() for name in names]
        after = processes(mesh)

    assert (0, "restarted\n") == (done.returncode, done.stdout), done.stderr
    assert before.keys() == after.keys() > {"services.runner", "gateway"}
    assert not set(before.values()) & set(after.values())
    assert [] == load.failed_reads
    assert [("succeeded", 1)] * 2 == [(job.state, job.attempt) for job in ended]
    assert all(job.succeeded for job in made)
    assert all(len(names) == 1 for names in load.created.values())
    print(f"{load.reads} reads, {len(load.created)} jobs started, put off {load.put_off} times")
