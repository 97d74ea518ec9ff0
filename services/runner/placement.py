"""Where hosts run.  `LocalPlacement` has the nursery of this machine fork them."""

import asyncio
import contextlib
import os
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from mesh.runner.v1.placement_pb2 import HostSpec, NurseryEvent, NurseryOrder

from meshkit.errors import Unavailable

log = structlog.get_logger()
_CONNECT_S = 15.0
_RETRY_S = 0.1
_LENGTH = struct.Struct("!I")


class Placement(Protocol):
    """Starts and stops hosts, and tells when one has ended."""

    async def start(self, spec: HostSpec) -> None:
        """Start a host.  Raises `Unavailable` if that cannot be done now."""

    async def stop(self, host_id: str) -> None:
        """End a host and all it runs; nothing happens if there is none of that id."""


Exited = Callable[[str, str], Awaitable[None]]
"""Called with a host's id and how it ended."""
Present = Callable[[set[str]], Awaitable[None]]
"""Called with the ids of all hosts that live, whenever the connection to them is new."""


class LocalPlacement:
    """Hosts as forks of the nursery, which outlives this process."""

    def __init__(self, path: str, exited: Exited, present: Present) -> None:
        self._path = path
        self._exited = exited
        self._present = present
        self._writer: asyncio.StreamWriter | None = None
        self._connected = asyncio.Event()

    async def start(self, spec: HostSpec) -> None:
        """See `Placement.start`."""
        await self._say(NurseryOrder(start=spec))

    async def stop(self, host_id: str) -> None:
        """See `Placement.stop`."""
        await self._say(NurseryOrder(stop=host_id))

    async def _say(self, order: NurseryOrder) -> None:
        data = order.SerializeToString()
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._connected.wait()
                assert self._writer is not None
                self._writer.write(_LENGTH.pack(len(data)) + data)
                await self._writer.drain()
        except (TimeoutError, OSError) as error:
            raise Unavailable("the nursery, which starts hosts, does not answer: try again") from error

    async def run(self) -> None:
        """Stay connected to the nursery and pass on what it says, until cancelled."""
        while True:
            with contextlib.suppress(OSError, EOFError):  # a closed stream is an EOFError
                await self._follow()
            self._connected.clear()
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                event = NurseryEvent.FromString(await reader.readexactly(length))
                match event.WhichOneof("event"):
                    case "present":
                        self._connected.set()
                        await self._present(set(event.present.host_ids))
                    case "exited":
                        await self._exited(event.exited.host_id, event.exited.reason)
        finally:
            self._writer.close()


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
