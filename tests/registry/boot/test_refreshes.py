"""Refreshes: one expose gets another version, and no other is touched."""

import grpc
import pytest
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2

from tests.registry.boot.saying import facts
from tests.registry.conftest import Mesh


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
