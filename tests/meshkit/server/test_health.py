"""grpc.health.v1 of a server of the mesh."""

import asyncio
import tempfile
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshkit.server import health

DEADLINE_S = 60.0


async def test_strangers_cannot_watch_without_end() -> None:
    """Whatever they watch, names that nobody serves too; who cannot watch may ask."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.Health(None), server)
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        address = f"unix:{folder}/health"
        server.add_insecure_port(address)
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(DEADLINE_S):
            stub = health_pb2_grpc.HealthStub(channel)
            watches = [
                stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service")) for _ in range(health.WATCHES_MAX)
            ]
            for watch in watches:
                await watch.read()
            refused = stub.Watch(health_pb2.HealthCheckRequest())
            code = await refused.code()
            answer = await stub.Check(health_pb2.HealthCheckRequest())
            for watch in watches:
                watch.cancel()
            while not await _is_let_in(stub):
                pass  # that somebody has gone is known a moment later
        await server.stop(None)

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is code
    assert health_pb2.HealthCheckResponse.SERVING == answer.status


async def _is_let_in(stub: Any) -> bool:
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    try:
        await watch.read()
    except grpc.aio.AioRpcError:
        return False
    watch.cancel()
    return True
