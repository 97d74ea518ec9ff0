"""Flows: what is offered, under which texts, and how it is found."""

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2

from meshkit import paging
from tests.registry.conftest import Mesh
from tests.registry.peers import Module


async def test_nothing_is_offered_before_a_boot(mesh: Mesh) -> None:
    """An expose that was not booted has no flows (seed: `GET /sumi` is empty)."""
    await mesh.save("shop", "import_path: shop:app")

    assert not (await mesh.list_flows()).flows


async def test_a_flow_is_as_its_author_declared_it(mesh: Mesh) -> None:
    """The root flow's name is the expose's; every field the author gave is there, others are absent."""
    module = mesh.runner.modules["shop:app"]
    module.flows[1].version, module.flows[1].deprecated = "1.2", True
    await mesh.save("shop", "import_path: shop:app", network="Preprod")
    await mesh.boot()

    root, other = await mesh.get_flow("flows/shop"), await mesh.get_flow("flows/shop/async")

    assert (root.name, root.expose, root.path, root.url) == ("flows/shop", "exposes/shop", "/", "/shop/")
    assert (root.summary, root.description, list(root.tags)) == ("Shop", "Buys", ["buy", "demo"])
    assert (root.alive, root.method, root.network) == (True, "GET", "Preprod")
    assert root.expose_state == pb.EXPOSE_STATE_RUNNING
    assert not any(root.HasField(field) for field in ("author", "organization", "version", "deprecated"))
    assert (other.path, other.url) == ("/async", "/shop/async")
    assert (other.author, other.organization, other.version, other.deprecated) == ("Ada", "Org", "1.2", True)


async def test_the_operators_texts_stand_over_the_authors(mesh: Mesh) -> None:
    """What the meta says counts, field by field, from the moment it is saved."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    data = "display: Corner shop\ntags: [new, 7, new]\nauthor: {name: Bob, organization: Shops Inc}\n"
    await mesh.save("shop", "import_path: shop:app", meta=[pb.FlowMeta(url="/shop", data=data, enabled=True)])

    flow = await mesh.get_flow("flows/shop")

    assert (flow.summary, flow.description) == ("Corner shop", "Buys")
    assert list(flow.tags) == ["7", "new"]
    assert (flow.author, flow.organization) == ("Bob", "Shops Inc")
    assert flow.meta_yaml == data


@pytest.mark.parametrize(
    "data", ["", "~", "just text", "[1, 2]", "display: {a: 1}\ntags: {a: b}\nauthor: [x]", "author: ~\ntags: ~"]
)
async def test_meta_that_says_nothing_usable_changes_nothing(mesh: Mesh, data: str) -> None:
    """Any YAML may be saved; what is not understood leaves the author's words."""
    await mesh.save("shop", "import_path: shop:app", meta=[pb.FlowMeta(url="/shop/", data=data, enabled=True)])
    await mesh.boot()

    flow = await mesh.get_flow("flows/shop")

    assert (flow.summary, flow.description) == ("Shop", "Buys")


async def test_disabled_flows_are_not_offered(mesh: Mesh) -> None:
    """A disabled meta hides its flow from lists and from reads; a disabled expose hides all of its flows."""
    meta = [pb.FlowMeta(url="/shop/async", enabled=False)]
    await mesh.save("shop", "import_path: shop:app", meta=meta)
    await mesh.boot()
    offered = [flow.name for flow in (await mesh.list_flows()).flows]
    with pytest.raises(grpc.aio.AioRpcError) as hidden:
        await mesh.get_flow("flows/shop/async")
    await mesh.save("shop", "import_path: shop:app", enabled=False)
    with pytest.raises(grpc.aio.AioRpcError) as disabled:
        await mesh.get_flow("flows/shop")

    assert offered == ["flows/shop"]
    assert hidden.value.code() == grpc.StatusCode.NOT_FOUND
    assert disabled.value.code() == grpc.StatusCode.NOT_FOUND
    assert disabled.value.details() == "Flow 'shop' not found"
    assert not (await mesh.list_flows()).flows


