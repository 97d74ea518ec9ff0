"""Hosts as forks of this machine's nursery, which outlives this process."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence

from agentmesh_protos.runner.v1 import placement_pb2
from agentmesh_protos.runner.v1.placement_pb2 import HostSpec
from google.protobuf.message import DecodeError

from meshkit.errors import Unavailable
from services.runner.ports.placement import Event, Exited, Present, Unplaced

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
        self._orders: _Orders | None = None
        self._connected = asyncio.Event()

    async def start(self, spec: HostSpec, badge: str) -> None:
        """As `Placement.start`."""
        reading, writing = os.pipe()
        try:
            os.write(writing, badge.encode())  # a pipe takes as much at once
            os.close(writing)
            await self._order(placement_pb2.NurseryOrder(start=spec), reading)
        finally:
            os.close(reading)

    async def stop(self, host_id: str) -> None:
        """As `Placement.stop`."""
        await self._order(placement_pb2.NurseryOrder(stop=host_id))

    async def _order(self, order: placement_pb2.NurseryOrder, *fds: int) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
            assert self._orders is not None, "connected"
            async with asyncio.timeout(_WRITE_S):
                await self._orders.send(order.SerializeToString(), fds)
        except (TimeoutError, OSError) as error:
            raise Unavailable("the nursery, which starts hosts, does not answer: try again") from error

    async def events(self) -> AsyncIterator[Event]:
        """As `Placement.events`."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, DecodeError):
                async for event in self._follow():
                    yield event
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> AsyncIterator[Event]:
        reader, writer = await asyncio.open_unix_connection(self._path)
        orders = _Orders(writer)
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > _MESSAGE_BYTES_MAX:
                    return
                event = placement_pb2.NurseryEvent.FromString(await reader.readexactly(length))
                if event.HasField("present"):
                    self._orders = orders
                    self._connected.set()
                    yield Present(frozenset(event.present.host_ids))
                elif event.HasField("exited"):
                    yield Exited(event.exited.host_id, event.exited.reason)
                elif event.HasField("unplaced"):
                    yield Unplaced(event.unplaced.host_id, event.unplaced.reason, event.unplaced.detail)
        finally:
            self._connected.clear()
            orders.close()
            writer.close()


class _Orders:
    """The end of the connection that orders go into, one after the other, with the descriptors that belong to them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        # A stream cannot pass descriptors on; its own writing end is not used.
        self._sock = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
        self._sock.setblocking(False)
        self._turn = asyncio.Lock()

    async def send(self, data: bytes, fds: Sequence[int]) -> None:
        """Send one order.  Raises `OSError`; one that was sent in part ends the connection."""
        async with self._turn:
            head = _LENGTH.pack(len(data))
            while (sent := self._begin(head, fds)) == 0:
                await self._room()
            try:
                await asyncio.get_running_loop().sock_sendall(self._sock, head[sent:] + data)
            except BaseException:
                self._sock.shutdown(socket.SHUT_RDWR)
                raise

    def _begin(self, head: bytes, fds: Sequence[int]) -> int:
        try:
            return socket.send_fds(self._sock, [head], fds)
        except BlockingIOError:
            return 0

    async def _room(self) -> None:
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._sock, room.set)
        try:
            await room.wait()
        finally:
            loop.remove_writer(self._sock)

    def close(self) -> None:
        """Close it."""
        self._sock.close()


@contextlib.asynccontextmanager
async def own_nursery(module: str = "agentmesh.host") -> AsyncIterator[str]:
    """Run what starts hosts as a child of ours for the length of the block; yield its socket's path."""
    with tempfile.TemporaryDirectory(prefix="agentmesh-") as folder:
        path = f"{folder}/nursery"
        private = os.environ.get("AGENTMESH_DATA_DIR", "data")
        environment = {
            **os.environ,
            "AGENTMESH_NURSERY": path,
            "AGENTMESH_PRIVATE_DIRS": f"{private}:{folder}",
            "AGENTMESH_ENVIRONMENTS_DIR": f"{private}/environments",
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-m", module, env=environment)
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
