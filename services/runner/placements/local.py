"""Hosts as forks of this machine's nursery, which outlives this process."""

import asyncio
import contextlib
import os
import struct
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import DecodeError
from mesh.runner.v1 import placement_pb2
from mesh.runner.v1.placement_pb2 import HostSpec

from meshkit.errors import Unavailable
from services.runner.ports.placement import Exited, Present

_CONNECT_S = 15.0
_WRITE_S = 5.0
_RETRY_S = 0.1
_LENGTH = struct.Struct("!I")
_MESSAGE_BYTES_MAX = 1024 * 1024


class LocalPlacement:
    """A `Placement` that has the nursery fork hosts; `events` keeps the connection to it."""

    def __init__(self, path: str) -> None:
        """`path` is the nursery's unix socket."""
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()

    async def start(self, spec: HostSpec) -> None:
        """As `Placement.start`."""
        await self._order(placement_pb2.NurseryOrder(start=spec))

    async def stop(self, host_id: str) -> None:
        """As `Placement.stop`."""
        await self._order(placement_pb2.NurseryOrder(stop=host_id))

    async def _order(self, order: placement_pb2.NurseryOrder) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
            assert self._writer is not None, "connected"
            data = order.SerializeToString()
            self._writer.write(_LENGTH.pack(len(data)) + data)
            async with asyncio.timeout(_WRITE_S):
                await self._writer.drain()
        except (TimeoutError, OSError) as error:
            raise Unavailable("the nursery, which starts hosts, does not answer: try again") from error

    async def events(self) -> AsyncIterator[Present | Exited]:
        """As `Placement.events`."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, DecodeError):
                async for event in self._follow():
                    yield event
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> AsyncIterator[Present | Exited]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > _MESSAGE_BYTES_MAX:
                    return
                event = placement_pb2.NurseryEvent.FromString(await reader.readexactly(length))
                if event.HasField("present"):
                    self._writer = writer
                    self._connected.set()
                    yield Present(frozenset(event.present.host_ids))
                elif event.HasField("exited"):
                    yield Exited(event.exited.host_id, event.exited.reason)
        finally:
            self._connected.clear()
            writer.close()


@contextlib.asynccontextmanager
async def own_nursery() -> Any:
    """Run a nursery of our own for the length of the block; yield its socket's path."""
    with tempfile.TemporaryDirectory(prefix="agentmesh-") as folder:
        path = f"{folder}/nursery"
        environment = {**os.environ, "AGENTMESH_NURSERY": path}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agentmesh.host", env=environment)
        try:
            yield path
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