async def test_boots_merge_meta(mesh: Mesh) -> None:
    """Entries of flows keep text and switch, new flows get a template, texts without a flow are kept as dead."""
    meta = [
        pb.FlowMeta(url="/shop/async/", data="display: Mine", enabled=False),
        pb.FlowMeta(url="/shop/gone", data="agentIdentifier: 7e8b", enabled=True),
        pb.FlowMeta(url="/shop/empty", enabled=True),
    ]
    await mesh.save("shop", "import_path: shop:app", meta=meta)

    events = await mesh.boot()
    entries = (await mesh.get("shop")).meta

    merged = next(event.meta_merged for event in events if event.HasField("meta_merged"))
    assert (merged.new_count, merged.preserved_count) == (1, 1)
    assert [(entry.url, entry.state, entry.enabled) for entry in entries] == [
        ("/shop/", "alive", True),
        ("/shop/async/", "alive", False),
        ("/shop/gone", "dead", True),
    ]
    assert "display: Shop" in entries[0].data
    assert (entries[1].data, entries[2].data) == ("display: Mine", "agentIdentifier: 7e8b")


async def test_what_the_author_says_anew_is_shown_until_the_operator_says_something(mesh: Mesh) -> None:
    """The first meta text of a flow is made of its author's words, and of their next ones; once edited it stays."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    root, other = (await mesh.get("shop")).meta
    mine = pb.FlowMeta(url=other.url, data=f"{other.data}# mine\n", enabled=False)
    await mesh.save("shop", "import_path: shop:app", meta=[root, mine])
    for found in mesh.runner.modules["shop:app"].flows:
        found.summary = "Corner shop"
        found.description = "Sells"

    await mesh.boot()
    flow = await mesh.get_flow("flows/shop")
    first, second = (await mesh.get("shop")).meta

    assert (flow.summary, flow.description) == ("Corner shop", "Sells")
    assert "display: Corner shop" in first.data
    assert (second.data, second.enabled) == (mine.data, False)


async def test_a_save_starts_the_state_of_meta_over_unless_it_is_sent_back(mesh: Mesh) -> None:
    """As in the seed: an entry without a state has none until the next boot; an editor sends it back and keeps it."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    before = list((await mesh.get("shop")).meta)
    anew = pb.FlowMeta(url=before[0].url, data=before[0].data, enabled=True)
    forged = pb.FlowMeta(url=before[1].url, data=before[1].data, enabled=True, state="wonderful")

    after = await mesh.save("shop", "import_path: shop:app", meta=[anew, forged])

    assert [entry.state for entry in after.meta] == ["", "alive"]
    assert not after.meta[0].HasField("heartbeat_time")
    assert after.meta[1].heartbeat_time == before[1].heartbeat_time
    assert after.alive_count == 2


async def test_flows_are_sorted_and_paged(mesh: Mesh) -> None:
    """By summary, then name; pages join without gap or repetition."""
    mesh.runner.modules["many:app"] = Module(
        flows=[app_pb2.FlowInfo(path=f"/p{number}", method="GET", summary=f"S{number % 3}") for number in range(10)]
    )
    await mesh.save("many", "import_path: many:app")
    await mesh.boot()

    names, token = [], ""
    while True:
        page = await mesh.list_flows(page_size=3, page_token=token)
        names += [flow.name for flow in page.flows]
        token = page.next_page_token
        if not token:
            break

    expected = sorted((f"S{number % 3}", f"flows/many/p{number}") for number in range(10))
    assert names == [name for _, name in expected]


async def test_a_page_follows_on_although_its_last_flow_is_gone(mesh: Mesh) -> None:
    """A token holds a place in the order, not an item."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")
    await mesh.boot()
    first = await mesh.list_flows(page_size=1)
    await mesh.save("shop", "import_path: shop:app", meta=[pb.FlowMeta(url="/shop/async", enabled=False)])

    rest = await mesh.list_flows(page_token=first.next_page_token)
    by_name = await mesh.list_flows(page_token=paging.encode("flows/shop", ""))

    assert [flow.name for flow in first.flows] == ["flows/shop/async"]
    assert [flow.name for flow in rest.flows] == ["flows/shop", "flows/form/text"]
    assert [flow.name for flow in by_name.flows] == ["flows/form/text"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("shop", ["flows/shop/async", "flows/shop"]),
        ("BUYS", ["flows/shop"]),
        ("ada", ["flows/shop/async"]),
        ("org", ["flows/shop/async"]),
        ("demo", ["flows/shop"]),
        (" text ", ["flows/form/text"]),
        ("nothing like it", []),
    ],
)
async def test_flows_are_found_by_what_is_written_about_them(mesh: Mesh, query: str, found: list[str]) -> None:
    """Summary, description, author, organization and tags are searched; case does not matter."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")
    await mesh.boot()

    assert [flow.name for flow in (await mesh.list_flows(query)).flows] == found


