"""Every placement keeps the same promises; the runner that hosts dial is played by the test.

On a cluster hosts reach it by TLS, as they would from another machine.
"""

import asyncio
import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
import pytest_asyncio
from mesh.runner.v1 import host_pb2, host_pb2_grpc
from mesh.runner.v1.placement_pb2 import HostSpec

from agentmesh.cli import certs
from agentmesh.supervisor import handing
from meshkit.tls import Tls
from services.runner.placements.local import LocalPlacement
from services.runner.placements.ray import MODULE, RayPlacement
from services.runner.ports.placement import Event, Exited, Placement, Present, Unplaced
from tests.cluster.raylets import Cluster
from tests.host.stage import Stage

pytestmark = [
    pytest.mark.xdist_group("ray-cluster"),
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]
DEADLINE_S = 90.0
FLOWS = "tests.host.flows:app"


@dataclasses.dataclass
class Ground:
    """A placement, what it says, and the runner that its hosts dial."""

    make: Callable[[], Placement]
    stage: Stage
    address: str

    def spec(self, host_id: str, **more: str) -> HostSpec:
        """Describe a host."""
        return HostSpec(
            host_id=host_id,
            expose="demo",
            import_path=FLOWS,
            runner_address=self.address,
            fork=True,
            **more,  # type: ignore[arg-type]
        )


class Ears:
    """Hears what a placement says for the length of a block."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._heard: asyncio.Queue[Event] = asyncio.Queue()

    async def _listen(self) -> None:
        async for event in self.placement.events():
            self._heard.put_nowait(event)

    async def next(self) -> Event:
        """Return what is said next."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._heard.get()

    async def __aenter__(self) -> "Ears":
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["local", "ray"])
async def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Run what starts hosts, and a runner for them."""
    data_dir = tmp_path_factory.mktemp("placements")
    server = grpc.aio.server()
    stage = Stage()
    host_pb2_grpc.add_HostServiceServicer_to_server(stage, server)
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        path = f"{folder}/nursery"
        env = {**os.environ, "AGENTMESH_NURSERY": path, "AGENTMESH_DATA_DIR": str(data_dir)}
        if request.param == "ray":
            rays: Cluster = request.getfixturevalue("rays")
            certs.make(data_dir, 1.0)
            door = Tls(*(data_dir / name for name in ("ca.crt", "runner.crt", "runner.key")), is_mutual=False)
            port = server.add_secure_port("127.0.0.1:0", door.server_credentials())
            env |= {"AGENTMESH_RAY_ADDRESS": rays.address, "AGENTMESH_RAY_PLACE_S": "6"}
            secrets, module = {handing.RAY_TOKEN: rays.token}, MODULE

            def make() -> Placement:
                return RayPlacement(path, door, 60.0)
        else:
            port = server.add_insecure_port("127.0.0.1:0")
            secrets, module = {}, "agentmesh.host"

            def make() -> Placement:
                return LocalPlacement(path)

        await server.start()
        with handing.handing(secrets, env) as (stdin, environment):
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=stdin, env=environment)
        try:
            yield Ground(make, stage, f"127.0.0.1:{port}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()
            await server.stop(0)


async def test_a_host_comes_with_its_badge_and_goes_when_it_is_stopped(ground: Ground) -> None:
    """It dials the runner, loads its app and runs jobs; whoever takes over finds it; its end is said once."""
    stage = ground.stage
    async with Ears(ground.make()) as ears:
        assert Present(frozenset()) == await ears.next()
        await ears.placement.start(ground.spec("demo-1"), "the badge of one")
        await stage.until(lambda: [hello for hello in stage.hellos if hello.host_id == "demo-1"])
        await stage.until(lambda: stage.loaded)
        outcome = await stage.end(stage.run("tests.host.flows:noop"))

    assert "the badge of one" == stage.badges[-1]
    assert stage.loaded is not None
    assert "" == stage.loaded.error
    assert "" == outcome.error
    async with Ears(ground.make()) as ears:
        assert Present(frozenset({"demo-1"})) == await ears.next()
        await ears.placement.stop("nobody")
        await ears.placement.stop("demo-1")
        event = await ears.next()

        assert isinstance(event, Exited)
        assert "demo-1" == event.host_id
    async with Ears(ground.make()) as ears:
        assert Present(frozenset()) == await ears.next()


async def test_a_host_that_ends_by_itself_is_said_to_have_ended(ground: Ground) -> None:
    """Here since the runner has told it to finish, and it had nothing to do."""
    stage = ground.stage
    stage.loaded = None
    async with Ears(ground.make()) as ears:
        await ears.next()
        await ears.placement.start(ground.spec("demo-2"), "the badge of two")
        await stage.until(lambda: stage.loaded)
        stage.say(host_pb2.RunnerMessage(drain=host_pb2.Drain()))
        event = await ears.next()

    assert "the badge of two" == stage.badges[-1]
    assert isinstance(event, Exited)
    assert "demo-2" == event.host_id


async def test_what_cannot_be_given_is_said_where_it_counts(ground: Ground) -> None:
    """A cluster has resources, and says which are lacking; one machine gives what there is."""
    stage = ground.stage
    stage.loaded = None
    async with Ears(ground.make()) as ears:
        await ears.next()
        await ears.placement.start(ground.spec("demo-3", resources_json='{"resources": {"moon": 1}}'), "a badge")
        if isinstance(ears.placement, RayPlacement):
            event = await ears.next()

            assert isinstance(event, Unplaced)
            assert "moon" in event.reason
        else:
            await stage.until(lambda: stage.loaded)
            await ears.placement.stop("demo-3")
