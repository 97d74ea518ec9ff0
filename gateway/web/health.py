"""Whether every service serves and hears its other replicas, how apps are confined, and what hosts wait for.

Services are asked by the standard gRPC health protocol.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import pathlib
import platform
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.config import Config
from gateway.edge import clusters, contract
from meshkit import client
from meshkit.server.health import BUS

_DEADLINE_S = 2.0
_FRESH_S = 0.5
"""A state is reused for so long: many may ask."""
SERVING = "SERVING"
"""What a service that is well says of itself."""


class Health:
    """Asks the services.  Use `connected` around other calls."""

    def __init__(self, config: Config, mesh: Iterable[contract.Service] = ()) -> None:
        """`mesh` are the services of the contract."""
        services = ("auth", "registry", "runner", "payments", "ledger")
        self._peers = {service: config.peer(service).replicas for service in services}
        self._processes = {each.name: of for each in mesh if (of := clusters.process_of(each.name))}
        self._found = config.sockets_dir / "nursery.json"
        self._cluster = config.data_dir / "cluster.json"
        self._stubs: dict[str, list[health_pb2_grpc.HealthStub]] = {}
        self._states: dict[str, list[str]] = {}
        self._buses: dict[str, list[str]] = {}
        self._asked_at = -_FRESH_S
        self._lock = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep a channel to each service for the length of the block."""
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 50)]
        async with contextlib.AsyncExitStack() as stack:
            for service, replicas in self._peers.items():
                channels = [await stack.enter_async_context(client.channel(peer, options)) for peer in replicas]
                self._stubs[service] = [health_pb2_grpc.HealthStub(channel) for channel in channels]
            yield

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Return whether every service serves, and what `GET /health` says."""
        states, buses, replicas = await self.states(), await self.buses(), await self.replicas()
        everybody = [*buses.values(), *(state for found in replicas.values() for state in found)]
        cluster = await self.cluster()
        well = all(state == SERVING for state in everybody) and (cluster is None or cluster["reached"])
        return all(state == SERVING for state in states.values()), {
            "status": "ok" if well else "degraded",
            "version": importlib.metadata.version("agentmesh"),
            "python_version": platform.python_version(),
            "services": states,
            "replicas": {service: found for service, found in replicas.items() if len(found) > 1},
            "bus": buses,
            "isolation": await self.isolation(),
            "cluster": cluster,
        }

    async def states(self) -> dict[str, str]:
        """Return each service's state: `SERVING` if a replica does, or why not, such as `UNAVAILABLE`."""
        return {service: min(states, key=SERVING.__ne__) for service, states in (await self.replicas()).items()}

    @property
    def names(self) -> Sequence[str]:
        """Of the gRPC services that other processes serve (`meshkit.server.health.Elsewhere`)."""
        return tuple(self._processes)

    async def serves(self, name: str) -> bool:
        """Return whether the process of one of `names` serves; for an empty name, whether every process does."""
        states = await self.states()
        asked = [self._processes[name]] if name else list(states)
        return all(states[process] == SERVING for process in asked)

    async def replicas(self) -> dict[str, list[str]]:
        """Return the state of each replica of each service, in the order of their addresses."""
        await self._look()
        return self._states

    async def buses(self) -> dict[str, str]:
        """Return of each service that serves whether it hears its other replicas at once: `SERVING`.

        Otherwise one of them looks again and again: what another replica has written is seen about a second later.
        """
        await self._look()
        heard = {
            service: [bus for bus, state in zip(buses, self._states[service], strict=True) if state == SERVING]
            for service, buses in self._buses.items()
        }
        return {service: max(buses, key=SERVING.__ne__) for service, buses in heard.items() if buses}

    async def _look(self) -> None:
        async with self._lock:
            if time.monotonic() - self._asked_at >= _FRESH_S:
                self._states, self._buses = await asyncio.gather(self._ask_all(""), self._ask_all(BUS))
                self._asked_at = time.monotonic()

    async def _ask_all(self, name: str) -> dict[str, list[str]]:
        async def of(service: str) -> list[str]:
            return await asyncio.gather(*(self._ask(stub, name) for stub in self._stubs[service]))

        return dict(zip(self._stubs, await asyncio.gather(*map(of, self._stubs)), strict=True))

    async def isolation(self) -> dict[str, Any] | None:
        """Return what the nursery of this machine has found to confine apps with; None if there is no word of one."""
        return await asyncio.to_thread(_said, self._found)

    async def cluster(self) -> dict[str, Any] | None:
        """Return whether a cluster answers, how many hosts are there, and why others are not; None if there is none.

        No names: whoever asks need not be signed in.
        """
        said = await asyncio.to_thread(_said, self._cluster)
        if said is None:
            return None
        return {
            "reached": not said["away"],
            "hosts": len(said["hosts"]),
            "ready": said["ready"],
            "pending": sorted(said["pending"].values()),
        }

    async def _ask(self, stub: health_pb2_grpc.HealthStub, name: str) -> str:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _said(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None