async def test_a_token_belongs_to_its_query(mesh: Mesh) -> None:
    """A token of another query, and a negative size, are INVALID_ARGUMENT."""
    for arguments in ({"page_token": paging.encode("flows/x", "other")}, {"page_size": -1}, {"page_token": "?"}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.list_flows("query", **arguments)

        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_tags_are_counted(mesh: Mesh) -> None:
    """Once per flow that carries them."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("twin", "import_path: shop:app")
    await mesh.boot()

    answer = await mesh.flows.ListFlowTags(pb.ListFlowTagsRequest(), metadata=mesh.user)

    assert dict(answer.counts) == {"buy": 2, "demo": 2}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("flows/nobody", grpc.StatusCode.NOT_FOUND),
        ("flows/shop/nothing", grpc.StatusCode.NOT_FOUND),
        ("shop", grpc.StatusCode.INVALID_ARGUMENT),
        ("flows/", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_flows_that_are_not(mesh: Mesh, name: str, code: grpc.StatusCode) -> None:
    """An unknown flow is NOT_FOUND, a name of another form INVALID_ARGUMENT."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.get_flow(name)

    assert caught.value.code() == code


async def test_forms_and_schemas_are_in_the_whole_flow_only(mesh: Mesh) -> None:
    """GetFlow has them, pages of ListFlows do not."""
    info = app_pb2.FlowInfo(path="/", elements_json='[{"type": "text"}]', input_schema_json='{"type": "object"}')
    mesh.runner.modules["declared:app"] = Module(flows=[info])
    await mesh.save("declared", "import_path: declared:app")
    await mesh.boot()

    flow = await mesh.get_flow("flows/declared")
    (listed,) = (await mesh.list_flows()).flows

    assert (flow.elements_json, flow.input_schema_json) == ('[{"type": "text"}]', '{"type": "object"}')
    assert (listed.elements_json, listed.input_schema_json) == ("", "")
    assert flow.enabled
    assert listed.enabled


@pytest.mark.parametrize(
    ("data", "network", "expected"),
    [
        ("display: Free", "Preprod", None),
        ("agentPricing: [{fixedPricing: [{amount: '5', unit: lovelace}]}]", "Preprod", None),
        ("agentIdentifier: ''", "Preprod", None),
        ("agentIdentifier: [a1]", "Preprod", None),
        ("agentIdentifier: ' a1 '", "Mainnet", pb.Pricing(agent_identifier="a1", network="Mainnet")),
        ("agentIdentifier: a1", None, pb.Pricing(agent_identifier="a1", network="Preprod")),
        (
            "agentIdentifier: a1\nagentPricing:\n- fixedPricing:\n  - {amount: 1000000, unit: lovelace}\n"
            "  - {amount: '7', unit: c0ffee}\n  - {amount: 1.5, unit: lovelace}\n  - {amount: '3'}\n- nonsense\n",
            "Preprod",
            pb.Pricing(
                agent_identifier="a1",
                network="Preprod",
                amounts=[
                    pb.Pricing.Amount(amount="1000000", unit="lovelace"),
                    pb.Pricing.Amount(amount="7", unit="c0ffee"),
                ],
            ),
        ),
    ],
)
async def test_a_flow_is_priced_if_its_meta_names_an_agent(
    mesh: Mesh, data: str, network: str | None, expected: pb.Pricing | None
) -> None:
    """Amounts alone sell nothing; what is not a whole number of a unit is left out; no network means Preprod."""
    await mesh.save("shop", "import_path: shop:app", network=network, meta=[pb.FlowMeta(url="/shop", data=data)])
    await mesh.boot()
    await mesh.save(
        "shop", "import_path: shop:app", network=network, meta=[pb.FlowMeta(url="/shop", data=data, enabled=True)]
    )

    flow = await mesh.get_flow("flows/shop")

    assert flow.HasField("pricing") == (expected is not None)
    assert expected is None or flow.pricing == expected
