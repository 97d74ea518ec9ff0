"""Requests that callers repeat (`meshkit.idempotency`), one at a time: an app is not asked twice for one of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from meshkit import clock, idempotency
from meshkit.errors import Internal
from meshkit.idempotency import KEPT_S, Request
from meshkit.tasks import OneAtATime
from services.runner.ports.store import JobStore


class Requests:
    """The requests of every caller."""

    def __init__(self, store: JobStore, now: Callable[[], float] = clock.now, key: bytes = b"") -> None:
        """`key` hides from readers of the table of requests what was in them: secrets, perhaps."""
        self._key = key
        self._store = store
        self._now = now
        self._alone = OneAtATime()

    def made(self, owner: str, request_id: str, *body: str | bytes) -> Request | None:
        """Return a request to keep with what it does; `None` if it has no id.  Raises `Invalid` for a bad id."""
        return idempotency.asked(request_id, *body, key=self._key, owner=owner)

    async def known(self, request: Request) -> bytes | None:
        """Return the answer that the request got before, or `None` if it is new.

        Raises `Invalid` if its id was used for another body.
        """
        return await idempotency.known_answer(self._store, request)

    async def known_elsewhere(self, request: Request | None) -> bytes:
        """Return what the same request got a moment earlier, by another runner, whose job is there already.

        Raises `Internal` if it is no such request: the app gave the job its id.
        """
        if request is None or (known := await self.known(request)) is None:
            raise Internal("the app used a job id twice, or that of a job that was deleted within a week") from None
        return known

    @contextlib.asynccontextmanager
    async def one_at_a_time(self, request: Request | None) -> AsyncIterator[None]:
        """Let the same request in once at a time: whoever waits finds the answer of the first."""
        if request is None:
            yield
            return
        async with self._alone((request.owner, request.request_id)):
            yield

    async def forget(self) -> None:
        """Keep requests for as long as somebody may repeat them, not for ever; until cancelled."""
        while True:
            await self._store.forget_requests(self._now() - KEPT_S)
            await asyncio.sleep(KEPT_S / 24)
