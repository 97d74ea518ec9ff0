"""grpc.health.v1, as every server of the mesh answers it: for its own services, its bus, and what it knows of others.

`BUS` is one name beside those of services: it serves as long as the bus hears the other replicas.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2

from meshkit.bus import Bus
from meshkit.net.whence import EDGE_HEADER

BUS = "agentmesh.bus"
"""What health calls the wake-ups between replicas: without them a service serves, and looks at its store more often."""
_AGAIN_S = 1.0
WATCHES_MAX = 100
"""At once: nobody needs to be signed in, and who watches what others serve has us look once a second."""
_STATES = health_pb2.HealthCheckResponse


class Elsewhere(Protocol):
    """Knows how services of other processes stand."""

    @property
    def names(self) -> Sequence[str]:
        """Of those services, in full."""

    async def serves(self, name: str) -> bool:
        """Return whether a service of `names` serves; for an empty name, whether all do."""


class Health(health.aio.HealthServicer):
    """Health, that of the bus included, and to who comes through the edge that of the whole mesh.

    There the empty name is the mesh.  Asked directly, as by who watches this process, it is this process alone.
    """

    def __init__(self, bus: Bus | None, elsewhere: Elsewhere | None = None) -> None:
        super().__init__()
        self._bus = bus
        self._elsewhere = elsewhere
        self._names = set(elsewhere.names) if elsewhere is not None else set()
        self._closed = asyncio.Event()
        self._watches = 0

    async def Check(self, request: Any, context: Any) -> Any:
        """Return how a service stands.  An unknown one is NOT_FOUND."""
        if request.service == BUS and self._bus is not None:
            return _answer(self._bus.linked)
        if self._is_elsewhere(request.service, context):
            return _answer(await self._serves(request.service))
        return await super().Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:
        """Send how a service stands, and again when that changes."""
        if self._watches >= WATCHES_MAX:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch already: use Check")
        self._watches += 1
        try:
            if self._is_elsewhere(request.service, context):
                await self._watch(request.service, context)
            else:
                await super().Watch(request, context)
        finally:
            self._watches -= 1

    async def _watch(self, name: str, context: Any) -> None:
        before = None
        while not self._closed.is_set():
            serves = await self._serves(name)
            if serves != before:
                await context.write(_answer(serves))
            before = serves
            await _within(self._closed, _AGAIN_S)

    async def List(self, request: Any, context: Any) -> Any:
        """Return how every service stands that Check knows."""
        own = {name: _STATES(status=status) for name, status in self._server_status.items()}
        if self._elsewhere is None or not _is_through_edge(context):
            return health_pb2.HealthListResponse(statuses=own)
        others = {name: _answer(await self._serves(name)) for name in ("", *self._elsewhere.names)}
        return health_pb2.HealthListResponse(statuses={**own, **others})

    async def enter_graceful_shutdown(self) -> None:
        """As the base does, and end the watches: a server that stops does not."""
        self._closed.set()
        await super().enter_graceful_shutdown()

    def _is_elsewhere(self, name: str, context: Any) -> bool:
        if self._elsewhere is None:
            return False
        return name in self._names or (not name and _is_through_edge(context))

    async def _serves(self, name: str) -> bool:
        assert self._elsewhere is not None
        return not self._closed.is_set() and await self._elsewhere.serves(name)


def _is_through_edge(context: Any) -> bool:
    return any(key == EDGE_HEADER for key, _ in context.invocation_metadata() or ())


def _answer(serves: bool) -> Any:
    return _STATES(status=_STATES.SERVING if serves else _STATES.NOT_SERVING)


async def _within(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
