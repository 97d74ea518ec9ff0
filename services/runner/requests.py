"""Requests that callers repeat (AIP-155): the same id, caller and body give the same answer, for a day.

The answer is written together with what the request did, so a crash leaves either both or neither.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterable

from meshkit.errors import Invalid
from services.runner.domain import Request
from services.runner.ports.store import JobStore

ID_CHARS_MAX = 256
_KEPT_S = 86_400.0


class Requests:
    """The requests of every caller."""

    def __init__(self, store: JobStore, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}
        """By owner and id: one at a time, and how many want to."""

    def made(self, owner: str, request_id: str, body: Iterable[str | bytes], answer: bytes) -> Request | None:
        """Return a request to keep with what it does; `None` if it has no id.  Raises `Invalid` for a bad id."""
        if not request_id:
            return None
        if len(request_id) > ID_CHARS_MAX:
            raise Invalid("request_id is too long", {"request_id": [f"at most {ID_CHARS_MAX} characters"]})
        return Request(owner=owner, request_id=request_id, body_hash=_digest(body), answer=answer)

    async def known(self, request: Request) -> bytes | None:
        """Return the answer that the request got before, or `None` if it is new.

        Raises `Invalid` if its id was used for another body.
        """
        before = await self._store.request(request.owner, request.request_id)
        if before is None:
            return None
        if before.body_hash != request.body_hash:
            raise Invalid(
                "this request id (Idempotency-Key) was used for another request: take a new one",
                {"request_id": ["was used with another body"]},
            )
        return before.answer

    @contextlib.asynccontextmanager
    async def one_at_a_time(self, request: Request | None) -> AsyncIterator[None]:
        """Let the same request in once at a time: whoever waits finds the answer of the first."""
        if request is None:
            yield
            return
        key = (request.owner, request.request_id)
        lock, waiting = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)

    async def forget(self) -> None:
        """Keep requests for as long as somebody may repeat them, not for ever; until cancelled."""
        while True:
            await self._store.forget_requests(self._now() - _KEPT_S)
            await asyncio.sleep(_KEPT_S / 24)


def _digest(parts: Iterable[str | bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()
