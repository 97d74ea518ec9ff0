"""The registry as a process."""

import asyncio
import os
import pathlib
import signal
import sys

import grpc
from agentmesh_protos.registry.v1 import registry_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.ports import free_port
from tests.registry.conftest import Mesh, Peers
from tests.registry.peers import Module

_ROOT = pathlib.Path(__file__).parents[2]


async def test_sigterm_ends_it_in_the_middle_of_a_boot(peers: Peers) -> None:
    """It reports SERVING, keeps what it acknowledged, and exits 0 although streams are open."""
    address = f"127.0.0.1:{free_port()}"
    module = peers.runner.modules["slow:app"] = Module(flows=[], gate=asyncio.Event())
    environment = {
        **os.environ,
        "AGENTMESH_DATA_DIR": str(peers.config.data_dir),
        "AGENTMESH_REGISTRY_ADDRESS": address,
        "AGENTMESH_RUNNER_ADDRESS": peers.config.runner_address,
        "AGENTMESH_AUTH_ADDRESS": peers.config.auth_address,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.registry", env=environment, cwd=_ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            status = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=30)
            mesh = Mesh.over(channel, peers)
            await mesh.save("slow", "import_path: slow:app")
            boot = asyncio.create_task(mesh.boot())
            await module.loading.wait()

            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                code = await process.wait()
            events = await boot
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with peers.registry() as again:
        kept = await again.get("slow")

    assert status.status == health_pb2.HealthCheckResponse.SERVING
    assert code == 0
    assert events[-1].kind == pb.BootEvent.KIND_ERROR
    assert kept.bootstrap == "import_path: slow:app"
