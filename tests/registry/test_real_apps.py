"""A boot over the real runner, with real hosts that load real code."""

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2

from services.registry.domain.standings import State
from services.registry.peers.runner import state_of
from services.runner import app as runner
from services.runner.config import Config
from tests.registry.conftest import Peers, said


async def test_examples_boot_refresh_and_stop(peers: Peers) -> None:
    """An example's flows are found and answer, a broken app fails alone with its reason, and stopping stops all."""
    settings = {**peers.config.model_dump(), "runner_address": "127.0.0.1:0"}
    async with runner.running(Config(**settings)) as port:
        peers.config = peers.config.model_copy(update={"runner_address": f"127.0.0.1:{port}"})
        async with peers.registry() as mesh:
            await mesh.save("prime", "import_path: examples.prime.app:fast_app\n")
            await mesh.save("broken", "import_path: examples.no_such_module:app\n")

            boot = [said(event) for event in await mesh.boot()]
            prime, broken = await mesh.get("prime"), await mesh.get("broken")
            flows = list((await mesh.list_flows()).flows)
            refresh = await mesh.refresh("prime")
            refreshed = await mesh.get("prime")
            stop = [said(event) for event in await mesh.stop()]
            stopped = await mesh.get("prime")

    assert prime.state == pb.EXPOSE_STATE_RUNNING
    assert prime.flow_count == prime.alive_count > 0
    assert [flow.alive for flow in flows] == [True] * len(flows)
    assert {flow.name for flow in flows} >= {"flows/prime"}
    assert all(flow.summary for flow in flows)
    assert "flow_checked expose=prime url=/prime/ http_status=200 alive=True" in boot
    assert broken.state == pb.EXPOSE_STATE_DEPLOY_FAILED
    assert broken.message.startswith("ModuleNotFoundError: No module named 'examples.no_such_module'")
    assert any(item.startswith("app_settled expose=broken state=DEPLOY_FAILED message=ModuleNot") for item in boot)
    assert refresh[-1].kind == pb.BootEvent.KIND_COMPLETE
    assert (refreshed.state, refreshed.alive_count) == (pb.EXPOSE_STATE_RUNNING, prime.alive_count)
    assert "step_ended step=RECORD" in stop
    assert stopped.state == pb.EXPOSE_STATE_DEAD


async def test_a_version_that_does_not_load_keeps_the_one_before(peers: Peers) -> None:
    """Over real hosts: the old code answers, and the expose says what was wrong with the new."""
    settings = {**peers.config.model_dump(), "runner_address": "127.0.0.1:0"}
    async with runner.running(Config(**settings)) as port:
        peers.config = peers.config.model_copy(update={"runner_address": f"127.0.0.1:{port}"})
        async with peers.registry() as mesh:
            await mesh.save("noop", "import_path: examples.noop.app:fast_app\n")
            await mesh.boot()
            await mesh.save("noop", "import_path: examples.no_such_module:app\n")

            boot = [said(event) for event in await mesh.boot()]
            noop = await mesh.get("noop")
            flows = list((await mesh.list_flows()).flows)

    assert noop.state == pb.EXPOSE_STATE_OUTDATED
    assert noop.message.startswith("ModuleNotFoundError: No module named 'examples.no_such_module'")
    assert ("flows/noop", True) in [(flow.name, flow.alive) for flow in flows]
    assert "flow_checked expose=noop url=/noop/ http_status=200 alive=True" in boot
    assert boot[-1] == "boot_completed app_count=1 outdated_count=1"


def test_the_runners_states_are_all_known() -> None:
    """Each has a word here, and one that the runner adds later is not mistaken for a healthy one."""
    known = {number: state_of(number) for number in app_pb2.AppState.values() if number}

    assert len(set(known.values())) == len(known)
    assert state_of(max(known) + 1) is State.UNHEALTHY
