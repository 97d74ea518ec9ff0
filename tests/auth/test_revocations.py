"""Followers hear of every revocation, in order, and are never held in memory."""

import asyncio
import datetime

from meshkit.bus import MemoryBus
from meshkit.clock import utc_now
from meshkit.principal import Principal
from services.auth import revocations
from services.auth.clock import StrictClock
from services.auth.domain import Revocation, User, UserChange
from services.auth.revocations import Feed
from services.auth.stores.memory import MemoryStore

HOUR = datetime.timedelta(hours=1)


class Stand:
    """A feed on a store of its own; `revoke` does what the rooms do."""

    def __init__(self) -> None:
        self.ahead = datetime.timedelta()
        self.store = MemoryStore(StrictClock(lambda: utc_now() + self.ahead))
        self.bus = MemoryBus()
        self.feed = Feed(self.store, self.bus)

    async def revoke(self, *jtis: str, hours: int = 1) -> None:
        """Revoke tokens that live so long."""
        for jti in jtis:
            await self.feed.announce(await self.store.end_session("", jti, utc_now() + self.ahead + hours * HOUR))


def ids(batch: list[Revocation]) -> list[str]:
    """Return the tokens of a batch."""
    return [revocation.jti for revocation in batch]


async def test_a_follower_gets_all_then_what_is_new() -> None:
    """Nothing twice, nothing missed."""
    stand = Stand()
    await stand.revoke("a", "b")
    follower = stand.feed.follow(60)
    async with asyncio.timeout(30):
        first = await anext(follower)
        await stand.revoke("c", "d")
        second = await anext(follower)
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        await stand.revoke("e")
        third = await waiting
    await follower.aclose()

    assert [ids(first), ids(second), ids(third)] == [["a", "b"], ["c", "d"], ["e"]]


async def test_silence_is_filled_with_heartbeats() -> None:
    """An empty batch at first, and again and again."""
    follower = Stand().feed.follow(0.001)
    async with asyncio.timeout(30):
        beats = [await anext(follower) for _ in range(3)]
    await follower.aclose()

    assert beats == [[], [], []]


async def test_a_lost_message_costs_a_heartbeat() -> None:
    """Whoever has not been woken looks by itself."""
    stand = Stand()
    follower = stand.feed.follow(0.001)
    async with asyncio.timeout(30):
        assert await anext(follower) == []
        await stand.store.end_session("", "a", utc_now() + HOUR)  # by another replica, whose message got lost
        while not (found := await anext(follower)):
            pass
    await follower.aclose()

    assert ids(found) == ["a"]


async def test_stopping_ends_every_follower() -> None:
    """Those who wait, and those who come later."""
    stand = Stand()

    async def follow() -> int:
        return len([batch async for batch in stand.feed.follow(60)])

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    await asyncio.sleep(0)
    stand.bus.close()
    async with asyncio.timeout(30):
        assert await asyncio.gather(*followers, follow()) == [1, 1, 1, 0]


async def test_what_has_expired_is_dropped() -> None:
    """From the snapshot of those who come later."""
    stand = Stand()
    await stand.revoke(*(f"{number}" for number in range(100)), hours=1)
    stand.ahead = 2 * HOUR
    await stand.revoke("new", hours=5)
    follower = stand.feed.follow(60)
    snapshot = await anext(follower)
    await follower.aclose()

    assert ids(snapshot) == ["new"]


async def test_a_long_snapshot_comes_in_parts() -> None:
    """No message grows beyond what gRPC takes."""
    stand = Stand()
    await stand.revoke(*(f"{number}" for number in range(revocations.CHUNK_MAX + 1)))
    follower = stand.feed.follow(60)
    async with asyncio.timeout(30):
        parts = [len(await anext(follower)), len(await anext(follower))]
    await follower.aclose()

    assert parts == [revocations.CHUNK_MAX, 1]


async def test_the_services_own_verifier_knows_at_once() -> None:
    """A user up to a moment, and single tokens."""
    stand = Stand()
    made = utc_now()
    user = User(user_id="u", login="u", email="u@example.com", password_hash="h", created_at=made)
    await stand.store.add_user(user)
    await stand.revoke("a")
    _, revocation = await stand.store.update_user("u", UserChange(password_hash="new"))
    assert revocation is not None
    await stand.feed.announce([revocation])
    at = revocation.issued_at.timestamp()

    assert stand.feed.revoked.hit(Principal(jti="a"))
    assert stand.feed.revoked.hit(Principal(jti="b", user="users/u", issued_at=at))
    assert not stand.feed.revoked.hit(Principal(jti="b", user="users/u", issued_at=at + 0.001))
    assert not stand.feed.revoked.hit(Principal(jti="b", user="users/v", issued_at=0))


async def test_a_verifier_knows_what_was_written_before_and_elsewhere() -> None:
    """Before the first call what the store has, and from then on what others write into it."""
    stand = Stand()
    await stand.revoke("before")
    replica = Feed(stand.store, stand.bus)
    await replica.load()
    assert replica.revoked.hit(Principal(jti="before"))

    keeping = asyncio.create_task(replica.keep())
    async with asyncio.timeout(30):
        await stand.revoke("after")
        async for _ in replica.follow(0.01):
            if replica.revoked.hit(Principal(jti="after")):
                break
        stand.bus.close()
        await keeping
