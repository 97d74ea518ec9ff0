"""The boot of the kodosumi panel (demonstration notebook: "Boot Ray Serve", "shutdown", "Refresh").

What the registry says is streamed as text/plain, a message per line; each kind of message has its glyph.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pydantic
from google.api import httpbody_pb2
from mesh.dialects.kodosumi.v1 import boot_pb2 as pb
from mesh.dialects.kodosumi.v1 import boot_pb2_grpc as pb_grpc
from mesh.registry.v1 import registry_pb2

from gateway.core import times, values
from gateway.core.peers import Peers
from gateway.http import bodies
from gateway.http.dialect import Service
from meshkit.errors import FailedPrecondition, NotFound, from_rpc

_TIMEOUT_S = 6 * 3600
"""A boot waits half an hour for each app; this only ends what hangs."""
_BUSY = "[ERROR] Boot already in progress. Use force=true to override."
_IDLE = "No boot in progress"
_CONTENT_TYPE = "text/plain; charset=utf-8"

Event = registry_pb2.BootEvent
Lines = AsyncIterator[httpbody_pb2.HttpBody]


class Force(pydantic.BaseModel):
    """The query of POST /boot."""

    force: bool = False


class BootServicer(pb_grpc.BootServiceServicer):
    """Passes the registry's events on, as lines."""

    def __init__(self, peers: Peers) -> None:
        self._boot = peers.boot

    async def StartBoot(self, request: pb.StartBootRequest, context: Any) -> Lines:
        """POST /boot.  The boot goes on when the client hangs up."""
        force = bodies.validate({"force": request.force} if request.force else {}, Force).force
        try:
            events = self._boot.StartBoot(registry_pb2.StartBootRequest(force=force), timeout=_TIMEOUT_S)
            async for line in _lines(events):
                yield line
        except FailedPrecondition:
            yield _line(_BUSY)

    async def GetBoot(self, request: pb.GetBootRequest, context: Any) -> pb.GetBootResponse:
        """GET /boot."""
        with from_rpc():
            boot = await self._boot.GetBoot(registry_pb2.GetBootRequest())
        return pb.GetBootResponse(
            locked=boot.running,
            lock_time=values.value(times.epoch(boot.start_time) if boot.running else None),
            messages=[line_of(event) for event in boot.events],
        )

    async def WatchBoot(self, request: pb.WatchBootRequest, context: Any) -> Lines:
        """GET /boot/stream."""
        try:
            async for line in _lines(self._boot.WatchBoot(registry_pb2.WatchBootRequest(), timeout=_TIMEOUT_S)):
                yield line
        except FailedPrecondition:
            yield _line(_IDLE)

    async def StopApps(self, request: pb.StopAppsRequest, context: Any) -> Lines:
        """DELETE /boot."""
        try:
            async for line in _lines(self._boot.StopApps(registry_pb2.StopAppsRequest(), timeout=_TIMEOUT_S)):
                yield line
        except FailedPrecondition:
            yield _line(_BUSY)

    async def RefreshExpose(self, request: pb.RefreshExposeRequest, context: Any) -> Lines:
        """POST /boot/refresh/{name}: 200 even if there is no such expose."""
        refresh = registry_pb2.RefreshExposeRequest(name=f"exposes/{request.name}")
        try:
            async for line in _lines(self._boot.RefreshExpose(refresh, timeout=_TIMEOUT_S)):
                yield line
        except NotFound:
            yield _line(f"[ERROR] Expose '{request.name}' not found")
        except FailedPrecondition:
            yield _line(_BUSY)


async def _lines(events: Any) -> AsyncGenerator[httpbody_pb2.HttpBody, None]:
    with from_rpc():
        async for event in events:
            yield _line(line_of(event))


def _line(text: str) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=f"{text}\n".encode())


def line_of(event: registry_pb2.BootEvent) -> str:
    """Return what the panel prints for an event."""
    message = event.message.replace("\n", " ")
    target = f"[{event.target}] " if event.target else ""
    result = f" → {event.result}" if event.result else ""
    if event.kind == Event.KIND_STEP_START:
        return f"▶ [{event.step}] {message}"
    if event.kind == Event.KIND_STEP_END:
        return f"✓ {message}"
    if event.kind == Event.KIND_COMPLETE:
        return f"✔ {message}"
    if event.kind == Event.KIND_ERROR:
        return f"✗ {message}"
    if event.kind == Event.KIND_WARNING:
        return f"⚠ {target}{message}"
    if event.kind == Event.KIND_INFO:
        return f"ℹ {target}{message}"
    bullet = "• " if event.kind == Event.KIND_ACTIVITY else ""
    return f"  {bullet}{target}{message}{result}"


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.BootService",
    add=pb_grpc.add_BootServiceServicer_to_server,
    servicer=BootServicer,
)
