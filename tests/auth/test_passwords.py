"""Passwords are hashed with argon2id, a few at a time, beside the loop."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from meshkit.errors import Exhausted
from services.auth import passwords
from services.auth.passwords import Passwords


@pytest.fixture
def hasher() -> Iterator[Passwords]:
    """Two workers."""
    hasher = Passwords(workers=2)
    yield hasher
    hasher.close()


async def test_a_hash_matches_its_password_only(hasher: Passwords) -> None:
    """It is argon2id with our costs and a salt of its own."""
    first, second = await asyncio.gather(hasher.hash("pässword"), hasher.hash("pässword"))

    assert first != second
    assert first.startswith(f"$argon2id$v=19$m={passwords.MEMORY_KIB},t={passwords.PASSES},p={passwords.LANES}$")
    assert await hasher.verify(first, "pässword")
    assert not await hasher.verify(first, "password")


@pytest.mark.parametrize("broken", ["", "nonsense", "$argon2id$v=19$m=1,t=1,p=1$x$y", "$2b$12$abc"])
async def test_a_broken_hash_matches_nothing(hasher: Passwords, broken: str) -> None:
    """It is no error either: the answer is no."""
    assert not await hasher.verify(broken, "x")


async def test_nobody_has_a_hash_too(hasher: Passwords) -> None:
    """For a user who does not exist the work is the same, and the answer is no."""
    encoded = await hasher.hash("x")

    async def took(subject: str | None) -> float:
        started = time.process_time()
        assert not await hasher.verify(subject, "wrong")
        return time.process_time() - started

    # Of our own time, which is all in this process: a busy machine delays some of both.
    times = [(await took(None), await took(encoded)) for _ in range(5)]
    nobody, somebody = (min(each) for each in zip(*times, strict=True))

    assert 0.2 < nobody / somebody < 5


async def test_the_loop_goes_on_meanwhile(hasher: Passwords) -> None:
    """Hashing holds up nobody else."""
    hashing = asyncio.create_task(hasher.hash("x"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10


async def test_a_crowd_is_turned_away(hasher: Passwords) -> None:
    """Memory and waiting are bounded: what is too much hears so at once."""
    crowd = [asyncio.create_task(hasher.hash("x")) for _ in range(passwords.WAITING_MAX + 5)]
    await asyncio.sleep(0)
    refused = [task for task in crowd if task.done() and isinstance(task.exception(), Exhausted)]
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)

    assert len(refused) == 5
    assert await hasher.hash("x")
