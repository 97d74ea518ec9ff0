"""What must fail, as a log that other services follow."""

import asyncio
import collections
import datetime
from collections.abc import AsyncGenerator, Callable, Sequence

from meshkit.verifier import Revocations
from services.auth.domain import Revocation

HEARTBEAT_S = 10.0
CHUNK_MAX = 20_000
"""Revocations per message; about 2 MB."""


class Feed:
    """Keeps the live revocations in order, and wakes those who follow.

    It holds nothing per follower but a position, so a slow one costs no memory.  `revoked` is the same knowledge in
    the form that this service's own verifier asks.
    """

    def __init__(self, now: Callable[[], datetime.datetime]) -> None:
        self.revoked = Revocations()
        self._now = now
        self._log: collections.OrderedDict[int, Revocation] = collections.OrderedDict()
        self._last = 0
        self._changed = asyncio.Event()
        self._stopped = False

    def add(self, revocations: Sequence[Revocation]) -> None:
        """Make them fail here at once, and tell the followers."""
        if not revocations:
            return
        now = self._now()
        for revocation in revocations:
            self._last += 1
            self._log[self._last] = revocation
            expires_at = revocation.expires_at.timestamp()
            if revocation.jti:
                self.revoked.add_token(revocation.jti, expires_at)
            else:
                self.revoked.add_user(f"users/{revocation.user_id}", revocation.issued_at.timestamp(), expires_at)
        for number in [number for number, revocation in self._log.items() if revocation.expires_at <= now]:
            del self._log[number]
        self._wake()

    def stop(self) -> None:
        """End every `follow`: the server is stopping."""
        self._stopped = True
        self._wake()

    async def follow(self, heartbeat_s: float = HEARTBEAT_S) -> AsyncGenerator[list[Revocation], None]:
        """Yield all that is live (perhaps nothing), then what is added; an empty list each `heartbeat_s` of silence."""
        seen = 0
        first = True
        while not self._stopped:
            changed = self._changed
            batch = self._behind(seen)
            if batch or first:
                first = False
                seen = batch[-1][0] if batch else seen
                yield [revocation for _, revocation in batch]
                continue
            try:
                await asyncio.wait_for(changed.wait(), heartbeat_s)
            except TimeoutError:
                yield []

    def _behind(self, seen: int) -> list[tuple[int, Revocation]]:
        if seen >= self._last:
            return []
        newest_first: list[tuple[int, Revocation]] = []
        for number in reversed(self._log):
            if number <= seen:
                break
            newest_first.append((number, self._log[number]))
        return newest_first[::-1][:CHUNK_MAX]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
