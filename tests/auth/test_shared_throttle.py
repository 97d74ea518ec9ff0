"""Replicas of the auth service count failed attempts together, and alone while Redis is gone."""

import contextlib
from collections.abc import Iterator, Sequence

import grpc
import pytest

from meshkit.errors import Exhausted
from meshkit.redis.link import Link, connected
from services.auth import throttle
from services.auth.shared_throttle import SharedThrottle
from services.auth.throttle import Throttle
from tests.auth.helpers import auth_mesh
from tests.meshkit.redis_server import PATIENT_S, RedisServer, running_redis

HERE, THERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis."""
    with running_redis() as server:
        yield server


def linked(server: RedisServer, secret: bytes = b"s") -> contextlib.AbstractAsyncContextManager[Link]:
    """Link to it, with patience: on a busy machine the product's has an end now and then."""
    return Link.to(server.url, secret, deadline_s=PATIENT_S)


async def waits(guard: SharedThrottle, name: str, address: str = HERE) -> bool:
    """Return whether `name` has to wait at an address."""
    wait_s = 0.0
    try:
        await guard.check(name, address)
    except Exhausted as error:
        wait_s = error.retry_after_s
    assert 0 <= wait_s <= throttle.WAIT_MAX_S
    return wait_s > 0


async def test_failures_count_whichever_replica_sees_them(server: RedisServer) -> None:
    """For the pair of name and address; a success at any clears them everywhere but where they were."""
    async with linked(server) as one, linked(server) as two, linked(server, b"t") as three:
        left, right = SharedThrottle(Throttle(), one), SharedThrottle(Throttle(), two)
        for number in range(throttle.FREE_FAILURES + 4):
            await (left, right)[number % 2].failed("ada", HERE)

        assert await waits(left, "ada")
        assert await waits(right, "ada")
        assert not await waits(right, "ada", THERE)
        assert not await waits(right, "bea")
        assert not await waits(SharedThrottle(Throttle(), three), "ada"), "another mesh"
        await right.succeeded("ada", HERE)
        assert not await waits(SharedThrottle(Throttle(), one), "ada")


async def test_a_name_that_is_guessed_everywhere_is_hot_everywhere(server: RedisServer) -> None:
    """Then an address has one attempt, at all replicas together."""
    async with linked(server) as one, linked(server) as two:
        left, right = SharedThrottle(Throttle(), one), SharedThrottle(Throttle(), two)
        for number in range(throttle.HOT_FAILURES):
            await left.failed("ada", f"192.0.2.{number}")

        assert not await waits(right, "ada", THERE)
        for _ in range(3):
            await right.failed("ada", THERE)
        assert await waits(left, "ada", THERE)


async def test_without_redis_each_counts_alone(server: RedisServer) -> None:
    """Nobody has more attempts at a replica than without any, and nobody waits for Redis."""
    async with linked(server) as one:
        guard = SharedThrottle(Throttle(lambda: 0.0), one)
        server.stop()
        assert not await waits(guard, "ada")
        for _ in range(throttle.FREE_FAILURES):
            await guard.failed("ada", HERE)

        assert await waits(guard, "ada")
        server.start()
        assert await waits(guard, "ada")


class Saying(Link):
    """A link to a Redis that says something else."""

    def __init__(self, answer: object) -> None:
        super().__init__(connected("redis://nowhere"), b"s")
        self._answer = answer

    async def run(self, script: str, keys: Sequence[str], *arguments: float | str) -> object:
        """Say it."""
        return self._answer


@pytest.mark.parametrize("answer", [b"x", None, [1], [1, 2, b"x"], [[], {}, 0], {}])
async def test_nonsense_lets_through_what_this_replica_does(answer: object) -> None:
    """Redis is not trusted."""
    guard = SharedThrottle(Throttle(lambda: 0.0), Saying(answer))
    assert not await waits(guard, "ada")
    for _ in range(throttle.FREE_FAILURES):
        await guard.failed("ada", HERE)

    assert await waits(guard, "ada")


async def test_no_wait_is_longer_than_the_longest() -> None:
    """Whatever Redis says."""
    assert await waits(SharedThrottle(Throttle(), Saying([10**9, -(10**12), 10**9])), "ada")


async def test_two_auth_services_are_one_for_who_guesses(
    server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Through their doors."""
    folder = tmp_path_factory.mktemp("auth")
    async with auth_mesh(folder, redis_url=server.url) as one, auth_mesh(folder, redis_url=server.url) as two:
        codes = []
        for number in range(4 * throttle.FREE_FAILURES):
            try:
                await (one, two)[number % 2].sign_in(password=f"guess-{number}")
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())

    refused = codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refused >= 2 * throttle.FREE_FAILURES, codes
