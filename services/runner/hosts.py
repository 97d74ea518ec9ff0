"""Hosts that are attached: what they hold, what they are told, what they answer."""

import asyncio
import collections
import dataclasses
import itertools
import time

from mesh.runner.v1 import host_pb2

from meshkit.errors import DeadlineExceeded, Internal, Unavailable

_CALL_MARGIN_S = 3.0
# Calls one app may have in flight; its handler is one process.
_CALLS_MAX = 256


class Link:
    """The runner's end of one host: an outbox for its stream, and the calls it has not answered.

    A link outlives its streams: while a host reconnects, work waits in the outbox.
    """

    def __init__(self, host_id: str, expose: str, capacity: int) -> None:
        self.host_id = host_id
        self.expose = expose
        self.capacity = capacity
        self.jobs: set[str] = set()
        """Ids of jobs that it has been told to run."""
        self.leasing: set[str] = set()
        """Ids of jobs whose lease to it is being written."""
        self.waiting: collections.deque[str] = collections.deque()
        """Ids of jobs that wait for it, oldest first."""
        self.seen_at = time.monotonic()
        self.attached = False
        self.started = False
        """Whether its placement has been told to start it."""
        self.loaded: asyncio.Future[host_pb2.Loaded] = asyncio.get_running_loop().create_future()
        self.generation = 0
        """Counts streams; a stream that is not the newest has been replaced."""
        self._outbox: list[host_pb2.RunnerMessage] = []
        self._wake = asyncio.Event()
        self._calls: dict[int, asyncio.Future[host_pb2.CallResult]] = {}
        self._numbers = itertools.count(1)

    @property
    def has_room(self) -> bool:
        """Whether it may take another job now."""
        return len(self.jobs) + len(self.leasing) < self.capacity

    def post(self, message: host_pb2.RunnerMessage) -> None:
        """Tell the host something."""
        self._outbox.append(message)
        self._wake.set()

    async def outgoing(self) -> list[host_pb2.RunnerMessage]:
        """Wait for messages to send, and take them."""
        while not self._outbox:
            self._wake.clear()
            await self._wake.wait()
        messages, self._outbox = self._outbox, []
        return messages

    def drop_runs(self) -> None:
        """Forget Runs and Calls that were not sent: a new stream is told again what it shall do."""
        self._outbox = [m for m in self._outbox if m.WhichOneof("message") not in ("run", "call")]

    async def call(self, call: host_pb2.Call) -> host_pb2.CallResult:
        """Send a request to the app and return its answer.

        Raises `Unavailable` if the host is not attached or goes away, `DeadlineExceeded` if the app takes too long, and
        `Internal` with the reason if the app could not answer.
        """
        if not self.attached:
            raise Unavailable(f"the app of {self.expose} is restarting: try again", resource=f"apps/{self.expose}")
        if len(self._calls) >= _CALLS_MAX:
            raise Unavailable(f"the app of {self.expose} is busy: try again", resource=f"apps/{self.expose}")
        call.call_id = next(self._numbers)
        future = self._calls[call.call_id] = asyncio.get_running_loop().create_future()
        self.post(host_pb2.RunnerMessage(call=call))
        try:
            async with asyncio.timeout(call.timeout_s + _CALL_MARGIN_S):
                result: host_pb2.CallResult = await future
        except TimeoutError:
            raise DeadlineExceeded(f"the app of {self.expose} did not answer within {call.timeout_s:g} s") from None
        finally:
            self._calls.pop(call.call_id, None)
        if not result.status:
            if result.error.startswith("no answer within"):
                raise DeadlineExceeded(f"the app of {self.expose} gave {result.error}")
            raise Internal(result.error)
        return result

    def answer(self, result: host_pb2.CallResult) -> None:
        """Hand an answer to whoever waits for it; a late one is dropped."""
        future = self._calls.get(result.call_id)
        if future is not None and not future.done():
            future.set_result(result)

    def detach(self) -> None:
        """Its stream has ended: calls fail, since their answers may be lost."""
        self.attached = False
        self.seen_at = time.monotonic()
        for future in self._calls.values():
            if not future.done():
                future.set_exception(Unavailable(f"the app of {self.expose} went away while it was asked: try again"))


@dataclasses.dataclass(slots=True)
class Hosts:
    """Every host the runner knows, and which of them serves an expose."""

    links: dict[str, Link] = dataclasses.field(default_factory=dict)
    """By host id."""
    serving: dict[str, Link] = dataclasses.field(default_factory=dict)
    """By expose: the one that gets new work."""

    def serving_link(self, expose: str) -> Link:
        """Return the host that serves `expose`, or raise `Unavailable`."""
        link = self.serving.get(expose)
        if link is None:
            raise Unavailable(
                f"no app runs for {expose}: boot it first, or look at its state", resource=f"apps/{expose}"
            )
        return link

    def remove(self, host_id: str) -> Link | None:
        """Forget a host."""
        link = self.links.pop(host_id, None)
        if link is not None:
            link.detach()
            if self.serving.get(link.expose) is link:
                del self.serving[link.expose]
        return link
