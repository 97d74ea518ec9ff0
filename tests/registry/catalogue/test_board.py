"""Watching the catalogue: a whole snapshot first, then every change, in pieces of bounded size."""

import asyncio
import contextlib

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import app_pb2

from services.registry.servicers.flows import PIECE_BYTES_MAX
from tests.registry.conftest import Mesh, Peers
from tests.registry.peers import Module
from tests.registry.watching import SOON_S, Watcher, watching


async def test_a_snapshot_comes_first(mesh: Mesh) -> None:
    """Every flow of enabled exposes, as GetFlow shows it; one whose meta is disabled says so."""
    await mesh.save("shop", "import_path: shop:app", meta=[pb.FlowMeta(url="/shop/async", enabled=False)])
    await mesh.save("form", "import_path: form:app", enabled=False)
    await mesh.boot()
    expected = await mesh.get_flow("flows/shop")

    async with watching(mesh) as watcher:
        await watcher.until("flows/shop", alive=True)

        assert watcher.flows.keys() == {"flows/shop", "flows/shop/async"}
        assert watcher.flows["flows/shop"] == expected
        assert watcher.flows["flows/shop"].enabled
        assert not watcher.flows["flows/shop/async"].enabled
        assert [message.complete for message in watcher.messages].count(True) == 1


async def test_an_empty_catalogue_is_whole_too(mesh: Mesh) -> None:
    """The first message says that there is nothing."""
    async with watching(mesh) as watcher:
        assert watcher.messages == [pb.WatchFlowsResponse(complete=True)]


async def test_what_changes_is_told(mesh: Mesh) -> None:
    """A boot, a saved price, a disabled expose, and a deleted one."""
    async with watching(mesh) as watcher:
        await mesh.save("shop", "import_path: shop:app")
        await mesh.boot()
        await watcher.until("flows/shop", alive=True)
        await mesh.save("shop", "import_path: shop:app", meta=[pb.FlowMeta(url="/shop", data="agentIdentifier: a1")])
        while not watcher.flows["flows/shop"].HasField("pricing"):
            await watcher.next()
        await mesh.save("shop", "import_path: shop:app", enabled=False)
        await watcher.until("flows/shop", alive=None)
        await mesh.save("shop", "import_path: shop:app")
        await watcher.until("flows/shop", alive=True)
        await mesh.delete("shop")
        await watcher.until("flows/shop", alive=None)

        assert not watcher.flows


async def test_a_lost_host_is_told(peers: Peers) -> None:
    """What only the runner knows comes from its stream; while nothing happens, nothing is sent but heartbeats."""
    peers.config = peers.config.model_copy(update={"heartbeat_s": 0.2})
    async with peers.registry() as mesh:
        await mesh.save("shop", "import_path: shop:app")
        await mesh.boot()
        async with watching(mesh) as watcher:
            await watcher.until("flows/shop", alive=True)
            while await watcher.next() != pb.WatchFlowsResponse():
                pass
            await mesh.runner.change("apps/shop", app_pb2.APP_STATE_UNHEALTHY)
            await watcher.until("flows/shop", alive=False)

            assert watcher.flows["flows/shop"].expose_state == pb.EXPOSE_STATE_UNHEALTHY


async def test_a_version_that_does_not_load_leaves_flows_alive(mesh: Mesh) -> None:
    """The state says OUTDATED, and the flows go on."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", "import_path: nowhere:app")
    async with watching(mesh) as watcher:
        await watcher.until("flows/shop", alive=True)
        await mesh.boot()
        while watcher.flows["flows/shop"].expose_state != pb.EXPOSE_STATE_OUTDATED:
            await watcher.next()

        assert watcher.flows["flows/shop"].alive


async def test_messages_are_bounded(mesh: Mesh) -> None:
    """A catalogue of several megabytes comes in pieces, none much longer than a megabyte."""
    form = '["' + "x" * 200_000 + '"]'
    flows = [app_pb2.FlowInfo(path=f"/{number}", elements_json=form) for number in range(20)]
    mesh.runner.modules["big:app"] = Module(flows=flows)
    await mesh.save("big", "import_path: big:app")
    await mesh.boot()

    async with watching(mesh) as watcher:
        sizes = [message.ByteSize() for message in watcher.messages]

        assert len(watcher.flows) == 20
        assert len(sizes) >= 4
        assert max(sizes) < PIECE_BYTES_MAX * 1.1
        assert all(flow.elements_json == form for flow in watcher.flows.values())


async def test_a_form_that_is_too_long_is_left_out(mesh: Mesh) -> None:
    """Whoever needs it asks the app; the flow is there all the same."""
    flows = [app_pb2.FlowInfo(path="/", elements_json="[" + " " * 1024 * 1024 + "]", input_schema_json="{}")]
    mesh.runner.modules["big:app"] = Module(flows=flows)
    await mesh.save("big", "import_path: big:app")
    await mesh.boot()

    flow = await mesh.get_flow("flows/big")

    assert (flow.elements_json, flow.input_schema_json) == ("", "{}")


async def test_a_registry_that_ends_ends_its_streams(peers: Peers) -> None:
    """Watchers see the end of the stream, not an error, and the registry does not wait for them."""
    async with contextlib.AsyncExitStack() as outer:
        async with peers.registry() as mesh:
            channel = await outer.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}"))
            call = pb_grpc.FlowServiceStub(channel).WatchFlows(pb.WatchFlowsRequest(), metadata=mesh.user)
            watcher = await Watcher(call).whole()
        async with asyncio.timeout(SOON_S):
            while await watcher.next() is not None:
                pass

        assert await call.code() is grpc.StatusCode.OK


async def test_strangers_do_not_watch(mesh: Mesh) -> None:
    """A token is needed."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.flows.WatchFlows(pb.WatchFlowsRequest()).read()

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
