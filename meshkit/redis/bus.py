"""Wake-ups between the replicas of a service, through Redis pub/sub (ADR 28).

Whoever is in this process is woken at once, as on a `MemoryBus`; the other replicas hear of it by one channel that they
all listen to.  `publish` and `subscribe` never wait for Redis: topics gather in a bounded set, which one task sends in
messages as fast as Redis takes them.  When the set is full, or a message could not be sent, the next one that gets
through says "look at everything".

What is on the wire are keyed digests of topics, so a Redis that others read tells them nothing.  What it tells *us* is
a hint and no more: whatever arrives, the worst is a look at the store.

Each process publishes once a second though it has nothing to say, and must hear itself: so a Redis that is frozen, or a
connection that leads nowhere, is known after three.  From then until it is back every subscriber is woken at an
interval, to look by itself; and once when it is back, since nobody knows what was missed.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import structlog

from meshkit.bus import MemoryBus, Waker
from meshkit.redis import link
from meshkit.redis.link import NoRedis
from meshkit.tasks import background

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

log = structlog.get_logger()

_DIGEST_BYTES = 12
_SENDER_BYTES = 8
_TOPICS_MAX = 4_096
"""Of one message: 48 KiB."""
_GAP_S = 0.005
"""Between two messages of a process: a message costs each replica 0.1 ms, and what gathers meanwhile is one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long what takes, in seconds."""

    beat_s: float = 1.0
    """How often a process says that it is there."""
    silence_s: float = 3.0
    """How long it may not hear itself before Redis counts as lost."""
    poll_s: float = 1.0
    """How often subscribers look by themselves while it is; of more than a thousand, each less often."""
    again_s: float = 0.2
    """How soon Redis is tried again at first, then less and less often."""
    again_max_s: float = 5.0
    patience_s: float = 2.0
    """How long opening waits for Redis before it goes on without."""


class RedisBus:
    """A bus between processes that have the same Redis, secret and service; see `opened`."""

    def __init__(self, client: "Redis", secret: bytes, service: str, timing: Timing) -> None:
        self._client = client
        self._secret = hashlib.blake2b(secret, digest_size=32).digest()
        self._channel = f"agentmesh:{self._digest('channel').hex()}:{service}"
        """Of this mesh only: several may share a Redis."""
        self._me = secrets.token_bytes(_SENDER_BYTES)
        self._timing = timing
        self._local = MemoryBus()
        self._topics: dict[bytes, str] = {}
        self._counts: dict[str, int] = {}
        self._unsent: dict[bytes, None] = {}
        self._all_unsent = False
        self._due = asyncio.Event()
        self._linked: bool | None = None
        self._known = asyncio.Event()
        self._rouse = asyncio.Event()

    @property
    def linked(self) -> bool:
        """Whether other replicas are heard; else subscribers are woken at an interval."""
        return bool(self._linked)

    async def publish(self, *topics: str) -> None:
        """Wake who is here now, and the other replicas soon."""
        await self._local.publish(*topics)
        for topic in topics:
            self._unsent[self._digest(topic)] = None
        if len(self._unsent) > _TOPICS_MAX:
            self._unsent.clear()
            self._all_unsent = True
        self._due.set()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Waker]:
        """Hear the topics for the length of the block."""
        for topic in topics:
            self._counts[topic] = self._counts.get(topic, 0) + 1
            self._topics[self._digest(topic)] = topic
        try:
            async with self._local.subscribe(*topics) as waker:
                yield waker
        finally:
            for topic in topics:
                self._counts[topic] -= 1
                if not self._counts[topic]:
                    del self._counts[topic]
                    del self._topics[self._digest(topic)]

    def close(self) -> None:
        """Wake everybody here for good."""
        self._local.close()

    @contextlib.asynccontextmanager
    async def running(self, stopping: asyncio.Event | None) -> AsyncIterator[None]:
        """Send, hear and poll for the length of the block."""
        async with contextlib.AsyncExitStack() as stack:
            for work, name in ((self._hear(), "bus-hear"), (self._send(), "bus-send"), (self._poll(), "bus-poll")):
                await stack.enter_async_context(background(work, name, stopping))
            try:
                async with asyncio.timeout(self._timing.patience_s):
                    await self._known.wait()
            except TimeoutError:
                self._lose("it does not answer")
            yield

    # -- out -----------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.beat_s):
                    await self._due.wait()
            self._due.clear()
            body, self._unsent = b"".join(self._unsent), {}
            everything, self._all_unsent = self._all_unsent, False
            try:
                call = self._client.publish(self._channel, self._me + bytes([everything]) + body)
                await link.within(self._timing.silence_s, call)
                await asyncio.sleep(_GAP_S)
            except NoRedis:
                self._all_unsent = True
                await asyncio.sleep(self._timing.beat_s)

    # -- in ------------------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Listen; whatever ends that, Redis is lost, and tried again."""
        again_s = self._timing.again_s
        while True:
            pubsub = self._client.pubsub()
            try:
                await link.within(self._timing.silence_s, pubsub.subscribe(self._channel))
                self._due.set()  # we are to hear that
                async for ours in self._messages(pubsub):
                    if ours and not self.linked:
                        again_s = self._timing.again_s
                        self._find()
            except NoRedis as error:
                self._lose(str(error))
            finally:
                with contextlib.suppress(NoRedis):
                    await link.within(self._timing.silence_s, pubsub.aclose())  # type: ignore[no-untyped-call]
            await asyncio.sleep(again_s)
            again_s = min(again_s * 2, self._timing.again_max_s)

    async def _messages(self, pubsub: "PubSub") -> AsyncIterator[bool]:
        """Take messages and wake whom they name; yield of each whether it was our own.  Ends with `NoRedis`."""
        clock = asyncio.get_running_loop().time
        heard_at = clock()
        while (left_s := heard_at + self._timing.silence_s - clock()) > 0:
            message = await link.within(left_s, pubsub.get_message(timeout=None))
            await asyncio.sleep(0)  # what has arrived already is read without a pause: others have their turn, too
            data = message["data"] if message is not None and message["type"] == "message" else None
            if not isinstance(data, bytes) or len(data) <= _SENDER_BYTES:
                continue
            ours = data.startswith(self._me)
            if ours:
                heard_at = clock()
            else:
                await self._wake(data[_SENDER_BYTES], data[_SENDER_BYTES + 1 :])
            yield ours
        raise NoRedis("we do not hear ourselves")

    async def _wake(self, everything: int, digests: bytes) -> None:
        if everything or len(digests) > _TOPICS_MAX * _DIGEST_BYTES:
            self._rouse.set()
            return
        found = (self._topics.get(digest) for digest in _cut(digests))
        await self._local.publish(*(topic for topic in found if topic is not None))

    # -- whether it is there -------------------------------------------------------------------------------------

    def _find(self) -> None:
        if self._linked is False:
            log.info("redis is back: wake-ups come from it again")
        self._linked = True
        self._known.set()
        self._rouse.set()  # nobody knows what was missed

    def _lose(self, why: str) -> None:
        if self._linked is not False:
            log.warning("redis is lost: everybody looks by themselves until it is back", why=why)
        self._linked = False
        self._known.set()
        self._rouse.set()

    async def _poll(self) -> None:
        """Have everybody look when that is due, and at an interval while Redis is lost."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.linked else self._timing.poll_s):
                    await self._rouse.wait()
            self._rouse.clear()
            await self._local.rouse()

    def _digest(self, topic: str) -> bytes:
        return hashlib.blake2b(topic.encode(), digest_size=_DIGEST_BYTES, key=self._secret).digest()


def _cut(digests: bytes) -> Iterator[bytes]:
    for start in range(0, len(digests), _DIGEST_BYTES):
        yield digests[start : start + _DIGEST_BYTES]


@contextlib.asynccontextmanager
async def opened(
    url: str, secret: bytes, service: str, stopping: asyncio.Event | None = None, timing: Timing | None = None
) -> AsyncIterator[RedisBus]:
    """Open the bus of a service for the length of the block; it opens without Redis, too, and finds it later.

    Redis sees neither the secret nor a topic.  Raises `ValueError` if the URL names no Redis.
    """
    client = link.connected(url)
    try:
        bus = RedisBus(client, secret, service, timing or Timing())
        async with bus.running(stopping):
            yield bus
    finally:
        await link.closed(client)
