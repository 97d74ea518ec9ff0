"""Canaries: what was given in confidence is to be read at no route, in no file and no log of a running mesh."""

import json
import pathlib
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from agentmesh.testing import Mesh
from tests.mesh_wide.panel import READ_S, Panel

ENV, TYPED = "canary-of-the-mesh-environment", "canary-of-the-mesh-form"
EXPOSE = "secretive"
BOOTSTRAP = (
    f"import_path: tests.runner.samples.secretive:app\nruntime_env:\n  env_vars:\n    API_TOKEN: {ENV}  # ours\n"
)
_OPENAPI = pathlib.Path(__file__).parents[2] / "gateway" / "web" / "openapi"
_BYTES_MAX = 4_000_000
_ENDLESS_S = 1.0


@pytest.fixture(scope="module")
def job(admin: Panel) -> str:
    """Return a finished job that was given secrets, and told them."""
    saved = admin.http.post("/expose/", json={"name": EXPOSE, "bootstrap": BOOTSTRAP})
    assert 201 == saved.status_code, saved.text
    lines = admin.lines("POST", f"/boot/refresh/{EXPOSE}")
    assert not any("ERROR" in line for line in lines), lines
    return launch(admin, "tell")


def launch(admin: Panel, how: str) -> str:
    """Run a flow that is given secrets, to its end; return its job's id."""
    answer = admin.http.post(f"/-/{EXPOSE}/", json={"user": "ada", "password": TYPED, "how": how})
    assert 200 == answer.status_code, answer.text
    fid = str(answer.json()["result"])
    admin.wait(fid)
    return fid


def check_absent(where: object, content: bytes) -> None:
    """Fail if a canary is to be read."""
    for canary in (ENV, TYPED):
        assert canary.encode() not in content, f"{canary} is to be read in {where}"


def routes() -> Iterator[tuple[str, str]]:
    """Yield dialect and path of each route that is read."""
    for document in sorted(_OPENAPI.glob("*.json")):
        for path, operations in json.loads(document.read_text())["paths"].items():
            if "get" in operations and path not in ("/logout", "/login"):
                yield document.stem, path


def read(http: httpx.Client, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Return status and body of an answer; of one without end, what comes within a moment."""
    content = b""
    until = time.monotonic() + READ_S
    try:
        with http.stream("GET", path, headers=headers, timeout=httpx.Timeout(READ_S, read=_ENDLESS_S)) as answer:
            for part in answer.iter_bytes():
                content += part
                if len(content) > _BYTES_MAX or time.monotonic() > until:
                    break
            return answer.status_code, content
    except httpx.ReadTimeout:
        return 0, content


def test_no_route_shows_a_secret(admin: Panel, job: str) -> None:
    """Even to an operator whose it is: every route of every dialect that is read, of that job and its app."""
    headers = {"authorization": f"Bearer {admin.token}"}
    names = {"expose": EXPOSE, "flow": EXPOSE, "name": EXPOSE, "proxy_path": EXPOSE, "user": "admin"}
    seen: dict[int, int] = {}
    for fid in (job, launch(admin, "fail")):
        for _, path in routes():
            filled = "".join(
                names.get(part[1:].partition("=")[0], fid) if part[:1] == "{" else part.strip("}")
                for part in re.split(r"(\{[^}]+)\}", path)
            )
            until = time.monotonic() + READ_S
            status, content = read(admin.http, filled, headers)
            while status == 503 and time.monotonic() < until:  # one that says to try again, as of a busy machine
                check_absent(filled, content)
                status, content = read(admin.http, filled, headers)
            seen[status] = seen.get(status, 0) + 1
            check_absent(filled, content)

    assert seen[200] > 60, seen
    assert not [status for status in seen if status >= 500], seen


def test_what_is_shown_in_its_place(admin: Panel, job: str) -> None:
    """A mask, which sent back keeps what there was."""
    status = admin.http.get(f"/outputs/status/{job}").json()
    expose = admin.http.get(f"/expose/{EXPOSE}").json()
    again = admin.http.post("/expose/", json={"name": EXPOSE, "bootstrap": expose["bootstrap"], "enabled": True})
    booted = admin.lines("POST", f"/boot/refresh/{EXPOSE}")
    after = launch(admin, "tell")
    final = [json.loads(admin.http.get(f"/outputs/status/{each}").json()["final"])["dict"] for each in (job, after)]

    assert 'API_TOKEN: "••••"  # ours' in expose["bootstrap"]
    assert 201 == again.status_code, again.text
    assert not any("ERROR" in line for line in booted)
    assert "[REDACTED]" == json.loads(status["final"])["dict"]["secret"]
    assert final[0]["env"] == final[1]["env"] != ""


def test_no_file_and_no_log_has_it(mesh: Mesh, job: str) -> None:
    """Of the mesh's folder: databases with their logs, and what else is there; nor what the mesh prints."""
    files = [path for path in mesh.data_dir.rglob("*") if path.is_file()]
    assert {"runner.db", "registry.db"} <= {path.name for path in files}
    for path in files:
        check_absent(path, path.read_bytes())
    check_absent("the mesh's log", mesh.log().encode())
