"""The boot of the kodosumi panel (demonstration notebook: "Boot Ray Serve", "shutdown", "Refresh").

The registry streams facts; they are put into the panel's lines here.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pydantic
from agentmesh_protos.dialects.kodosumi.v1 import boot_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import boot_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from google.api import httpbody_pb2

from gateway.core import times, values
from gateway.core.peers import Peers
from gateway.dialects.kodosumi.boot_lines import Words, lines_of
from gateway.http import bodies
from gateway.http.dialect import Service
from meshkit.errors import FailedPrecondition, NotFound, from_rpc

_TIMEOUT_S = 6 * 3600
"""A boot waits half an hour for each app; this only ends what hangs."""
_BUSY = "[ERROR] Boot already in progress. Use force=true to override."
_IDLE = "No boot in progress"
_CONTENT_TYPE = "text/plain; charset=utf-8"

Lines = AsyncIterator[httpbody_pb2.HttpBody]


class Force(pydantic.BaseModel):
    """The query of POST /boot."""

    force: bool = False


class BootServicer(pb_grpc.BootServiceServicer):
    """Passes on what the registry says, in the panel's words."""

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
            messages=lines_of(boot.events),
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
    words = Words()
    with from_rpc():
        async for event in events:
            for line in words.lines(event):
                yield _line(line)


def _line(text: str) -> httpbody_pb2.HttpBody:
    return httpbody_pb2.HttpBody(content_type=_CONTENT_TYPE, data=f"{text}\n".encode())


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.BootService",
    add=pb_grpc.add_BootServiceServicer_to_server,
    servicer=BootServicer,
)
