"""A boot over the real runner, with real hosts that load real code."""

from mesh.registry.v1 import registry_pb2 as pb
from mesh.runner.v1 import app_pb2

from services.runner import app as runner
from services.runner.config import Config
from tests.registry.conftest import Peers, line


async def test_examples_boot_refresh_and_stop(peers: Peers) -> None:
    """An example's flows are found and answer, a broken app fails alone with its reason, and stopping stops all."""
    settings = {**peers.config.model_dump(), "runner_address": "127.0.0.1:0"}
    async with runner.running(Config(**settings)) as port:
        peers.config = peers.config.model_copy(update={"runner_address": f"127.0.0.1:{port}"})
        async with peers.registry() as mesh:
            await mesh.save("prime", "import_path: examples.prime.app:fast_app\n")
            await mesh.save("broken", "import_path: examples.no_such_module:app\n")

            boot = [line(event) for event in await mesh.boot()]
            prime, broken = await mesh.get("prime"), await mesh.get("broken")
            flows = list((await mesh.list_flows()).flows)
            refresh = await mesh.refresh("prime")
            refreshed = await mesh.get("prime")
            stop = [line(event) for event in await mesh.stop()]
            stopped = await mesh.get("prime")

    assert prime.state == pb.EXPOSE_STATE_RUNNING
    assert prime.flow_count == prime.alive_count > 0
    assert [flow.alive for flow in flows] == [True] * len(flows)
    assert {flow.name for flow in flows} >= {"flows/prime"}
    assert all(flow.summary for flow in flows)
    assert "  [prime] HEAD /prime/ → 200 OK (alive)" in boot
    assert broken.state == pb.EXPOSE_STATE_DEPLOY_FAILED
    assert broken.message.startswith("ModuleNotFoundError: No module named 'examples.no_such_module'")
    assert any(item.startswith("⚠ [broken] ModuleNotFoundError") for item in boot)
    assert refresh[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert (refreshed.state, refreshed.alive_count) == (pb.EXPOSE_STATE_RUNNING, prime.alive_count)
    assert "  Flow registry refreshed → 0 flows remaining" in stop
    assert stopped.state == pb.EXPOSE_STATE_DEAD


def test_the_runners_states_are_all_known() -> None:
    """A state the runner adds later is not mistaken for a healthy one: this test then says to map it."""
    assert set(app_pb2.AppState.values()) == {0, 1, 2, 3, 4, 5}
