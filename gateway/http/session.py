"""One WebSocket of one caller, as an endpoint sees it: JSON in, JSON out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.websockets import WebSocket

from gateway.http.answers import dumps
from meshkit.errors import Invalid
from meshkit.principal import Principal

FRAME_BYTES_MAX = 64 * 1024
"""Of what a client sends."""
_INBOX_MAX = 64
"""Frames of a client that nobody has read; with more of them it is let go."""

Verify = Callable[[str], Awaitable[Principal]]
"""Returns whose access token it is, or raises `Unauthenticated`."""


class Session:
    """A WebSocket that was asked for.  `accept` opens it; what is raised before that is answered in HTTP."""

    def __init__(self, websocket: WebSocket, principal: Principal, verify: Verify) -> None:
        self.principal = principal
        self.signed_in = asyncio.Event()
        """Set when somebody has signed in by a frame."""
        self._websocket = websocket
        self._verify = verify
        self._inbox: asyncio.Queue[str] = asyncio.Queue(_INBOX_MAX)
        self._accepted = asyncio.Event()

    @property
    def path(self) -> str:
        """Such as `/mesh/v1/jobs/0123:watch`."""
        return self._websocket.url.path

    @property
    def params(self) -> Mapping[str, str]:
        """The variables of the path."""
        return self._websocket.path_params

    @property
    def query(self) -> Mapping[str, str]:
        """The query; of a repeated field, the last."""
        return self._websocket.query_params

    @property
    def accepted(self) -> bool:
        """Whether it is open."""
        return self._accepted.is_set()

    async def sign_in(self, token: str) -> None:
        """Make the owner of an access token, which came in a frame, the caller of a session that is nobody's yet.

        From here on the session ends with the token.  Raises `Unauthenticated`.
        """
        self.principal = await self._verify(token)
        self.signed_in.set()

    async def accept(self) -> None:
        """Open it, if it is not."""
        if not self.accepted:
            await self._websocket.accept()
            self._accepted.set()

    async def send(self, value: Any) -> None:
        """Send a JSON value as one frame; waits while the client does not read."""
        await self.send_text(dumps(value))

    async def send_text(self, text: str) -> None:
        """Send what is JSON already."""
        await self._websocket.send_text(text)

    async def receive(self) -> Any:
        """Return the next JSON value that the client sends.  Raises `Invalid` if a frame is none."""
        text = await self._inbox.get()
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Invalid("frame is not JSON", {"frame": ["send a JSON document in each"]}) from None

    async def read(self) -> None:
        """Take in what the client sends, until it hangs up.  Raises `Invalid` for frames that nobody can read."""
        await self._accepted.wait()
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            if (text := message.get("text")) is None:
                raise Invalid("frame is not text", {"frame": ["send JSON as text"]})
            try:
                self._inbox.put_nowait(text)
            except asyncio.QueueFull:
                raise Invalid("nobody reads so many frames", {"frame": ["send fewer"]}) from None
