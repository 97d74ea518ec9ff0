"""Services of the Sumi API, as the notebook's client sees them."""

import pytest
from agentmesh_protos.registry.v1 import registry_pb2

from gateway.core import service_names
from tests.gateway.dialects.sumi.shop import failing, offer
from tests.gateway.stage import Stage, answer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def _services(stage: Stage) -> None:
    """Offer what the tests look for."""
    offer(stage)


# -- discovery -------------------------------------------------------------------------------------------------------


async def test_services_are_listed_by_id(stage: Stage) -> None:
    """Flows that answer are services, named by expose and last segment; dead ones are not listed."""
    body = (await stage.alice.get("/sumi/")).json()
    assert [item["id"] for item in body["items"]] == [
        "form-example/text-inputs",
        "prime",
        "prime/async",
        "prime/my-run",
    ]
    assert body["offset"] is None


async def test_services_come_in_pages(stage: Stage) -> None:
    """The offset leads through pages; the page size is coerced into its limits."""
    first = (await stage.alice.get("/sumi", params={"pp": "3"})).json()
    assert len(first["items"]) == 3
    assert first["offset"] == "prime/async"
    second = (await stage.alice.get("/sumi", params={"pp": "3", "offset": first["offset"]})).json()
    assert [item["id"] for item in second["items"]] == ["prime/my-run"]
    assert len((await stage.alice.get("/sumi", params={"pp": "-5"})).json()["items"]) == 1
    assert len((await stage.alice.get("/sumi", params={"pp": "99999"})).json()["items"]) == 4
    bad = await stage.alice.get("/sumi", params={"pp": "many"})
    assert bad.status_code == 400
    assert "'key': 'pp'" in bad.json()["detail"]


async def test_one_expose_s_services(stage: Stage) -> None:
    """`expose` filters; one that does not run is a 404 that tells operators why, and others nothing."""
    body = (await stage.alice.get("/sumi", params={"expose": "PRIME"})).json()
    assert [item["id"] for item in body["items"]] == ["prime", "prime/async", "prime/my-run"]
    state = registry_pb2.ExposeState.EXPOSE_STATE_DEAD
    stage.registry.exposes["dead"] = registry_pb2.Expose(name="exposes/dead", enabled=True, state=state)
    stage.registry.exposes["off"] = registry_pb2.Expose(name="exposes/off", enabled=False)
    running = registry_pb2.ExposeState.EXPOSE_STATE_RUNNING
    stage.registry.exposes["bare"] = registry_pb2.Expose(name="exposes/bare", enabled=True, state=running)
    for expose, why in (("dead", "is not running"), ("off", "is not enabled"), ("none", "not found")):
        response = await stage.admin.get("/sumi", params={"expose": expose})
        assert response.status_code == 404
        assert response.json()["detail"] == f"Expose '{expose}' {why}"
        assert (await stage.alice.get("/sumi", params={"expose": expose})).status_code == 404
    outdated = registry_pb2.ExposeState.EXPOSE_STATE_OUTDATED
    stage.registry.exposes["old"] = registry_pb2.Expose(name="exposes/old", enabled=True, state=outdated)
    for expose in ("bare", "old"):
        assert (await stage.admin.get("/sumi", params={"expose": expose})).json() == {"items": [], "offset": None}


async def test_an_item_has_every_key(stage: Stage) -> None:
    """A service's metadata has MIP-002's keys: what the operator wrote, else what the author said, else a default."""
    item = (await stage.alice.get("/sumi/form-example/text-inputs")).json()
    assert item == {
        "id": "form-example/text-inputs",
        "parent": "form-example",
        "name": "text-inputs",
        "display": "Text Input Types Demo",
        "api_url": f"{stage.url}/sumi/form-example/text-inputs",
        "tags": ["demo", "forms"],
        "agentPricing": [{"pricingType": "Fixed", "fixedPricing": [{"amount": "10000000", "unit": "lovelace"}]}],
        "metadata_version": 1,
        "description": "Shows",
        "image": "https://example.com/i.png",
        "example_output": [{"name": "out", "mime_type": "text/plain", "url": "https://example.com/out"}],
        "author": {
            "name": "Ann",
            "contact_email": "ann@example.com",
            "contact_other": None,
            "organization": None,
        },
        "capability": None,
        "legal": {"privacy_policy": None, "terms": "https://example.com/terms", "other": None},
        "network": "Preprod",
        "state": "alive",
    }
    bare = (await stage.alice.get("/sumi/prime")).json()
    assert bare["name"] == ""
    assert bare["tags"] == ["untagged"]
    assert bare["agentPricing"][0]["fixedPricing"] == [{"amount": "0", "unit": "lovelace"}]
    assert [bare[key] for key in ("image", "example_output", "author", "capability", "legal", "network")] == [None] * 6
    assert (await stage.alice.get("/sumi/dead")).json()["state"] == "dead"
    assert (await stage.alice.get("/sumi/prime/my-run")).json()["display"] == "Deep"


