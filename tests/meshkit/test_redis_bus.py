"""A bus whose Redis fails in every way that it can: nobody waits for it, everybody looks, and it comes back."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis.asyncio
import structlog

from meshkit.bus import Bus
from meshkit.redis import bus as redis_bus
from meshkit.redis import link as redis_link
from meshkit.redis.bus import RedisBus, Timing
from tests.meshkit.redis_server import PATIENT_S, RedisServer, running_redis
from tests.pems import Authority
from tests.ports import free_port

SOON_S = 60.0
QUICK = Timing(beat_s=0.05, silence_s=20.0, poll_s=0.05, again_s=0.05, again_max_s=0.1, patience_s=30.0)
"""What is gone is known at once by its connections; silence only where a test is about it."""
EAR = Timing(beat_s=0.05, silence_s=1.0, poll_s=0.05, again_s=0.05, again_max_s=0.1, patience_s=30.0)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that a test may harm."""
    with running_redis() as server:
        yield server


@pytest_asyncio.fixture
async def replicas(server: RedisServer) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    """Two replicas on it."""
    async with opened(server) as one, opened(server) as two:
        yield one, two


def opened(
    server: RedisServer, timing: Timing = QUICK, secret: bytes = b"s"
) -> contextlib.AbstractAsyncContextManager[RedisBus]:
    """Open a replica's bus."""
    return redis_bus.opened(server.url, secret, "test", timing=timing)


async def until_linked(*buses: Bus, linked: bool = True) -> None:
    """Wait until all know that Redis is there, or that it is not."""
    async with asyncio.timeout(SOON_S):
        while True:
            if all(bus.linked == linked for bus in buses):
                return
            await asyncio.sleep(0.01)


async def test_without_redis_everybody_looks_again_and_again(
    server: RedisServer, replicas: tuple[RedisBus, RedisBus]
) -> None:
    """Though nobody publishes; and who publishes is not held up, and wakes who is in the same process at once."""
    one, two = replicas
    async with two.subscribe("jobs/1") as waker, one.subscribe("jobs/2") as near:
        server.stop()
        await until_linked(one, two, linked=False)
        for _ in range(3):
            assert await waker.wait(SOON_S)

        async with asyncio.timeout(SOON_S):
            for number in range(20_000):
                await one.publish(f"jobs/{number}")
        assert await near.wait(0)


async def test_a_redis_that_is_back_is_found_and_everybody_looks(
    server: RedisServer, replicas: tuple[RedisBus, RedisBus]
) -> None:
    """Also at what was published meanwhile; then messages come as before."""
    one, two = replicas
    with structlog.testing.capture_logs() as logs:
        async with two.subscribe("jobs/1") as waker:
            server.stop()
            await until_linked(one, two, linked=False)
            await one.publish("jobs/1")
            assert await waker.wait(SOON_S)
            server.start()
            await until_linked(one, two)

        async with two.subscribe("jobs/3") as waker:
            async with asyncio.timeout(SOON_S):
                while await waker.wait(1.0):  # the look of everybody, of each who came back
                    pass
            await one.publish("jobs/3")
            assert await waker.wait(SOON_S)

    assert ["warning"] * 2 == [line["log_level"] for line in logs if "is lost" in line["event"]], "one line of each"
    assert ["info"] * 2 == [line["log_level"] for line in logs if line["event"].startswith("redis is back")]


async def test_a_frozen_redis_is_noticed(server: RedisServer) -> None:
    """Its connections stay open, and nothing comes."""
    async with opened(server, EAR) as bus, bus.subscribe("jobs/1") as waker:
        server.freeze()
        try:
            await until_linked(bus, linked=False)
            assert await waker.wait(SOON_S)
            async with asyncio.timeout(SOON_S):
                await bus.publish("jobs/2")
        finally:
            server.thaw()
        await until_linked(bus)


async def test_it_opens_without_redis_and_finds_it_later(server: RedisServer) -> None:
    """A service starts all the same."""
    server.stop()
    async with opened(server) as bus, bus.subscribe("jobs/1") as waker:
        assert not bus.linked
        assert await waker.wait(SOON_S)

        server.start()
        await until_linked(bus)


@pytest.mark.parametrize("silent", [True, False])
async def test_it_opens_though_something_else_answers(silent: bool) -> None:
    """Somebody who says nothing at all, and somebody who is no Redis."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            if not silent:
                writer.write(b"$999999999999\r\n" + b"x" * 100_000)
                await writer.drain()
            await reader.read()
        writer.close()

    stranger = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    timing = Timing(silence_s=0.3, poll_s=0.05, again_s=0.05, patience_s=1.0)
    async with redis_bus.opened(f"redis://127.0.0.1:{port}", b"s", "test", timing=timing) as bus:
        async with bus.subscribe("jobs/1") as waker:
            assert await waker.wait(SOON_S)
        assert not bus.linked
    stranger.close()


async def test_who_writes_nonsense_to_the_channel_breaks_nothing(server: RedisServer) -> None:
    """Neither what is much too long, which is not taken in, nor what is no message of ours."""
    async with opened(server) as one, opened(server) as two, redis.asyncio.Redis.from_url(server.url) as hostile:
        (channel,) = await hostile.pubsub_channels()
        for body in (b"", b"x", b"x" * 8, b"\xff" * 9, b"0123456789", b"x" * redis_link.ANSWER_BYTES_MAX * 4):
            await hostile.publish(channel, body)
        await until_linked(one, two)
        async with two.subscribe("jobs/1") as waker:
            async with asyncio.timeout(SOON_S):
                while not waker.closed:
                    await one.publish("jobs/1")
                    if await waker.wait(0.1):
                        break
        await until_linked(one, two)


async def test_redis_sees_no_topic_and_other_meshes_hear_nothing(server: RedisServer) -> None:
    """What is on the wire says nothing to who has not the mesh's secret."""
    async with (
        opened(server) as one,
        opened(server, secret=b"other") as other,
        redis.asyncio.Redis.from_url(server.url) as reader,
        reader.pubsub() as ear,
    ):
        await ear.psubscribe("*")
        async with other.subscribe("users/ada") as waker:
            while await waker.wait(0.1):  # the look when it had found Redis
                pass
            await one.publish("users/ada")
            seen = b""
            async with asyncio.timeout(SOON_S):
                while len(seen) < 21:  # more than a beat
                    message = await ear.get_message(ignore_subscribe_messages=True, timeout=SOON_S)
                    seen = message["data"] if message is not None else b""
            assert not await waker.wait(0)
    assert b"ada" not in seen


