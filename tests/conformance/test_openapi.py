"""schemathesis against a whole mesh: whatever is sent, each API answers as its reference says.

It reads the documents as they are served, and sends what they allow and what they do not.  No 500, no status and no
media type that is not in the reference, no body of another shape.  `hooks.py` gives it real names.
"""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

import httpx
import pytest

from agentmesh.testing import Mesh
from gateway import openapi
from tests.mesh_wide import meshes

EXAMPLES = 5
"""Of each operation, beside those that cover its parameters one by one."""
TRIES = 3
"""Of the same requests: a service that a busy machine holds up says to try again, and what is wrong is so each time."""
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
LEFT_OUT = (
    # They would end what the others need: the session, the apps.
    *("Auth_Logout", "Auth_EndSessions", "SignIn_Logout", "SignIn_SubmitLogout"),
    *("Boot_StartBoot", "Boot_StopApps", "Boot_RefreshExpose"),
    # They have no end.
    *("App_WatchApps", "Flow_WatchFlows", "Lock_WatchLocks"),
)
pytestmark = [pytest.mark.xdist_group("conformance"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of its own, as it comes to harm."""
    env = {"CONTROL_PLANE_RATE_LIMIT": "1000000"}
    with meshes.running(tmp_path_factory.mktemp("mesh"), examples=True, env=env) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def token(mesh: Mesh) -> str:
    """An operator's."""
    answer = httpx.post(f"{mesh.url}/api/login", json={"name": "admin", "password": "admin"}, timeout=60)
    return str(answer.json()["KODOSUMI_API_KEY"])


@pytest.fixture(scope="module")
def real(mesh: Mesh, token: str) -> Mapping[str, str]:
    """Names of what there is, by the parameters that take them."""
    with httpx.Client(base_url=f"{mesh.url}/mesh/v1/", headers={"KODOSUMI_API_KEY": token}, timeout=60) as http:
        job = http.post("jobs", json={"target": "flows/noop"}).raise_for_status().json()["name"].partition("/")[2]
        victim = {"login": "victim", "email": "victim@example.com", "password": "secret-secret"}
        user = http.post("users", json=victim).raise_for_status().json()["name"].partition("/")[2]
        defined = _defined(http)
    with httpx.Client(base_url=mesh.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        sent = {"agent_id": "atlas", "query": "Hello"}
        defined["task_id"] = http.post("/api/runtime/tasks", json=sent).raise_for_status().json()["id"]
        defined["agent_id"] = defined["agent"]
    named = {"flow": "prime/async", "expose": "prime", "name": "prime", **defined}
    return {**dict.fromkeys(("job", "fid", "job_id"), job), **dict.fromkeys(("user", "role"), user), **named}


def _defined(http: httpx.Client) -> dict[str, str]:
    """Add one of each definition."""

    def add(collection: str, sent: dict[str, object]) -> str:
        return str(http.post(collection, json=sent).raise_for_status().json()["name"])

    agent = add("agents", {"displayName": "Somebody", "model": {"provider": "offline"}})
    crew = add("crews", {"crew": {"displayName": "Crew", "agents": [agent]}})
    task = add("taskDefs", {"crew": crew, "agent": agent, "description": "Do it"})
    tool = add("tools", {"displayName": "lookup", "kind": "TOOL_KIND_HTTP", "endpoint": "https://example.com/"})
    return {
        noun: name.partition("/")[2]
        for noun, name in {"agent": agent, "crew": crew, "taskDef": task, "tool": tool}.items()
    }


def _ids(name: str, real: Mapping[str, str]) -> dict[str, str]:
    """Return the names that a dialect shows in a way of its own."""
    if name != "kasal":
        return {}
    return {"job_id": f"job_{real['job']}", "crew_id": f"crew_{real['crew'].replace('-', '')}"}


@pytest.mark.parametrize("name", sorted(openapi.documents()))
def test_answers_are_as_the_reference_says(
    mesh: Mesh, token: str, real: Mapping[str, str], name: str, tmp_path: pathlib.Path
) -> None:
    """Whatever is asked; the same on every run."""
    command = [
        *(str(pathlib.Path(sys.executable).with_name("schemathesis")), "run", f"{mesh.url}/openapi/{name}.json"),
        *("--header", f"KODOSUMI_API_KEY: {token}", "--header", f"token: {mesh.client.development_token()}"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
        *(
            "--exclude-operation-id-regex",
            rf"^({'|'.join(LEFT_OUT)})(_\d+)?$",
            "--generation-with-security-parameters",
            "false",
        ),
        *("--seed", "1", "--generation-database", "none", "--no-shrink", "--continue-on-failure"),
        *("--request-timeout", "60", "--no-color"),
    ]
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.conformance.hooks",
        "PYTHONPATH": str(meshes.ROOT),
        "REAL": json.dumps({**real, **_ids(name, real)}),
    }
    for _ in range(TRIES):
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
