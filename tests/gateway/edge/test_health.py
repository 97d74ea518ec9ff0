"""grpc.health.v1 through the edge: each service by its name, and the mesh by none."""

import asyncio
import contextlib
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import app as gateway_app
from gateway.config import EdgeConfig
from gateway.edge import clusters, contract, envoy
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from services.registry import app as registry_app
from services.registry.config import Config as RegistryConfig
from tests.gateway.stack import DEADLINE_S, Edge, enveloped
from tests.ports import free_port

AUTH, REGISTRY = "mesh.auth.v1.AuthService", "mesh.registry.v1.FlowService"
RUNNER, GATEWAY = "mesh.runner.v1.JobService", "mesh.dialects.kodosumi.v1.FlowService"
STATES = health_pb2.HealthCheckResponse


@contextlib.asynccontextmanager
async def asked(address: str) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    """Ask the edge for the length of the block."""
    async with grpc.aio.insecure_channel(address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def state(stub: Any, service: str) -> int:
    """Return what Check says."""
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
    return int(answer.status)


async def until(stub: Any, service: str, wanted: int) -> None:
    """Ask until Check says what is wanted: a service that is slow to answer counts as away."""
    async with asyncio.timeout(DEADLINE_S):
        while await state(stub, service) != wanted:
            pass


async def heard(watch: Any, wanted: int) -> None:
    """Read until Watch says what is wanted."""
    async with asyncio.timeout(DEADLINE_S):
        while (await watch.read()).status != wanted:
            pass


@pytest.mark.asyncio(loop_scope="module")
async def test_every_service_has_a_name(edge: Edge) -> None:
    """Of our own API and of the dialects; the mesh itself has the empty one, and others are unknown."""
    services = contract.services(contract.descriptors())
    names = [each.name for each in services if each.is_dialect or clusters.process_of(each.name)]
    async with asked(edge.address) as stub:
        for name in ("", *names):
            await until(stub, name, STATES.SERVING)
        listed = await stub.List(health_pb2.HealthListRequest(), timeout=DEADLINE_S)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await state(stub, "no.such.Service")

    assert {AUTH, RUNNER, GATEWAY, "mesh.payments.v1.PaymentService", "mesh.payments.v1.LedgerService"} <= set(names)
    assert {"", *names} <= listed.statuses.keys()
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


async def test_a_service_that_is_away_says_so_by_itself(tmp_path: pathlib.Path) -> None:
    """Others serve; who watches it hears when it comes and when it goes."""
    async with contextlib.AsyncExitStack() as stack:
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="am-"))
        common: dict[str, Any] = {"data_dir": tmp_path, "sockets_dir": sockets, "grace_s": 0.0}
        await stack.enter_async_context(auth_app.running(AuthConfig(**common)))
        config = EdgeConfig(port=free_port(), **common)
        await stack.enter_async_context(gateway_app.running(config))
        jwks = await envoy.fetch_jwks(config.peer("auth"), DEADLINE_S)
        await stack.enter_async_context(enveloped(config, jwks, tmp_path))
        stub = await stack.enter_async_context(asked(f"127.0.0.1:{config.port}"))
        for name, here in ("", False), (AUTH, True), (REGISTRY, False), (RUNNER, False), (GATEWAY, True):
            await until(stub, name, STATES.SERVING if here else STATES.NOT_SERVING)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=REGISTRY))
        await heard(watch, STATES.NOT_SERVING)
        async with registry_app.running(RegistryConfig(**common)):
            await heard(watch, STATES.SERVING)
            await until(stub, REGISTRY, STATES.SERVING)
            others = await state(stub, "")
        await heard(watch, STATES.NOT_SERVING)
        watch.cancel()
        itself = await stack.enter_async_context(asked(config.gateway_address))

        assert STATES.NOT_SERVING == others
        # Whoever watches over the gateway's process asks it directly: it is not to be ended for another's sake.
        assert STATES.SERVING == await state(itself, "")
