"""Jobs that wait at named pipes until a test lets them go on."""

import contextlib
import os
import pathlib
import time

from agentmesh.client import Job
from agentmesh.testing import Mesh

_WITHIN_S = 90.0


def waiting(mesh: Mesh, name: str, gate: pathlib.Path, retries: int | None = None) -> Job:
    """Start a job that waits at a gate, and wait until it runs."""
    os.mkfifo(gate)
    job = mesh.client.create_job(name, {"gate": str(gate)}, retries=retries)
    for event in mesh.client.watch(job.name):
        if event.kind == "status" and event.payload == "running":
            return job
    raise AssertionError("its log has ended")


def let_through(mesh: Mesh, job: Job, gate: pathlib.Path) -> Job:
    """Open a gate until a job has ended, whichever attempt of it is there; return it."""
    until = time.monotonic() + _WITHIN_S
    while not (job := mesh.client.job(job.name)).ended and time.monotonic() < until:
        with contextlib.suppress(OSError):  # nobody is there yet
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        time.sleep(0.05)
    return job
