"""Boots: what they do, what they say, and that there is one at a time."""

import asyncio
import contextlib
import json

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.registry.v1 import registry_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import app_pb2

from tests.registry.conftest import Mesh, Peers, said
from tests.registry.peers import Module

SHOP_AND_FORM = """\
boot_started
step_started step=PREPARE
expose_prepared expose=form
expose_prepared expose=shop
step_ended step=PREPARE app_count=2
step_started step=LOAD app_count=2
app_deploying expose=form
app_deploying expose=shop
app_settled expose=form state=RUNNING flow_count=1
app_settled expose=shop state=RUNNING flow_count=2
step_ended step=LOAD app_count=2 running_count=2
step_started step=REGISTER flow_count=3
flows_found expose=form paths=/text
flows_found expose=shop paths=/,/async
step_ended step=REGISTER flow_count=3
step_started step=CHECK flow_count=3
flows_probed expose=form flow_count=1
flows_probed expose=shop flow_count=2
flow_checked expose=form url=/form/text http_status=200 alive=True
flow_checked expose=shop url=/shop/ http_status=200 alive=True
flow_checked expose=shop url=/shop/async http_status=200 alive=True
step_ended step=CHECK flow_count=3 alive_count=3
step_started step=RECORD flow_count=3 alive_count=3
meta_merged expose=form flow_count=1 new_count=1
meta_merged expose=shop flow_count=2 new_count=2
step_ended step=RECORD flow_count=3 alive_count=3 new_count=3
boot_completed app_count=2 running_count=2"""


def facts(events: list[pb.BootEvent]) -> list[str]:
    """Return what was said, a line each."""
    return [said(event) for event in events]


def in_step_order(lines: list[str]) -> list[str]:
    """Return the lines, those of LOAD sorted: apps load side by side."""
    begin = next(number for number, item in enumerate(lines) if item.startswith("step_started step=LOAD"))
    end = next(number for number, item in enumerate(lines) if item.startswith("step_ended step=LOAD"))
    return [*lines[: begin + 1], *sorted(lines[begin + 1 : end]), *lines[end:]]