@pytest.mark.parametrize(
    "pricing", ["5", "[7]", "[{fixedPricing: 5}]", "[{fixedPricing: {amount: 1}}]", "[{fixedPricing: [{}, x]}]"]
)
async def test_a_price_that_is_none_does_not_hide_the_others(stage: Stage, pricing: str) -> None:
    """Operators write what they like: the service is listed, as one without a price."""
    stage.registry.add("odd", "/", summary="Odd", meta_yaml=f"agentPricing: {pricing}")

    listed = (await stage.alice.get("/sumi")).json()["items"]
    odd = next(item for item in listed if item["id"] == "odd")

    assert [{"amount": "0", "unit": "lovelace"}] == odd["agentPricing"][0]["fixedPricing"]
    assert len(listed) > 1


async def test_every_service_is_found_by_its_id(stage: Stage) -> None:
    """Also if its path ends as another's does, has no letter that may be in an id, or is a word of this API."""
    for path in ("/a/eins", "/b/eins", "/日本語", "/availability", "/_x"):
        stage.registry.add("many", path, summary=path)
    listed = (await stage.alice.get("/sumi", params={"expose": "many"})).json()["items"]

    assert {"/a/eins", "/b/eins", "/日本語", "/availability", "/_x"} == {item["display"] for item in listed}
    assert 5 == len({item["id"] for item in listed})
    for item in listed:
        assert item == (await stage.alice.get(f"/sumi/{item['id']}")).json()
        assert item == (await stage.alice.get(item["api_url"].removeprefix(stage.url))).json()


async def test_the_longer_name_of_a_service_is_for_good(stage: Stage) -> None:
    """It leads there before and after another flow of its short name has come."""
    stage.registry.add("many", "/b/eins", summary="B")
    lasting = f"/sumi/many/{service_names.lasting('/b/eins')}"
    before = (await stage.alice.get(lasting)).json()
    stage.registry.add("many", "/eins", summary="A")
    after = (await stage.alice.get(lasting)).json()

    assert ("many/eins", "B") == (before["id"], before["display"])
    assert (lasting.removeprefix("/sumi/"), "B") == (after["id"], after["display"])
    assert "A" == (await stage.alice.get("/sumi/many/eins")).json()["display"]


@pytest.mark.parametrize("path", ["/sumi/none", "/sumi/none/x", "/sumi/prime/x", "/sumi/prime/x/input_schema"])
async def test_an_unknown_service_is_a_404(stage: Stage, path: str) -> None:
    """What no flow is named after is not found, in the panel's envelope."""
    response = await stage.alice.get(path)
    assert response.status_code == 404
    service = path.removeprefix("/sumi/").removesuffix("/input_schema")
    assert response.json()["detail"] == f"Service '{service}' not found"


async def test_a_name_that_cannot_be_is_refused(stage: Stage) -> None:
    """A name with other characters is a 400 that names the part; upper case is lowered."""
    response = await stage.alice.get("/sumi/a.b")
    assert response.status_code == 400
    assert "'key': 'expose'" in response.json()["detail"]
    assert (await stage.alice.get("/sumi/Prime/ASYNC")).json()["id"] == "prime/async"


# -- availability and form -------------------------------------------------------------------------------------------


async def test_availability_is_always_an_answer(stage: Stage) -> None:
    """Whatever is wrong with a service, the question whether it is available has the answer 200."""
    form = "/sumi/form-example/text-inputs/availability"
    ready = {
        "status": "available",
        "type": "masumi-agent",
        "message": "Text Input Types Demo is ready to accept jobs",
    }
    assert (await stage.alice.get(form)).json() == ready
    stage.runner.apps["prime"] = failing
    stage.runner.apps["form-example"] = lambda _: answer({"detail": "x"}, 503)
    for path, message in (
        (form, "Service returned status 503"),
        ("/sumi/prime/availability", "Service endpoint is not responding: Unavailable"),
        ("/sumi/none/availability", "Service 'none' not found or not available"),
        ("/sumi/a.b/c/availability", "Service 'a.b/c' not found or not available"),
    ):
        response = await stage.alice.get(path)
        assert response.status_code == 200
        assert response.json() == {"status": "unavailable", "type": "masumi-agent", "message": message}


async def test_the_form_is_mip_003(stage: Stage) -> None:
    """The form's fields come in the notebook's shape, or in the later text's for who asks."""
    path = "/sumi/form-example/text-inputs/input_schema"
    field = {
        "id": "username",
        "type": "text",
        "name": "Username",
        "data": {"placeholder": "Enter your username (3-20 chars)"},
        "validations": {"max": "20"},
    }
    assert (await stage.alice.get(path)).json() == {"input_data": [field], "input_groups": None}
    later = await stage.alice.get(path, headers={"accept": "application/vnd.mip-003+json"})
    assert later.headers["content-type"] == "application/vnd.mip-003+json"
    assert later.json()["input_data"][1] == {**field, "validations": [{"validation": "max", "value": "20"}]}


async def test_an_app_without_a_form_has_a_null_schema(stage: Stage) -> None:
    """An app that answers with an error or with something else has no fields; one that does not run is a 503."""
    for app in (lambda _: answer({"detail": "x"}, 500), lambda _: answer(b"<html>", kind="text/html")):
        stage.runner.apps["form-example"] = app
        response = await stage.alice.get("/sumi/form-example/text-inputs/input_schema")
        assert response.json() == {"input_data": None, "input_groups": None}
    stage.runner.apps["form-example"] = failing
    assert (await stage.alice.get("/sumi/form-example/text-inputs/input_schema")).status_code == 503
