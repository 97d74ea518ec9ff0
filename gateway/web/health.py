"""Whether every service of the mesh serves, and hears its other replicas, and how apps are confined.

Services are asked by the standard gRPC health protocol.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.config import Config
from meshkit import client
from meshkit.server import BUS

_DEADLINE_S = 2.0
_FRESH_S = 0.5
"""A state is reused for so long: many may ask."""


class Health:
    """Asks the services.  Use `connected` around calls of `states`."""

    def __init__(self, config: Config) -> None:
        self._peers = [config.peer(service) for service in ("auth", "registry", "runner", "payments", "ledger")]
        self._found = config.sockets_dir / "nursery.json"
        self._stubs: dict[str, health_pb2_grpc.HealthStub] = {}
        self._states: dict[str, str] = {}
        self._buses: dict[str, str] = {}
        self._asked_at = -_FRESH_S
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep a channel to each service for the length of the block."""
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 50)]
        async with contextlib.AsyncExitStack() as stack:
            for peer in self._peers:
                channel = await stack.enter_async_context(client.channel(peer, options))
                self._stubs[peer.service] = health_pb2_grpc.HealthStub(channel)
            yield

    async def states(self) -> dict[str, str]:
        """Return each service's state: `SERVING`, or why it is not known to serve, such as `UNAVAILABLE`."""
        await self._look()
        return self._states

    async def buses(self) -> dict[str, str]:
        """Return of each service that serves whether it hears its other replicas at once: `SERVING`.

        Otherwise it looks again and again, so that what another replica has written is seen about a second later.
        """
        await self._look()
        return {service: state for service, state in self._buses.items() if self._states[service] == "SERVING"}

    async def _look(self) -> None:
        async with self._lock:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                asked = [self._ask(stub, name) for name in ("", BUS) for stub in self._stubs.values()]
                states = await asyncio.gather(*asked)
                half = len(self._stubs)
                self._states = dict(zip(self._stubs, states[:half], strict=True))
                self._buses = dict(zip(self._stubs, states[half:], strict=True))
                self._asked_at = time.monotonic()

    async def isolation(self) -> dict[str, Any] | None:
        """Return what the nursery of this machine has found to confine apps with; None if there is no word of one."""
        try:
            return dict(json.loads(await asyncio.to_thread(self._found.read_bytes)))
        except (OSError, ValueError):
            return None

    async def _ask(self, stub: health_pb2_grpc.HealthStub, name: str) -> str:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))
