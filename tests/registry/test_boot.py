"""Boots: what they do, what they say, and that there is one at a time."""

import asyncio
import contextlib
import json
import re

import grpc
import pytest
from mesh.registry.v1 import registry_pb2 as pb
from mesh.registry.v1 import registry_pb2_grpc as pb_grpc
from mesh.runner.v1 import app_pb2

from tests.registry.conftest import Mesh, Peers, line
from tests.registry.peers import Module

_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"

SHOP_AND_FORM = """\
ℹ Boot started at TIME
▶ [DEPLOY] Starting Ray Serve deployment
  • [serve_config.yaml] Loading global configuration → OK
  • [form] Prepared deployment config → route=/form
  • [shop] Prepared deployment config → route=/shop
  • [<tmp>/serve_deploy.yaml] Created merged deployment config
  • [serve] Running serve deploy (2 applications)
  serve deploy command → success
✓ Deployment initiated (2 applications)
▶ [HEALTH] Waiting for deployments to complete (timeout: 1800s)
  • [form] Status: DEPLOYING
  • [shop] Status: DEPLOYING
  [form] Reached final state → RUNNING
  [shop] Reached final state → RUNNING
✓ All deployments complete (2 running, 0 failed)
▶ [REGISTER] Registering flow endpoints
  • POST /flow/register → /-/routes
  Registered 3 flow(s) via /-/routes
  • [form] Discovered 1 flow endpoint(s) → text
  • [shop] Discovered 2 flow endpoint(s) → async
✓ Flow registration complete (3 registered, 3 discovered)
▶ [RETRIEVE] Testing flow endpoints
  • [form] Checking 1 endpoint(s)
  • [shop] Checking 2 endpoint(s)
  [form] HEAD /form/text → 200 OK (alive)
  [shop] HEAD /shop/ → 200 OK (alive)
  [shop] HEAD /shop/async → 200 OK (alive)
✓ Retrieved 3 flow endpoints (3 alive, 0 dead)
▶ [UPDATE] Updating expose metadata
  • [GET /flow] Fetching registered flows
  Retrieved flows → 3 flows
  • [form] Processing 1 flow(s)
  [form] Updated meta → 1 new, 0 preserved
  • [shop] Processing 2 flow(s)
  [shop] Updated meta → 2 new, 0 preserved
✓ Metadata update complete (3 new, 0 preserved, 3 alive)
✔ Boot completed at TIME (runtime: N s)"""


def transcript(events: list[pb.BootEvent]) -> str:
    """Return what was said, without its times."""
    text = "\n".join(line(event) for event in events)
    return re.sub(r"runtime: \d+\.\ds", "runtime: N s", re.sub(_TIME, "TIME", text))


def in_step_order(text: str) -> list[str]:
    """Return the lines, those of HEALTH sorted: apps load side by side."""
    lines = text.splitlines()
    begin = lines.index("▶ [HEALTH] Waiting for deployments to complete (timeout: 1800s)")
    end = next(number for number, item in enumerate(lines) if item.startswith("✓ All deployments complete"))
    return [*lines[: begin + 1], *sorted(lines[begin + 1 : end]), *lines[end:]]


async def test_a_boot_says_what_the_seeds_say(mesh: Mesh) -> None:
    """Every line of a boot is as documented, in the documented order."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")

    events = await mesh.boot()

    assert in_step_order(transcript(events)) == in_step_order(SHOP_AND_FORM)
    assert all(event.HasField("time") for event in events)


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
    """`runtime_env` and `deployments` are passed on as JSON, and `fork` as it is."""
    await mesh.save(
        "shop",
        "import_path: shop:app\nruntime_env: {env_vars: {A: '1'}, py_modules: [x.zip]}\n"
        "deployments:\n  - name: D\n    ray_actor_options: {num_cpus: 0.1}\nfork: false\n",
    )

    await mesh.boot()
    request = mesh.runner.deployed[-1]

    assert request.name == "apps/shop"
    assert request.import_path == "shop:app"
    assert json.loads(request.runtime_env_json) == {"env_vars": {"A": "1"}, "py_modules": ["x.zip"]}
    assert json.loads(request.deployments_json) == [{"name": "D", "ray_actor_options": {"num_cpus": 0.1}}]
    assert request.HasField("fork")
    assert not request.fork


async def test_a_broken_app_fails_alone(mesh: Mesh) -> None:
    """An app that cannot be imported and one without import_path each say why; the others boot."""
    await mesh.save("broken", "import_path: nowhere:app")
    await mesh.save("listed", "applications: []")
    await mesh.save("shop", "import_path: shop:app")

    events = await mesh.boot()
    warnings = {event.target: event.message for event in events if event.kind == pb.BootEvent.KIND_WARNING}
    broken, listed, shop = [await mesh.get(name) for name in ("broken", "listed", "shop")]

    assert warnings["broken"] == "ModuleNotFoundError: No module named 'nowhere'"
    assert "import_path" in warnings["listed"]
    assert "  [broken] Reached final state → DEPLOY_FAILED" in transcript(events)
    assert "✓ All deployments complete (1 running, 1 failed)" in transcript(events)
    assert events[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert (broken.state, broken.message) == (pb.EXPOSE_STATE_DEPLOY_FAILED, warnings["broken"])
    assert (listed.state, listed.message) == (pb.EXPOSE_STATE_DEPLOY_FAILED, warnings["listed"])
    assert broken.needs_reboot
    assert shop.state == pb.EXPOSE_STATE_RUNNING


async def test_a_flow_that_does_not_answer_is_dead(mesh: Mesh) -> None:
    """404 and 5xx are dead, other answers are alive; a dead flow makes the expose stale."""
    mesh.runner.modules["shop:app"].statuses = {"/": 405, "/async": 500}
    await mesh.save("shop", "import_path: shop:app")

    events = await mesh.boot()
    expose = await mesh.get("shop")

    assert "  [shop] HEAD /shop/ → 405 Method Not Allowed (alive)" in transcript(events)
    assert "  [shop] HEAD /shop/async → 500 Internal Server Error (dead)" in transcript(events)
    assert "✓ Retrieved 2 flow endpoints (1 alive, 1 dead)" in transcript(events)
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
    assert "  • [a] Removed application → stopped" in transcript(events)
    assert (after.state, after.needs_reboot, after.stale) == (pb.EXPOSE_STATE_DEAD, False, False)


async def test_a_boot_of_nothing_removes_everything(mesh: Mesh) -> None:
    """Without an application to deploy a boot cleans up and ends well."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("draft")
    await mesh.boot()
    await mesh.delete("shop")

    text = transcript(await mesh.boot())

    assert "⚠ [draft] No bootstrap yet: skipped" in text
    assert "✓ Deployment skipped (no applications)" in text
    assert text.splitlines()[-1] == "✔ Boot completed at TIME (runtime: N s)"
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
    assert "✓ All deployments complete (9 running, 0 failed)" in transcript(events)


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
    texts = [transcript(events) for events in heard]
    ended = await mesh.boots.GetBoot(pb.GetBootRequest(), metadata=mesh.operator)

    assert running.running
    assert running.HasField("start_time")
    assert texts[0].splitlines()[0] == "ℹ Boot started at TIME"
    assert texts[0].splitlines()[-1] == "✔ Boot completed at TIME (runtime: N s)"
    assert texts == [transcript(list(ended.events))] * 3
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
    assert second.value.details() == "Boot already in progress. Use force=true to override."
    assert refresh.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert transcript(cancelled).splitlines()[-1] == "✗ Boot failed at TIME (runtime: N s): it was cancelled"
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


