"""Where a client keeps who it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from agentmesh._client.records import Tokens


class TokenStore(Protocol):
    """Keeps the tokens of one user at one mesh."""

    def load(self) -> Tokens | None:
        """Return the tokens, or None if nobody is signed in."""

    def save(self, tokens: Tokens | None) -> None:
        """Keep the tokens; None forgets them."""

    def exclusive(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Hold off others while tokens are renewed: a refresh token that is used twice ends the whole sign-in."""


class MemoryTokens:
    """Tokens of this process."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._lock = asyncio.Lock()

    def load(self) -> Tokens | None:
        """Return the tokens, if there are any."""
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        """Keep the tokens."""
        self._tokens = tokens

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold off other tasks."""
        async with self._lock:
            yield
