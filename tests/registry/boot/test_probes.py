"""Whether flows answer, asked again."""

import asyncio

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb

from tests.registry.conftest import Mesh, Peers, said

DEADLINE_S = 60.0


async def until_alive(mesh: Mesh, name: str) -> None:
    """Follow the catalogue until a flow is alive."""
    call = mesh.flows.WatchFlows(pb.WatchFlowsRequest(), metadata=mesh.user, timeout=DEADLINE_S)
    async for changes in call:
        if any(flow.name == name and flow.alive for flow in changes.flows):
            call.cancel()
            return


async def check(mesh: Mesh, name: str) -> pb.Expose:
    """Have the flows of an expose asked."""
    request = pb.CheckExposeRequest(name=f"exposes/{name}")
    expose: pb.Expose = await mesh.exposes.CheckExpose(request, metadata=mesh.operator, timeout=DEADLINE_S)
    return expose


async def test_a_flow_whose_first_answer_is_slow_is_not_dead_for_ever(peers: Peers) -> None:
    """The boot finds it dead; when it has answered, everybody is told."""
    peers.config = peers.config.model_copy(update={"probe_timeout_s": 0.05, "look_s": 0.05})
    module = peers.runner.modules["form:app"]
    module.answering = asyncio.Event()
    async with peers.registry() as mesh:
        await mesh.save("form", "import_path: form:app")
        events = [said(event) for event in await mesh.boot()]
        slow = await mesh.get("form")
        module.answering.set()
        await until_alive(mesh, "flows/form/text")
        alive = await mesh.get("form")

    assert "flow_checked expose=form url=/form/text error_reason=DEADLINE_EXCEEDED" in events
    assert [("dead", "DEADLINE_EXCEEDED")] == [(entry.state, entry.seen) for entry in slow.meta]
    assert [("alive", "200")] == [(entry.state, entry.seen) for entry in alive.meta]
    assert (0, 1, True) == (slow.alive_count, alive.alive_count, slow.stale)
    assert slow.etag == alive.etag
    assert not alive.needs_reboot


async def test_a_flow_that_fails_is_asked_again(peers: Peers) -> None:
    """One that answers is left alone."""
    peers.config = peers.config.model_copy(update={"look_s": 0.05})
    statuses = peers.runner.modules["shop:app"].statuses
    statuses["/async"] = 503
    async with peers.registry() as mesh:
        await mesh.save("shop", "import_path: shop:app")
        await mesh.boot()
        statuses["/"] = 500  # nobody looks at what was alive
        del statuses["/async"]
        await until_alive(mesh, "flows/shop/async")
        expose = await mesh.get("shop")

    assert [("/shop/", "alive"), ("/shop/async", "alive")] == [(entry.url, entry.state) for entry in expose.meta]


async def test_a_check_says_what_it_saw(mesh: Mesh, peers: Peers) -> None:
    """Of every flow, whatever it was before."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    peers.runner.modules["shop:app"].statuses.update({"/": 500, "/async": 404})
    bad = await check(mesh, "shop")
    peers.runner.modules["shop:app"].statuses.update({"/": 405, "/async": 200})
    good = await check(mesh, "shop")

    assert [("dead", "500"), ("dead", "404")] == [(entry.state, entry.seen) for entry in bad.meta]
    assert [("alive", "405"), ("alive", "200")] == [(entry.state, entry.seen) for entry in good.meta]
    assert (0, 2) == (bad.alive_count, good.alive_count)


async def test_what_does_not_serve_is_not_asked(mesh: Mesh) -> None:
    """A check of it returns it as it is; of none it is not found, and users may not check."""
    saved = await mesh.save("shop", "import_path: shop:app")

    assert saved == await check(mesh, "shop")
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await check(mesh, "none")
    assert grpc.StatusCode.NOT_FOUND is missing.value.code()
    request = pb.CheckExposeRequest(name="exposes/shop")
    with pytest.raises(grpc.aio.AioRpcError) as denied:
        await mesh.exposes.CheckExpose(request, metadata=mesh.user, timeout=DEADLINE_S)
    assert grpc.StatusCode.PERMISSION_DENIED is denied.value.code()