async def test_a_boot_says_what_it_does(mesh: Mesh) -> None:
    """Every step of a boot is a fact, in the order of the steps."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")

    events = await mesh.boot()

    assert in_step_order(SHOP_AND_FORM.splitlines()) == in_step_order(facts(events))
    assert all(event.HasField("time") for event in events)
    assert events[-1].boot_completed.HasField("runtime")
    assert all(event.app_settled.HasField("load_time") for event in events if event.HasField("app_settled"))


async def test_after_a_boot_the_expose_runs(mesh: Mesh) -> None:
    """State, counts, heartbeat and meta are true after a boot, and the etag is the one from before."""
    before = await mesh.save("shop", "import_path: shop:app")

    await mesh.boot()
    after = await mesh.get("shop")

    assert before.needs_reboot
    assert before.state == pb.EXPOSE_STATE_DEAD
    assert after.state == pb.EXPOSE_STATE_RUNNING
    assert (after.alive_count, after.flow_count, after.stale, after.needs_reboot) == (2, 2, False, False)
    assert after.etag == before.etag
    assert after.update_time == before.update_time
    assert [(entry.url, entry.state, entry.enabled) for entry in after.meta] == [
        ("/shop/", "alive", True),
        ("/shop/async", "alive", True),
    ]
    assert all(entry.HasField("heartbeat_time") for entry in after.meta)


async def test_the_bootstrap_reaches_the_runner(mesh: Mesh) -> None:
    """`runtime_env` and `deployments` are passed on as JSON, `fork` and `isolation` as they are."""
    await mesh.save(
        "shop",
        "import_path: shop:app\nruntime_env: {env_vars: {A: '1'}, py_modules: [x.zip]}\n"
        "deployments:\n  - name: D\n    ray_actor_options: {num_cpus: 0.1}\nfork: false\nisolation: shared\n",
    )

    await mesh.boot()
    request = mesh.runner.deployed[-1]

    assert request.name == "apps/shop"
    assert request.import_path == "shop:app"
    assert json.loads(request.runtime_env_json) == {"env_vars": {"A": "1"}, "py_modules": ["x.zip"]}
    assert json.loads(request.deployments_json) == [{"name": "D", "ray_actor_options": {"num_cpus": 0.1}}]
    assert request.HasField("fork")
    assert not request.fork
    assert request.isolation == app_pb2.ISOLATION_SHARED


async def test_a_broken_app_fails_alone(mesh: Mesh) -> None:
    """An app that cannot be imported and one without import_path each say why; the others boot."""
    await mesh.save("broken", "import_path: nowhere:app")
    await mesh.save("listed", "applications: []")
    await mesh.save("shop", "import_path: shop:app")

    events = await mesh.boot()
    skipped = {event.expose_skipped.expose: event.expose_skipped for event in events}
    settled = {event.app_settled.expose: event.app_settled for event in events}
    troubles = [event.WhichOneof("fact") for event in events if event.kind == pb.BootEvent.KIND_WARNING]
    broken, listed, shop = [await mesh.get(name) for name in ("broken", "listed", "shop")]

    assert troubles == ["expose_skipped", "app_settled"]
    assert settled["exposes/broken"].message == "ModuleNotFoundError: No module named 'nowhere'"
    assert settled["exposes/broken"].state == pb.EXPOSE_STATE_DEPLOY_FAILED
    assert skipped["exposes/listed"].reason == pb.ExposeSkipped.REASON_INVALID
    assert "import_path" in skipped["exposes/listed"].message
    assert "step_ended step=LOAD app_count=2 running_count=1 failed_count=1" in facts(events)
    assert facts(events)[-1] == "boot_completed app_count=2 running_count=1 failed_count=2"
    assert events[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert (broken.state, broken.message) == (pb.EXPOSE_STATE_DEPLOY_FAILED, settled["exposes/broken"].message)
    assert (listed.state, listed.message) == (pb.EXPOSE_STATE_DEPLOY_FAILED, skipped["exposes/listed"].message)
    assert broken.needs_reboot
    assert shop.state == pb.EXPOSE_STATE_RUNNING


async def test_a_flow_that_does_not_answer_is_dead(mesh: Mesh) -> None:
    """404 and 5xx are dead, other answers are alive; a dead flow makes the expose stale."""
    mesh.runner.modules["shop:app"].statuses = {"/": 405, "/async": 500}
    await mesh.save("shop", "import_path: shop:app")

    events = await mesh.boot()
    expose = await mesh.get("shop")

    assert "flow_checked expose=shop url=/shop/ http_status=405 alive=True" in facts(events)
    assert "flow_checked expose=shop url=/shop/async http_status=500" in facts(events)
    assert "step_ended step=CHECK flow_count=2 alive_count=1" in facts(events)
    assert (expose.alive_count, expose.flow_count, expose.stale) == (1, 2, True)
    assert [entry.state for entry in expose.meta] == ["alive", "dead"]


async def test_what_is_not_enabled_or_not_there_is_removed(mesh: Mesh) -> None:
    """A boot removes the apps of disabled and deleted exposes."""
    for name in ("a", "b", "c"):
        await mesh.save(name, "import_path: shop:app")
    await mesh.boot()
    await mesh.save("a", "import_path: shop:app", enabled=False)
    await mesh.delete("b")
    disabled = await mesh.get("a")

    events = await mesh.boot()
    after = await mesh.get("a")

    assert disabled.needs_reboot
    assert disabled.state == pb.EXPOSE_STATE_RUNNING
    assert mesh.runner.removed == ["apps/a", "apps/b"]
    assert "app_removed expose=a" in facts(events)
    assert (after.state, after.needs_reboot, after.stale) == (pb.EXPOSE_STATE_DEAD, False, False)


async def test_a_boot_of_nothing_removes_everything(mesh: Mesh) -> None:
    """Without an application to deploy a boot cleans up and ends well."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("draft")
    await mesh.boot()
    await mesh.delete("shop")

    lines = facts(await mesh.boot())

    assert lines == [
        "boot_started",
        "step_started step=PREPARE",
        "expose_skipped expose=draft reason=DRAFT",
        "step_ended step=PREPARE",
        "app_removed expose=shop",
        "boot_completed",
    ]
    assert mesh.runner.apps == {}


async def test_apps_load_side_by_side_but_not_all_at_once(mesh: Mesh) -> None:
    """At most four apps load at a time."""
    gate = asyncio.Event()
    names = [f"app{number}" for number in range(9)]
    for name in names:
        mesh.runner.modules[f"{name}:app"] = Module(flows=[], gate=gate)
        await mesh.save(name, f"import_path: {name}:app")

    boot = asyncio.create_task(mesh.boot())
    await asyncio.gather(*(mesh.runner.modules[f"{name}:app"].loading.wait() for name in names[:4]))
    gate.set()
    events = await boot

    assert mesh.runner.loading_most == 4
    assert "step_ended step=LOAD app_count=9 running_count=9" in facts(events)


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