async def test_more_topics_than_a_message_holds_are_everything(replicas: tuple[RedisBus, RedisBus]) -> None:
    """What gathers is bounded, and nobody is forgotten."""
    one, two = replicas
    async with two.subscribe("jobs/1") as first, two.subscribe("unheard") as last:
        for number in range(10_000):
            await one.publish(f"jobs/{number}")  # without a pause in which it could be sent

        assert await first.wait(SOON_S)
        assert await last.wait(SOON_S)


async def test_a_password_is_in_no_log_and_no_error() -> None:
    """Neither when it is right, nor when it is wrong, nor when the URL is."""
    with running_redis("--requirepass", "rightword") as server, structlog.testing.capture_logs() as logs:
        right, wrong = (f"unix://:{word}@{server.socket}" for word in ("rightword", "wrongword"))
        async with redis_bus.opened(right, b"s", "test", timing=QUICK) as bus:
            assert bus.linked
        async with redis_bus.opened(wrong, b"s", "test", timing=QUICK) as bus:
            assert not bus.linked
    with pytest.raises(ValueError, match="redis-py") as caught:
        redis_link.connected("redis://:rightword@h:1/0?max_connections=no")

    assert logs
    assert "word" not in f"{logs}{caught.value!r}"


async def test_by_tls_it_is_known_who_answers(tmp_path: pathlib.Path) -> None:
    """By a CA that the URL names, and by the name in the certificate; a Redis that is another's is none."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    ours, theirs = Authority(tmp_path), Authority(stranger)
    certificate, key = ours.issue("redis", ["localhost"])
    port = free_port()
    options = ["--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no", "--requirepass", "word"]
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(ours.pem)]
    with running_redis(*options, *files), structlog.testing.capture_logs() as logs:
        async with (
            tls_bus("localhost", port, ours) as one,
            tls_bus("localhost", port, ours) as other,
            other.subscribe("jobs/1") as waker,
        ):
            assert one.linked
            assert other.linked
            await one.publish("jobs/1")
            assert await waker.wait(SOON_S)
        logs.clear()  # whatever became of the two before
        async with tls_bus("localhost", port, theirs) as bus:
            assert not bus.linked
        async with tls_bus("127.0.0.1", port, ours) as bus:
            assert not bus.linked

    lost = [line["why"] for line in logs if line["event"].startswith("redis is lost")]
    assert {"SSLCertVerificationError"} == set(lost)


def tls_bus(host: str, port: int, authority: Authority) -> contextlib.AbstractAsyncContextManager[RedisBus]:
    """Open a replica's bus that trusts an authority."""
    url = f"rediss://:word@{host}:{port}/0?ssl_ca_certs={authority.pem}"
    assert not redis_link.check(url)
    return redis_bus.opened(url, b"s", "test", timing=QUICK)


def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path) -> None:
    """When settings are read, as who connects could not say which; and one that would change nothing is, too."""
    missing = tmp_path / "ca.pem"
    problem = redis_link.check(f"rediss://:word@h?ssl_ca_certs={missing}")

    assert f"ssl_ca_certs names a file that cannot be read: {missing}" == problem
    assert "not TLS" in redis_link.check(f"redis://h?ssl_ca_certs={missing}")


@pytest.mark.parametrize("url", ["http://h", "redis://", "redis://h:port", "unix://", "h:6379", "redis://h:99999999"])
def test_what_names_no_redis_is_refused(url: str) -> None:
    """When settings are read."""
    assert redis_link.check(url)


@pytest.mark.parametrize("url", ["redis://h", "rediss://u:p@h:1/2", "unix:///run/redis.sock"])
def test_what_names_one_is_taken(url: str) -> None:
    """Plain, by TLS, or by a socket."""
    assert not redis_link.check(url)


async def test_a_link_rests_after_a_failure(server: RedisServer) -> None:
    """A silent Redis costs a caller its deadline once."""
    now = 100.0
    client = redis_link.connected(server.url)
    link = redis_link.Link(client, b"s", deadline_s=PATIENT_S, now=lambda: now)
    try:
        assert 3 == await link.run("return ARGV[1] + #KEYS", ["k"], 2)
        server.stop()
        with pytest.raises(redis_link.NoRedis):
            await link.run("return 1", [])
        server.start()
        with pytest.raises(redis_link.NoRedis, match="a moment ago"):
            await link.run("return 1", [])
        now += 5
        assert 1 == await link.run("return 1", [])
        with pytest.raises(redis_link.NoRedis):
            await link.run("return string.rep('x', 2000000)", [])
    finally:
        await redis_link.closed(client)