async def test_stopping_says_what_the_seeds_say(mesh: Mesh) -> None:
    """Every app is stopped, every expose dead, and the count of remaining flows is true."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()

    events = await mesh.stop()
    after = await mesh.get("shop")

    assert transcript(events).splitlines() == [
        "▶ [DEPLOY] Shutting down Ray Serve",
        "  • [serve] Running serve shutdown -y",
        "  serve shutdown → success",
        "▶ [UPDATE] Updating expose states",
        "  • [shop] Set state to DEAD",
        "  • [Clearing flow registry] PUT /flow/register",
        "  Flow registry refreshed → 0 flows remaining",
        "✔ Shutdown complete",
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

    assert "⚠ [shop] Could not be stopped: it clings to life" in transcript(events)
    assert "  Flow registry refreshed → 2 flows remaining" in transcript(events)
    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert (await mesh.get("shop")).state == pb.EXPOSE_STATE_RUNNING


async def test_a_refresh_touches_only_its_expose(mesh: Mesh) -> None:
    """The four steps are said as documented; one app is deployed anew, none is removed."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.save("form", "import_path: form:app")
    await mesh.boot()
    mesh.runner.deployed.clear()
    mesh.runner.modules["shop:app"].flows.append(app_pb2.FlowInfo(path="/new", method="GET", summary="New"))

    events = await mesh.refresh("shop")
    lines = transcript(events).splitlines()

    assert [item for item in lines if "Step " in item] == [
        "▶ [UPDATE] Step 1/4: Disabling expose 'shop'",
        "▶ [DEPLOY] Step 2/4: Running boot process (remove flows)",
        "▶ [UPDATE] Step 3/4: Enabling expose 'shop'",
        "▶ [DEPLOY] Step 4/4: Running boot process (re-add flows)",
    ]
    assert lines[0] == "ℹ Refreshing expose 'shop' at TIME"
    assert "  [shop] Expose disabled → enabled=False" in lines
    assert "ℹ [Boot 1/2] Boot started at TIME" in lines
    assert "  [shop] Expose enabled → enabled=True" in lines
    assert "▶ [DEPLOY] [Boot 2/2] Starting Ray Serve deployment" in lines
    assert "  • [shop] [Boot 2/2] Prepared deployment config → route=/shop" in lines
    assert "  [shop] [Boot 2/2] Updated meta → 1 new, 2 preserved" in lines
    assert lines[-1] == "✔ Refresh complete at TIME (runtime: N s)"
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

    assert "  [shop] Expose stays disabled → enabled=False" in transcript(events)
    assert events[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert mesh.runner.deployed == []
    assert mesh.runner.removed == ["apps/shop"]
    assert (after.enabled, after.state) == (False, pb.EXPOSE_STATE_DEAD)


@pytest.mark.parametrize("bootstrap", ["import_path: nowhere:app", "runtime_env: {}"])
async def test_a_refresh_that_fails_says_why(mesh: Mesh, bootstrap: str) -> None:
    """The last word is the reason; the expose stays enabled, and its old code does not run on."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.save("shop", bootstrap)

    events = await mesh.refresh("shop")
    after = await mesh.get("shop")

    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert after.message in events[-1].message
    assert (after.enabled, after.state, after.alive_count) == (True, pb.EXPOSE_STATE_DEPLOY_FAILED, 0)


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
            call = stub.StartBoot(pb.StartBootRequest(), metadata=mesh.operator, timeout=20)
            await module.loading.wait()
        events = [event async for event in call]

    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert events[-1].message.endswith("it was cancelled")