async def test_a_refresh_touches_only_its_expose(mesh: Mesh) -> None:
    """Its flows are withdrawn, then it is booted alone; one app is deployed anew, none is removed."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")
    await mesh.boot()
    mesh.runner.deployed.clear()
    mesh.runner.modules["shop:app"].flows.append(app_pb2.FlowInfo(path="/new", method="GET", summary="New"))

    events = await mesh.refresh("shop")
    lines = facts(events)

    assert lines[:5] == [
        "refresh_started expose=shop enabled=True",
        "flows_withdrawn expose=shop enabled=True",
        "boot_started",
        "step_started step=PREPARE",
        "expose_prepared expose=shop",
    ]
    assert "meta_merged expose=shop flow_count=3 new_count=1 preserved_count=2" in lines
    assert lines[-2:] == ["boot_completed app_count=1 running_count=1", "refresh_completed expose=shop"]
    assert [event.kind for event in events].count(pb.BootEvent.KIND_COMPLETE) == 1
    assert [request.name for request in mesh.runner.deployed] == ["apps/shop"]
    assert mesh.runner.removed == []
    assert (await mesh.get("shop")).flow_count == 3
    assert (await mesh.get("shop")).enabled


async def test_a_refresh_leaves_a_disabled_expose_disabled(mesh: Mesh) -> None:
    """Nothing is started, and what still ran is stopped."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", "import_path: shop:app", enabled=False)
    mesh.runner.deployed.clear()

    events = await mesh.refresh("shop")
    after = await mesh.get("shop")

    assert facts(events)[:3] == [
        "refresh_started expose=shop",
        "app_removed expose=shop",
        "flows_withdrawn expose=shop",
    ]
    assert events[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert mesh.runner.deployed == []
    assert mesh.runner.removed == ["apps/shop"]
    assert (after.enabled, after.state) == (False, pb.EXPOSE_STATE_DEAD)


async def test_a_refresh_with_a_bootstrap_that_cannot_be_used_says_why(mesh: Mesh) -> None:
    """The last word is the reason; the expose stays enabled, and its old code does not run on."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", "runtime_env: {}")

    events = await mesh.refresh("shop")
    after = await mesh.get("shop")

    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert (events[-1].boot_failed.expose, events[-1].boot_failed.message) == ("exposes/shop", after.message)
    assert events[-1].boot_failed.operation == pb.BOOT_OPERATION_REFRESH
    assert (after.enabled, after.state, after.alive_count) == (True, pb.EXPOSE_STATE_DEPLOY_FAILED, 0)


async def test_a_version_that_does_not_load_replaces_nothing(mesh: Mesh) -> None:
    """The one before serves on: its flows are listed and alive, the state says OUTDATED and why, a boot would help."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", "import_path: nowhere:app")

    events = await mesh.boot()
    outdated = await mesh.get("shop")
    flows = (await mesh.list_flows()).flows
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    mended = await mesh.get("shop")

    reason = "ModuleNotFoundError: No module named 'nowhere'"
    assert f"app_settled expose=shop state=OUTDATED message={reason} flow_count=2" in facts(events)
    assert "step_ended step=LOAD app_count=1 outdated_count=1" in facts(events)
    assert facts(events)[-1] == "boot_completed app_count=1 outdated_count=1"
    assert (outdated.state, outdated.message) == (pb.EXPOSE_STATE_OUTDATED, reason)
    assert (outdated.alive_count, outdated.flow_count, outdated.needs_reboot) == (2, 2, True)
    assert [(flow.alive, flow.expose_state) for flow in flows] == [(True, pb.EXPOSE_STATE_OUTDATED)] * 2
    assert (mended.state, mended.message, mended.needs_reboot) == (pb.EXPOSE_STATE_RUNNING, "", False)


async def test_a_refresh_to_a_version_that_does_not_load_fails(mesh: Mesh) -> None:
    """It did not reach its aim and says why; the flows of the version before are alive again."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", "import_path: nowhere:app")

    events = await mesh.refresh("shop")
    after = await mesh.get("shop")

    assert events[-1].boot_failed.message == after.message == "ModuleNotFoundError: No module named 'nowhere'"
    assert (after.state, after.alive_count) == (pb.EXPOSE_STATE_OUTDATED, 2)


async def test_only_what_exists_is_refreshed(mesh: Mesh) -> None:
    """An unknown expose is NOT_FOUND, and no boot begins."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.refresh("nobody")
    boot = await mesh.boots.GetBoot(pb.GetBootRequest(), metadata=mesh.operator)

    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "Expose 'nobody' not found"
    assert boot == pb.Boot()


async def test_boots_call_the_runner_as_the_registry(mesh: Mesh) -> None:
    """No user's token goes along, neither in a boot nor when a user's read asks for states."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.list_flows()

    assert mesh.runner.callers
    assert all("authorization" not in metadata for metadata in mesh.runner.callers)
    assert all("x-mesh-service" in metadata for metadata in mesh.runner.callers)


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
