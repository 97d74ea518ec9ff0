"""That there is one boot at a time, with or without its caller, and how it is stopped."""

import asyncio
import contextlib

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc

from tests.registry.boot.saying import facts
from tests.registry.conftest import Mesh, Peers


async def test_a_boot_goes_on_without_its_caller(mesh: Mesh) -> None:
    """A caller that hangs up stops nothing; others follow from the first event to the last."""
    gate = mesh.runner.modules["shop:app"].gate = asyncio.Event()
    await mesh.save("shop", "import_path: shop:app")
    call = mesh.boots.StartBoot(pb.StartBootRequest(), metadata=mesh.operator)
    await call.read()
    await mesh.runner.modules["shop:app"].loading.wait()
    call.cancel()

    running = await mesh.boots.GetBoot(pb.GetBootRequest(), metadata=mesh.operator)
    watchers = [mesh.boots.WatchBoot(pb.WatchBootRequest(), metadata=mesh.operator) for _ in range(3)]
    heard = [[await watcher.read()] for watcher in watchers]
    gate.set()
    for events, watcher in zip(heard, watchers, strict=True):
        while (event := await watcher.read()) is not grpc.aio.EOF:
            events.append(event)
    texts = [facts(events) for events in heard]
    ended = await mesh.boots.GetBoot(pb.GetBootRequest(), metadata=mesh.operator)

    assert running.running
    assert running.HasField("start_time")
    assert texts[0][0] == "boot_started"
    assert texts[0][-1] == "boot_completed app_count=1 running_count=1"
    assert texts == [facts(list(ended.events))] * 3
    assert not ended.running
    assert (await mesh.get("shop")).state == pb.EXPOSE_STATE_RUNNING


async def test_there_is_one_boot_at_a_time(mesh: Mesh) -> None:
    """A second boot and a refresh are refused while one runs; `force` cancels the first and waits for its end."""
    module = mesh.runner.modules["shop:app"]
    module.gate = asyncio.Event()
    await mesh.save("shop", "import_path: shop:app")
    first = asyncio.create_task(mesh.boot())
    await module.loading.wait()

    with pytest.raises(grpc.aio.AioRpcError) as second:
        await mesh.boot()
    with pytest.raises(grpc.aio.AioRpcError) as refresh:
        await mesh.refresh("shop")
    module.loading.clear()
    forced = asyncio.create_task(mesh.boot(force=True))
    cancelled = await first
    await module.loading.wait()
    module.gate.set()

    assert second.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "runs already" in (second.value.details() or "")
    assert refresh.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert facts(cancelled)[-1] == "boot_failed operation=BOOT message=it was cancelled"
    assert (await forced)[-1].kind == pb.BootEvent.KIND_COMPLETE


async def test_many_forced_boots_leave_one(mesh: Mesh) -> None:
    """Of boots forced at the same moment all but one end as cancelled, and nothing hangs."""
    await mesh.save("shop", "import_path: shop:app")

    transcripts = await asyncio.gather(*(mesh.boot(force=True) for _ in range(6)))

    ends = sorted(events[-1].kind for events in transcripts)
    assert ends[0] == pb.BootEvent.KIND_COMPLETE
    assert set(ends) <= {pb.BootEvent.KIND_COMPLETE, pb.BootEvent.KIND_ERROR}
    assert (await mesh.get("shop")).state == pb.EXPOSE_STATE_RUNNING


async def test_without_a_boot_there_is_nothing_to_watch(mesh: Mesh) -> None:
    """Before the first boot GetBoot is empty and WatchBoot is refused."""
    boot = await mesh.boots.GetBoot(pb.GetBootRequest(), metadata=mesh.operator)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.boots.WatchBoot(pb.WatchBootRequest(), metadata=mesh.operator).read()

    assert boot == pb.Boot()
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_stopping_says_what_it_does(mesh: Mesh) -> None:
    """Every app is stopped, every expose dead, and the count of remaining flows is true."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()

    events = await mesh.stop()
    after = await mesh.get("shop")

    assert facts(events) == [
        "stop_started",
        "step_started step=REMOVE",
        "app_removed expose=shop",
        "step_ended step=REMOVE",
        "step_started step=RECORD",
        "expose_stopped expose=shop",
        "step_ended step=RECORD",
        "stop_completed",
    ]
    assert after.state == pb.EXPOSE_STATE_DEAD
    assert [entry.state for entry in after.meta] == ["dead", "dead"]
    assert after.needs_reboot
    assert not (await mesh.list_flows()).flows


async def test_stopping_cancels_a_boot(mesh: Mesh) -> None:
    """A boot that runs is cancelled, or it would start the apps again."""
    module = mesh.runner.modules["shop:app"]
    module.gate = asyncio.Event()
    await mesh.save("shop", "import_path: shop:app")
    boot = asyncio.create_task(mesh.boot())
    await module.loading.wait()

    stopped = await mesh.stop()

    assert (await boot)[-1].kind == pb.BootEvent.KIND_ERROR
    assert stopped[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert mesh.runner.apps == {}


async def test_an_app_that_cannot_be_stopped_is_reported(mesh: Mesh) -> None:
    """A shutdown that leaves an app running says which, counts its flows, and does not end well."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    mesh.runner.stuck.add("apps/shop")

    events = await mesh.stop()

    assert "app_remove_failed expose=shop message=it clings to life" in facts(events)
    assert "step_ended step=REMOVE left_count=1" in facts(events)
    assert "step_ended step=RECORD flow_count=2" in facts(events)
    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert (await mesh.get("shop")).state == pb.EXPOSE_STATE_RUNNING


async def test_a_registry_that_ends_ends_its_boot(peers: Peers) -> None:
    """Shutting down during a boot gives its followers the last event instead of a broken stream."""
    module = peers.runner.modules["shop:app"]
    module.gate = asyncio.Event()
    async with contextlib.AsyncExitStack() as outer:
        async with peers.registry() as mesh:
            await mesh.save("shop", "import_path: shop:app")
            channel = await outer.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}"))
            stub = pb_grpc.BootServiceStub(channel)
            call = stub.StartBoot(pb.StartBootRequest(), metadata=mesh.operator, timeout=30)
            await module.loading.wait()
        events = [event async for event in call]

    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert facts(events)[-1] == "boot_failed operation=BOOT message=it was cancelled"
