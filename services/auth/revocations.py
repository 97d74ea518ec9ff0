"""What must fail, as a log that other services follow.

The store numbers revocations.  A follower reads on from the number it has seen; the bus only says when to look, so a
slow follower costs no memory, and one who misses a message looks again with the next heartbeat.
"""

from collections.abc import AsyncGenerator, Sequence

from meshkit.bus import Bus
from meshkit.verifier import Revocations
from services.auth.domain import Revocation
from services.auth.ports.store import AuthStore

HEARTBEAT_S = 10.0
CHUNK_MAX = 20_000
"""Revocations per message; about 2 MB."""
TOPIC = "revocations"


class Feed:
    """Tells of revocations.

    `revoked` is the same knowledge in the form that this service's own verifier asks: what is announced here fails
    here at once, and what another replica has written as soon as `keep` has looked.
    """

    def __init__(self, store: AuthStore, bus: Bus) -> None:
        self.revoked = Revocations()
        self._store = store
        self._bus = bus

    async def announce(self, revocations: Sequence[Revocation]) -> None:
        """Make what is stored fail here at once, and wake the followers."""
        if revocations:
            self._apply(revocations)
            await self._bus.publish(TOPIC)

    async def load(self) -> None:
        """Make everything fail that the store has: before the first call is served."""
        seen = 0
        while batch := await self._store.revocations(seen, CHUNK_MAX):
            self._apply([revocation for _, revocation in batch])
            seen = batch[-1][0]

    async def keep(self) -> None:
        """Make everything fail that is ever stored, by whomever; until cancelled."""
        async for batch in self.follow():
            self._apply(batch)

    async def follow(self, heartbeat_s: float = HEARTBEAT_S) -> AsyncGenerator[list[Revocation], None]:
        """Yield all that is live (perhaps nothing), then what is added; an empty list each `heartbeat_s` of silence.

        Ends when the bus is closed.
        """
        seen, first = 0, True
        async with self._bus.subscribe(TOPIC) as waker:
            while not waker.closed:
                batch = await self._store.revocations(seen, CHUNK_MAX)
                if batch or first:
                    first = False
                    seen = batch[-1][0] if batch else seen
                    yield [revocation for _, revocation in batch]
                elif not await waker.wait(heartbeat_s):
                    yield []

    def _apply(self, revocations: Sequence[Revocation]) -> None:
        for revocation in revocations:
            expires_at = revocation.expires_at.timestamp()
            if revocation.jti:
                self.revoked.add_token(revocation.jti, expires_at)
            else:
                self.revoked.add_user(f"users/{revocation.user_id}", revocation.issued_at.timestamp(), expires_at)
