"""Followers hear of every revocation, in order, and are never held in memory."""

import asyncio
import datetime

from meshkit.principal import Principal
from services.auth import revocations
from services.auth.domain import Revocation
from services.auth.revocations import Feed

NOON = datetime.datetime.now(datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def token(jti: str, hours: int = 1) -> Revocation:
    """Return the revocation of a token that lives so long."""
    return Revocation(jti=jti, issued_at=NOON, expires_at=NOON + hours * HOUR)


def ids(batch: list[Revocation]) -> list[str]:
    """Return the tokens of a batch."""
    return [revocation.jti for revocation in batch]


async def test_a_follower_gets_all_then_what_is_new() -> None:
    """Nothing twice, nothing missed."""
    feed = Feed(lambda: NOON)
    feed.add([token("a"), token("b")])
    follower = feed.follow(60)
    async with asyncio.timeout(5):
        first = await anext(follower)
        feed.add([token("c")])
        feed.add([token("d")])
        second = await anext(follower)
        waiting = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        feed.add([token("e")])
        third = await waiting
    await follower.aclose()

    assert [ids(first), ids(second), ids(third)] == [["a", "b"], ["c", "d"], ["e"]]


async def test_silence_is_filled_with_heartbeats() -> None:
    """An empty batch at first, and again and again."""
    follower = Feed(lambda: NOON).follow(0.001)
    async with asyncio.timeout(5):
        beats = [await anext(follower) for _ in range(3)]
    await follower.aclose()

    assert beats == [[], [], []]


async def test_stopping_ends_every_follower() -> None:
    """Those who wait, and those who come later."""
    feed = Feed(lambda: NOON)

    async def follow() -> int:
        return len([batch async for batch in feed.follow(60)])

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    await asyncio.sleep(0)
    feed.stop()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*followers, follow()) == [1, 1, 1, 0]


async def test_what_has_expired_is_dropped() -> None:
    """From memory, and from the snapshot of those who come later."""
    time = [NOON]
    feed = Feed(lambda: time[0])
    feed.add([token(f"{number}", hours=1) for number in range(100)])
    time[0] += 2 * HOUR
    feed.add([token("new", hours=5)])
    follower = feed.follow(60)
    snapshot = await anext(follower)
    await follower.aclose()

    assert ids(snapshot) == ["new"]
    assert len(feed._log) == 1


async def test_a_long_snapshot_comes_in_parts() -> None:
    """No message grows beyond what gRPC takes."""
    feed = Feed(lambda: NOON)
    feed.add([token(f"{number}") for number in range(revocations.CHUNK_MAX + 1)])
    follower = feed.follow(60)
    async with asyncio.timeout(10):
        parts = [len(await anext(follower)), len(await anext(follower))]
    await follower.aclose()

    assert parts == [revocations.CHUNK_MAX, 1]


async def test_the_services_own_verifier_knows_at_once() -> None:
    """A user up to a moment, and single tokens."""
    feed = Feed(lambda: NOON)
    feed.add([token("a"), Revocation(user_id="u", issued_at=NOON, expires_at=NOON + HOUR)])

    assert feed.revoked.hit(Principal(jti="a"))
    assert feed.revoked.hit(Principal(jti="b", user="users/u", issued_at=NOON.timestamp()))
    assert not feed.revoked.hit(Principal(jti="b", user="users/u", issued_at=NOON.timestamp() + 0.001))
    assert not feed.revoked.hit(Principal(jti="b", user="users/v", issued_at=0))
