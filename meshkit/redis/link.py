"""One Redis, as something that may be slow, gone or hostile at any moment.

Every call has a deadline, what it may answer is bounded in bytes, and nothing is tried again in here: who calls knows
what to do without an answer.  After a failure calls fail at once for a moment, so that a Redis that is silent costs a
caller its deadline once and not each time.  The URL may hold a password: it is never logged, nor part of an error.
"""

import asyncio
import contextlib
import hashlib
import os
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redis.asyncio import Redis

ANSWER_BYTES_MAX = 256 * 1024
"""Of one answer; one that claims to be longer is not read, and its connection is given up."""
DEADLINE_S = 0.5
"""Of a call: a Redis beside us answers in a millisecond."""
_REST_S = 1.0
"""How long nothing is asked after a failure."""
_CONNECTIONS_MAX = 16
_SCHEMES = ("redis", "rediss", "unix")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""In the query of a URL, as redis-py has it: whom to trust beside the system's CAs, and what we show."""

T = TypeVar("T")


class NoRedis(Exception):
    """Redis did not answer in time, or not as it should; `str` says how, and holds no part of the URL."""


def check(url: str) -> str:
    """Return why a URL names no Redis; empty if it does."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "unix" else parts.hostname):
        return "must look like redis://HOST:PORT/0, rediss://… for TLS, or unix:///PATH"
    said = urllib.parse.parse_qs(parts.query)
    for name in _FILES:  # else whoever connects would fail again and again, and could only say that a file is missing
        for path in said.get(name, ()):
            if parts.scheme != "rediss":
                return f"{name} is for rediss://…, and this is not TLS"
            if not os.access(path, os.R_OK):
                return f"{name} names a file that cannot be read: {path}"
    return ""


def connected(url: str, connections_max: int = _CONNECTIONS_MAX) -> "Redis":
    """Return a client that has not connected yet; close it with `aclose`.  Its answers are bytes.

    Raises `ValueError`, without the URL, if redis-py cannot make anything of it.
    """
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        return redis.asyncio.Redis.from_url(
            url,
            protocol=2,  # the parser below is of it, and nothing here needs more
            parser_class=_bounded_parser(),
            socket_timeout=None,  # ours is around each call, connecting included
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            max_connections=connections_max,
            driver_info=None,
        )
    except Exception:
        raise ValueError("redis-py does not understand it") from None


class Link:
    """Asks one Redis."""

    def __init__(
        self,
        client: "Redis",
        secret: bytes,
        *,
        deadline_s: float = DEADLINE_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._mesh = self._digest("keys")
        self._now = now
        self._rests_until = -1.0

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, url: str, secret: bytes, *, deadline_s: float = DEADLINE_S) -> AsyncIterator["Link"]:
        """Keep a link to a Redis for the length of the block; it connects when it is used.

        Of `secret` it sees nothing; meshes with different ones share no key.  A call takes at most `deadline_s`.
        """
        client = connected(url)
        try:
            yield cls(client, secret, deadline_s=deadline_s)
        finally:
            await closed(client)

    def key(self, kind: str, *of: str) -> str:
        """Return the key of something: of one length however long its names are, which cannot be read off it.

        All keys of a mesh are on one node of a cluster, so that a script may take several.
        """
        return f"agentmesh:{{{self._mesh}}}:{kind}:{self._digest(kind, *of)}"

    def _digest(self, *texts: str) -> str:
        return hashlib.blake2b("\0".join(texts).encode(), digest_size=16, key=self._secret).hexdigest()

    async def run(self, script: str, keys: Sequence[str], *arguments: float | str) -> Any:
        """Run a Lua script.  Raises `NoRedis`."""
        return await self._asked(lambda: self._client.eval(script, len(keys), *keys, *arguments))

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._now() < self._rests_until:
            raise NoRedis("it did not answer a moment ago")
        try:
            return await within(self._deadline_s, call())
        except NoRedis:
            self._rests_until = self._now() + _REST_S
            raise


async def within(deadline_s: float, call: Awaitable[T]) -> T:
    """Return what a call of redis-py does.  Raises `NoRedis`, also for what only a hostile Redis can cause."""
    try:
        async with asyncio.timeout(deadline_s):
            return await call
    except TimeoutError:
        raise NoRedis(f"no answer within {deadline_s:g} s") from None
    except Exception as error:  # RedisError, OSError, ssl.SSLError, and whatever its parser stumbles on
        raise NoRedis(_kind(error)) from None


def _kind(error: BaseException) -> str:
    """Return what an error is at its bottom: redis-py makes one of its own of whatever the connection says."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return type(error).__name__


async def closed(client: "Redis") -> None:
    """Close a client, waiting a moment at most."""
    with contextlib.suppress(NoRedis):
        await within(DEADLINE_S, client.aclose())


def _bounded_parser() -> type:
    """Return redis-py's parser with an end to what it takes in; redis-py has no setting for that."""
    from redis._parsers import _AsyncRESP2Parser

    class Bounded(_AsyncRESP2Parser):
        __slots__ = ("_left",)

        async def read_response(self, disable_decoding: bool = False) -> Any:
            self._left = ANSWER_BYTES_MAX
            return await super().read_response(disable_decoding=disable_decoding)

        async def _read(self, length: int) -> bytes:
            self._spend(length)
            return bytes(await super()._read(length))

        async def _readline(self) -> bytes:
            line = bytes(await super()._readline())
            self._spend(len(line) + 2)
            return line

        def _spend(self, count: int) -> None:
            self._left -= count
            if count < 0 or self._left < 0:
                from redis.exceptions import ConnectionError as Lost

                raise Lost("its answer is too long")

    return Bounded
