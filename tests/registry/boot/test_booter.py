"""Boots: what they do, and what they say."""

import asyncio
import json

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2

from tests.registry.boot.saying import facts, in_step_order
from tests.registry.conftest import Mesh
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


async def test_boots_call_the_runner_as_the_registry(mesh: Mesh) -> None:
    """No user's token goes along, neither in a boot nor when a user's read asks for states."""
    await mesh.save("shop", "import_path: shop:app")
    await mesh.boot()
    await mesh.list_flows()

    assert mesh.runner.callers
    assert all("authorization" not in metadata for metadata in mesh.runner.callers)
    assert all("x-mesh-service" in metadata for metadata in mesh.runner.callers)
