"""Secrets of the operator and of the mesh are in no environment and on no command line, and not with a flow."""

import contextlib
import json
import os
import pathlib
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from agentmesh.client import Client, MeshError
from agentmesh.testing import Mesh, running_mesh
from tests.families import family, running
from tests.host.stage import until

WORD = f"canary-{uuid.uuid4()}"
PAYMENTS = {
    "Preprod": {"provider": "ledger"},
    "Mainnet": {"provider": "masumi", "url": "http://127.0.0.1:9/api/v1", "token": f"{WORD}-payments"},
}
SECRETS = {
    "AGENTMESH_ADMIN_PASSWORD": f"{WORD}-admin",
    "AGENTMESH_PAYMENTS": json.dumps(PAYMENTS),
    "AGENTMESH_TOKEN": f"{WORD}-cli",
    "AGENTMESH_FILES_OPTIONS": json.dumps({"secret": f"{WORD}-bucket"}),
    "AGENTMESH_FILES_URL": f"memory://{WORD}",
    "RUNTIME_LOCAL_UI_TOKEN": f"{WORD}-ui",
    "CONTROL_PLANE_API_TOKEN": f"{WORD}-tool",
    "OPENAI_API_KEY": f"{WORD}-provider",
    "AWS_SECRET_ACCESS_KEY": f"{WORD}-cloud",
    "HTTPS_PROXY": f"http://me:{WORD}@127.0.0.1:9",
}
PASSED = {"MY_SETTING": "is passed", "AGENTMESH_PASS_ENV": "MY_SETTING, AGENTMESH_ADMIN_PASSWORD"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Run a mesh whose operator has secrets."""
    with running_mesh(env={**SECRETS, **PASSED, "http_proxy": "http://127.0.0.1:9"}) as mesh:
        mesh.deploy("reading", "tests.hostile.reading:app")
        yield mesh


def test_no_process_of_a_mesh_shows_a_secret(mesh: Mesh) -> None:
    """Neither the supervisor, nor what it starts, nor what that starts."""
    everybody = family(mesh.process.pid)
    shown = []
    for process in everybody:
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError, psutil.Error):  # it has gone meanwhile
                if WORD.encode() in pathlib.Path(f"/proc/{process.pid}/{name}").read_bytes():
                    shown.append(f"{name} of {process.cmdline()}")

    assert len(everybody) > 10
    assert [] == shown


@pytest.mark.parametrize("path", ["alone", "shared"])
def test_a_flow_has_what_it_needs_and_no_more(mesh: Mesh, path: str) -> None:
    """A home, its path, the language, and what was named; nothing else of the operator's, nothing of the mesh."""
    job = mesh.client.run(f"reading/{path}", {"word": WORD})

    result: dict[str, Any] = job.result["dict"]
    environ = result["environ"]
    assert [] == result["found"]
    assert WORD not in json.dumps(environ)
    assert ("is passed", "http://127.0.0.1:9") == (environ["MY_SETTING"], environ["http_proxy"])
    assert os.environ["PATH"] == environ["PATH"]
    assert os.environ.get("HOME") != environ["HOME"]
    assert environ["TMPDIR"] == f"{environ['HOME']}/tmp"
    assert {"AGENTMESH_IMPORT_ALIASES", "AGENTMESH_SHARED_THREADS"} >= {n for n in environ if n.startswith("AGENT")}
    assert ({"KODOSUMI_FID", "KODOSUMI_USER_ID"} if path == "alone" else set()) == {
        name for name in environ if name.startswith("KODOSUMI")
    }


def test_the_nursery_takes_no_orders_from_a_flow(mesh: Mesh) -> None:
    """It hangs up, and goes on: the next app is deployed."""
    job = mesh.client.run("reading/order", {"word": WORD})

    assert job.result["str"] in ("heard b''", "ConnectionResetError", "BrokenPipeError", "PermissionError")
    mesh.deploy("again", "tests.hostile.reading:app")
    assert mesh.client.run("again/alone", {"word": WORD}).succeeded


def test_what_was_handed_over_arrives(mesh: Mesh) -> None:
    """The admin signs in with that password, and the mesh keeps escrows as it was told; also after a restart."""
    assert '"network": "Mainnet"' in mesh.log()
    running(mesh.process.pid, "services.auth").kill()
    mesh.close_client()
    until(lambda: _signs_in(mesh))
    assert mesh.client.run("reading/alone", {"word": WORD}).succeeded


def _signs_in(mesh: Mesh) -> bool:
    with Client(mesh.url) as client, contextlib.suppress(MeshError):  # who knows passwords may not be back yet
        client.login("admin", SECRETS["AGENTMESH_ADMIN_PASSWORD"])
        return True
    return False
