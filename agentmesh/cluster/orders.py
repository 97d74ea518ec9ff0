"""The two ends of the socket that orders to start hosts go through, for an event loop: `NurseryOrder` and
`NurseryEvent`, each behind its length, and with an order a pipe that a badge lies in (`agentmesh.host.nursery`).
"""

import asyncio
import collections
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import Self

from agentmesh_protos.runner.v1.placement_pb2 import NurseryEvent, NurseryOrder
from google.protobuf.message import DecodeError

from agentmesh.host.talk.frames import LENGTH, BrokenFrame, Pieces

_MESSAGE_BYTES_MAX = 1024 * 1024
_BADGE_BYTES_MAX = 64 * 1024
_SEND_S = 5.0
_LOOK_S = 0.01
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Nursery:
    """A nursery, as who gives it orders sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, path: str, process: asyncio.subprocess.Process, patience_s: float) -> Self:
        """Wait until a nursery that was just started answers.

        Raises `RuntimeError` if it ends, or if nobody answers in time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while loop.time() < until and process.returncode is None:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, path)
                return cls(sock)
            except OSError:  # it is not there yet
                sock.close()
            except BaseException:
                sock.close()
                raise
            await asyncio.sleep(_LOOK_S)
        code = process.returncode
        how = f"did not answer within {patience_s:g} s" if code is None else f"ended with exit code {code}"
        raise RuntimeError(f"the nursery of the host {how}: its node's logs say more")

    async def send(self, order: NurseryOrder, badge: str = "") -> None:
        """Give an order, with a badge in a pipe if there is one.  Raises `OSError` and `TimeoutError`."""
        data = order.SerializeToString()
        reading, writing = os.pipe()
        try:
            os.write(writing, badge.encode())  # a pipe takes as much at once
            os.close(writing)
            # Room for a few bytes is there: an order is sent when the one before was read.
            sent = socket.send_fds(self._sock, [LENGTH.pack(len(data))], [reading] if badge else [])
            assert sent == LENGTH.size, "an order's length goes out at once"
        finally:
            os.close(reading)
        async with asyncio.timeout(_SEND_S):
            await self._loop.sock_sendall(self._sock, data)

    async def events(self) -> AsyncIterator[NurseryEvent]:
        """Yield what it says until it hangs up, or says what is no event."""
        pieces = Pieces(_MESSAGE_BYTES_MAX)
        while data := await self._loop.sock_recv(self._sock, 65536):
            for piece in pieces.feed(data):
                yield NurseryEvent.FromString(piece)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Client:
    """Who gives us orders."""

    def __init__(self, sock: socket.socket, obey: Callable[[NurseryOrder, str], None]) -> None:
        """`obey` is called with each order, and with the badge that came with it."""
        self._sock = sock
        self._obey = obey
        self._loop = asyncio.get_running_loop()
        self._pieces = Pieces(_MESSAGE_BYTES_MAX)
        self._badges: collections.deque[int] = collections.deque()
        self._turn = asyncio.Lock()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when it has hung up, or does not keep to the protocol."""
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, 65536, 1, _RECEIVE_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._badges.extend(fds)
        try:
            for piece in self._pieces.feed(data):
                order = NurseryOrder.FromString(piece)
                badge = self._badge() if order.HasField("start") else ""
                self._obey(order, badge)
        except (BrokenFrame, DecodeError, UnicodeDecodeError):
            data = b""
        if not data:
            self.close()

    def _badge(self) -> str:
        if not self._badges:
            return ""
        fd = self._badges.popleft()
        try:
            os.set_blocking(fd, False)
            return os.read(fd, _BADGE_BYTES_MAX).decode()  # it was written whole before it was sent
        except OSError:
            return ""
        finally:
            os.close(fd)

    async def tell(self, event: NurseryEvent) -> None:
        """Say something; who does not listen is hung up on."""
        data = event.SerializeToString()
        try:
            async with self._turn, asyncio.timeout(_SEND_S):
                await self._loop.sock_sendall(self._sock, LENGTH.pack(len(data)) + data)
        except (OSError, TimeoutError):
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        while self._badges:
            with contextlib.suppress(OSError):
                os.close(self._badges.popleft())
        if not self.gone.done():
            self.gone.set_result(None)
