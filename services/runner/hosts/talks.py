"""A call whose answer comes in parts, from the runner's end, and what is held of it."""

import asyncio
from collections.abc import Callable

from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit.errors import Unavailable

_GOING_AWAY = 1001  # of a WebSocket's close
_WINDOW_BYTES = 256 * 1024
"""As `AppPart.taken_bytes` has it."""
_PART_BYTES = 16
"""What a part counts beside what is in it."""
_UNTAKEN_BYTES_MAX = 2 * _WINDOW_BYTES
_UNHEARD_BYTES_MAX = _WINDOW_BYTES * (1 + _PART_BYTES)
"""Who keeps to the window stays below, also with pieces of a byte each; or has one message on its way, and no more."""


class Talk:
    """A call whose answer comes in parts, from the runner's end.

    What it holds is bounded: a client is not listened to while what it has said is not on its way to the host, and the
    call of either side that does not keep to the window of what may be untaken is broken off.
    """

    def __init__(self, call_id: int, post: Callable[[host_pb2.RunnerMessage], None]) -> None:
        self._call_id = call_id
        self._post = post
        self._heard: asyncio.Queue[host_pb2.CallPart | Unavailable | None] = asyncio.Queue()
        self._unheard_bytes = self._unsent_bytes = self._untaken_bytes = 0
        self._last: host_pb2.CallPart | None = None
        """Of what waits to be heard, what came last, if that only tells what is taken."""
        self._room = asyncio.Event()
        """Set while the client may say more."""
        self._room.set()
        self._broken: Unavailable | None = None
        self.is_over = False
        """Whether either side has said its last word."""

    async def pass_on(self, part: app_pb2.AppPart) -> None:
        """Tell the app what its client says, as soon as there is room for it."""
        await self._room.wait()
        if not self.is_over and _says(part) and self._untaken_bytes >= _UNTAKEN_BYTES_MAX:
            self._break_off("the client sends more than the app takes")
        self._untaken_bytes += _size(part) - _PART_BYTES
        self._say(part)

    def sent(self, part: app_pb2.AppPart) -> None:
        """Know that something the client has said is on its way."""
        self._unsent_bytes -= _size(part)
        if self._unsent_bytes < _WINDOW_BYTES:
            self._room.set()

    def _say(self, part: app_pb2.AppPart) -> None:
        if self.is_over:
            return
        self._unsent_bytes += _size(part)
        if self._unsent_bytes >= _WINDOW_BYTES:
            self._room.clear()
        self._post(host_pb2.RunnerMessage(call_part=host_pb2.CallPart(call_id=self._call_id, part=part)))
        if part.HasField("close"):
            self.is_over = True
            self._heard.put_nowait(None)

    def hang_up(self) -> None:
        """Tell the app that its client has gone, unless all is said."""
        self._say(app_pb2.AppPart(close=app_pb2.AppClose(code=_GOING_AWAY)))

    def take(self, said: host_pb2.CallPart | Unavailable) -> None:
        """Take what the host says, or that it is gone."""
        if self._broken is not None:
            return
        if isinstance(said, host_pb2.CallPart):
            self._untaken_bytes -= said.part.taken_bytes
            if _says(said.part) and self._unheard_bytes >= _UNHEARD_BYTES_MAX:
                self._break_off("the app sends more than its client takes")
                return
            if self._last is not None and said.part.HasField("taken_bytes"):
                self._last.part.taken_bytes += said.part.taken_bytes
                return
            self._unheard_bytes += _size(said.part)
            self._last = said if said.part.HasField("taken_bytes") else None
        self._heard.put_nowait(said)

    def _break_off(self, why: str) -> None:
        self._broken = Unavailable(f"the call was broken off: {why}")
        self.hang_up()

    def check(self) -> None:
        """Raise `Unavailable` if the call was broken off."""
        if self._broken is not None:
            raise self._broken

    async def hear(self) -> host_pb2.CallPart | None:
        """Return the next part, None if nobody wants it.

        Raises `Unavailable` if the host is gone or the call was broken off.
        """
        said = await self._heard.get()
        self.check()
        if said is None:
            return None
        if said is self._last:
            self._last = None
        if isinstance(said, host_pb2.CallPart):
            self._unheard_bytes -= _size(said.part)
        self.is_over = self.is_over or isinstance(said, Unavailable) or said.part.HasField("close")
        if isinstance(said, Unavailable):
            raise said
        return said


def _says(part: app_pb2.AppPart) -> bool:
    """Whether a part counts for the window, or is none at all; others are few by their nature."""
    return part.WhichOneof("part") in ("data", "text", None)


def _size(part: app_pb2.AppPart) -> int:
    return len(part.data) + len(part.text.encode()) + _PART_BYTES
