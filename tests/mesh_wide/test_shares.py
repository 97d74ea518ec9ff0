"""Every owner has a share of open jobs: past it a launch is refused in each dialect's shape, however it comes."""

import pathlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from grpc import StatusCode

from agentmesh.client import MeshError
from agentmesh.testing import Mesh
from tests.mesh_wide import meshes
from tests.mesh_wide.panel import Panel, assert_envelope

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "67" * 16
WHY = "an owner may have 2 jobs that have not ended: wait until some have, or cancel some"
APPS = {"declared": "tests.apps.declared:app", "formats": "tests.apps.formats:app"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Return a mesh where an owner may have two open jobs."""
    folder: pathlib.Path = tmp_path_factory.mktemp("small")
    with meshes.running(folder, env={"AGENTMESH_JOBS_PER_OWNER": "2"}) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def owner(small: Mesh) -> Iterator[Panel]:
    """Return somebody whose two jobs wait to be paid for."""
    panel = Panel(small.url)
    meta = {"/": f"agentIdentifier: {AGENT}\n"}
    small.client.save_expose("priced", "import_path: tests.apps.declared:app\n", network="Preprod", meta=meta)
    panel.deploy(APPS)
    for _ in range(2):
        panel.launch("priced", text="hello")
    yield panel
    panel.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/-/localhost/8005/declared/-/", {"text": "hello"}),
        ("/-/localhost/8005/formats/-/text", {"say": "a"}),
        ("/sumi/declared/start_job", {"identifier_from_purchaser": "me", "input_data": {"text": "hello"}}),
        ("/sumi/formats/text/start_job", {"identifier_from_purchaser": "me", "input_data": {"say": "a"}}),
    ],
)
def test_the_panel_and_sumi_refuse(owner: Panel, path: str, body: dict[str, Any]) -> None:
    """With 429, when to try again, the limit and the remedy: flows that declare their inputs, and handlers."""
    answer = owner.http.post(path, json=body)

    assert WHY in assert_envelope(answer, 429)["detail"]
    assert 1 <= int(answer.headers["retry-after"])


def test_the_form_says_it(owner: Panel) -> None:
    """As a page."""
    page = owner.http.post("/inputs/-/localhost/8005/declared/-/", data={"text": "hello"})

    assert 429 == page.status_code
    assert WHY in page.text


def test_the_typed_api_refuses(small: Mesh, owner: Panel) -> None:
    """In JSON and as gRPC."""
    answer = owner.http.post("/mesh/v1/jobs", json={"target": "flows/declared", "inputs": {"text": "hello"}})
    with pytest.raises(MeshError) as caught:
        small.client.create_job("declared", {"text": "hello"})

    assert (429, StatusCode.RESOURCE_EXHAUSTED.value[0], WHY) == (
        answer.status_code,
        answer.json()["code"],
        answer.json()["message"],
    )
    assert WHY in str(caught.value)


def test_a_repeated_launch_is_no_new_job(small: Mesh, owner: Panel) -> None:
    """Room that is made may be used, and what was begun with a key is answered though there is none any more."""
    body: dict[str, Any] = {"json": {"text": "hello"}, "headers": {"Idempotency-Key": "last"}}
    url = "/-/localhost/8005/priced/-/"
    waiting = small.client.jobs()
    small.client.cancel(next(iter(waiting)).name)
    first, again = [owner.http.post(url, **body) for _ in range(2)]
    third = owner.http.post(url, json={"text": "hello"})

    assert 200 == first.status_code, first.text
    assert first.json() == again.json()
    assert 429 == third.status_code


def test_the_share_is_the_owners(small: Mesh, owner: Panel) -> None:
    """Others have their own."""
    role = {"name": "another", "email": "another@example.com", "password": "another's password"}
    assert 201 == owner.http.post("/role/", json=role).status_code
    another = Panel(small.url, role["name"], role["password"])
    answer: httpx.Response = another.http.post("/-/localhost/8005/declared/-/", json={"text": "hello"})
    another.close()

    assert 200 == answer.status_code
