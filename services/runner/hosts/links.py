"""Hosts that are attached: what they hold, what they are told, what they answer."""

import asyncio
import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from agentmesh_protos.runner.v1 import host_pb2

from meshkit.errors import DeadlineExceeded, Unavailable
from services.runner.domain import Isolation, Job
from services.runner.hosts.slots import Capacity, Slots
from services.runner.hosts.talks import Talk

_ANSWER_MARGIN_S = 3.0
# Questions one host may have in flight; its handler is one process.
_QUESTIONS_MAX = 256
# Answers that come in parts may take their time; each may have a quarter of a MiB on its way.
_TALKS_MAX = 256
_STANDING = ("drain", "cancel", "lock_end", "pause", "resume")
"""What a host is told on whatever stream."""


class HostLost(Exception):
    """A host ended before it could say what came of loading its app; the text says how."""


class NotPlaced(HostLost):
    """A host could not be placed at all; the text says why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.detail = detail


class Far(Protocol):
    """Reaches hosts that hang on other replicas (`far`)."""

    def tell(self, host_id: str, message: host_pb2.RunnerMessage) -> None:
        """Tell a host something, if it can be reached now: who hangs a host on anew tells it what it has missed."""

    async def ask(
        self, host_id: str, question: host_pb2.RunnerMessage, timeout_s: float
    ) -> host_pb2.HostMessage | None:
        """Ask a host something; return None if it hangs here by now.  Raises `Unavailable` and `DeadlineExceeded`."""

    def talk(self, host_id: str, call: host_pb2.Call) -> contextlib.AbstractContextManager[Talk]:
        """As `Link.talk`."""


class Link:
    """The runner's end of one host: an outbox for its stream, and the questions it has not answered.

    A link outlives its streams: while a host reconnects, work waits in the outbox.  One of a host that hangs on another
    replica leads there.
    """

    def __init__(self, host_id: str, expose: str, capacity: Capacity | None = None, far: Far | None = None) -> None:
        """Without a capacity the host only finishes what it runs; `far` is how to reach it if it hangs elsewhere."""
        self._far = far
        self.is_elsewhere = False
        """Whether it hangs on another replica."""
        self.host_id = host_id
        self.expose = expose
        self.slots = Slots(capacity or Capacity())
        self.seen_at = time.monotonic()
        self.attached = False
        self.started = False
        """Whether its placement has been told to start it."""
        self.unplaced = False
        """Whether its placement has said that it cannot be placed."""
        self.loaded: asyncio.Future[host_pb2.Loaded] = asyncio.get_running_loop().create_future()
        """What came of loading the app; `HostLost` if the host ended before it could say."""
        self.prepares: Callable[[str], None] = lambda text: None
        """Is told what the host does before it loads the app."""
        self.generation = 0
        """Counts streams; a stream that is not the newest has been replaced."""
        self._outbox: list[host_pb2.RunnerMessage] = []
        self._wake = asyncio.Event()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._talks: dict[int, Talk] = {}
        self._numbers = itertools.count(1)

    # -- room ----------------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> set[str]:
        """Ids of jobs that it has been told to run."""
        return self.slots.jobs

    def room(self, isolation: Isolation, owner: str | None = None) -> int:
        """How many more jobs of that isolation it may take now, of an owner or of whoever may have most."""
        return self.slots.room(isolation, owner) if self.attached else 0

    # -- what it is told -----------------------------------------------------------------------------------------

    @property
    def questions(self) -> int:
        """How many questions it has not answered."""
        return len(self._asked)

    @property
    def reachable(self) -> bool:
        """Whether it may be asked something."""
        return self.attached or self.is_elsewhere

    def move(self) -> None:
        """Know that it hangs on another replica: what it holds is for that one to know."""
        self.is_elsewhere = True
        self.slots.clear()
        self._outbox = []
        self.generation += 1  # a stream that is left here has been replaced
        self._wake.set()
        if self.attached:
            self.detach()

    def post(self, message: host_pb2.RunnerMessage) -> None:
        """Tell the host something.

        That it may end once it has finished what it runs, it is told behind what it is about to run: else it ends, and
        what was leased to it is lost with it.
        """
        if message.HasField("drain"):
            self.slots.when_settled(functools.partial(self._post, message))
        else:
            self._post(message)

    def _post(self, message: host_pb2.RunnerMessage) -> None:
        if self.is_elsewhere and self._far is not None:
            self._far.tell(self.host_id, message)
            return
        self._outbox.append(message)
        self._wake.set()

    async def outgoing(self, generation: int) -> list[host_pb2.RunnerMessage]:
        """Wait for messages to send on a stream, and take them.  Raises `Unavailable` once a newer stream has begun."""
        while generation == self.generation and not self._outbox:
            self._wake.clear()
            await self._wake.wait()
        if generation != self.generation:
            raise Unavailable("a newer stream of this host has taken the place of this one")
        messages, self._outbox = self._outbox, []
        self._note_sent(messages)
        return messages

    def _note_sent(self, messages: Iterable[host_pb2.RunnerMessage]) -> None:
        for message in messages if self._talks else ():
            if message.HasField("call_part") and (talk := self._talks.get(message.call_part.call_id)) is not None:
                talk.sent(message.call_part.part)

    def attach(self) -> int:
        """Begin a new stream and return its number; the one before ends.

        Runs and questions that were not sent are forgotten: a new stream is told again what it shall do.
        """
        self._note_sent(self._outbox)
        self._outbox = [m for m in self._outbox if m.WhichOneof("message") in _STANDING]
        self.generation += 1
        self._wake.set()
        self._wake = asyncio.Event()
        self.attached, self.seen_at = True, time.monotonic()
        self.is_elsewhere = False
        return self.generation

    # -- questions -----------------------------------------------------------------------------------------------

    async def call(self, call: host_pb2.Call) -> host_pb2.CallResult:
        """Send an HTTP request to the app.  Raises `Unavailable` and `DeadlineExceeded`."""
        if (far := self._elsewhere()) is not None:
            question = host_pb2.RunnerMessage(call=call)
            answer = await far.ask(self.host_id, question, call.timeout_s + _ANSWER_MARGIN_S)
            if answer is not None:
                return answer.call_result
        call.call_id = next(self._numbers)
        result: host_pb2.CallResult = await self._ask(call.call_id, host_pb2.RunnerMessage(call=call), call.timeout_s)
        return result

    @contextlib.contextmanager
    def talk(self, call: host_pb2.Call) -> Iterator[Talk]:
        """Send a request to the app whose answer comes in parts, and listen for the length of the block.

        What an app has not said by its end is not wanted.  Raises `Unavailable`.
        """
        if (far := self._elsewhere()) is not None:
            with far.talk(self.host_id, call) as talk:
                yield talk
            return
        self._check_free(len(self._talks), _TALKS_MAX)
        call.call_id = next(self._numbers)
        talk = self._talks[call.call_id] = Talk(call.call_id, self.post)
        self.post(host_pb2.RunnerMessage(call=call))
        try:
            yield talk
        finally:
            del self._talks[call.call_id]
            talk.hang_up()

    def hear(self, said: host_pb2.CallPart) -> None:
        """Hand a part to whoever listens; one that is late is dropped."""
        if (talk := self._talks.get(said.call_id)) is not None:
            talk.take(said)

    async def ask(self, ask: host_pb2.Ask) -> host_pb2.AskResult:
        """Have a flow's form handler check inputs.  Raises `Unavailable` and `DeadlineExceeded`."""
        if (far := self._elsewhere()) is not None:
            question = host_pb2.RunnerMessage(ask=ask)
            answer = await far.ask(self.host_id, question, ask.timeout_s + _ANSWER_MARGIN_S)
            if answer is not None:
                return answer.ask_result
        ask.ask_id = next(self._numbers)
        result: host_pb2.AskResult = await self._ask(ask.ask_id, host_pb2.RunnerMessage(ask=ask), ask.timeout_s)
        return result

    async def check_lock(self, check: host_pb2.CheckLock) -> host_pb2.LockCheck:
        """Have the app check an answer to a lock.  Raises `Unavailable` and `DeadlineExceeded`."""
        if (far := self._elsewhere()) is not None:
            question = host_pb2.RunnerMessage(check_lock=check)
            answer = await far.ask(self.host_id, question, check.timeout_s + _ANSWER_MARGIN_S)
            if answer is not None:
                return answer.lock_check
        check.check_id = next(self._numbers)
        result: host_pb2.LockCheck = await self._ask(
            check.check_id, host_pb2.RunnerMessage(check_lock=check), check.timeout_s
        )
        return result

    def _elsewhere(self) -> Far | None:
        return self._far if self.is_elsewhere else None

    async def _ask(self, number: int, message: host_pb2.RunnerMessage, timeout_s: float) -> Any:
        what = f"the app of {self.expose}"
        self._check_free(len(self._asked), _QUESTIONS_MAX)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        self.post(message)
        try:
            async with asyncio.timeout(timeout_s + _ANSWER_MARGIN_S):
                result = await future
        except TimeoutError:
            raise DeadlineExceeded(f"{what} did not answer within {timeout_s:g} s") from None
        finally:
            self._asked.pop(number, None)
        if result.timed_out:
            raise DeadlineExceeded(f"{what} gave no answer within {timeout_s:g} s")
        return result

    def _check_free(self, count: int, count_max: int) -> None:
        what = f"the app of {self.expose}"
        if not self.attached:
            raise Unavailable(f"{what} is restarting: try again", resource=f"apps/{self.expose}")
        if count >= count_max:
            raise Unavailable(f"{what} is busy: try again", resource=f"apps/{self.expose}")

    def answer(self, number: int, result: Any) -> None:
        """Hand an answer to whoever waits for it; a late one is dropped."""
        future = self._asked.get(number)
        if future is not None and not future.done():
            future.set_result(result)

    def detach(self) -> None:
        """Its stream has ended: questions fail, since their answers may be lost."""
        self.attached = False
        self.seen_at = time.monotonic()
        gone = f"the app of {self.expose} went away while it was asked: try again"
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Unavailable(gone))
        for talk in self._talks.values():
            talk.take(Unavailable(gone))


@dataclasses.dataclass(slots=True)
class Hosts:
    """Every host the runner knows, and which of them serve an expose."""

    far: Far | None = None
    """How those are reached that hang on other replicas."""
    links: dict[str, Link] = dataclasses.field(default_factory=dict)
    """By host id."""
    serving: dict[str, list[Link]] = dataclasses.field(default_factory=dict)
    """By expose: those that get new work."""

    def add(self, link: Link) -> Link:
        """Know a host."""
        self.links[link.host_id] = link
        return link

    def serve(self, link: Link) -> None:
        """Give a host new work from now on."""
        serving = self.serving.setdefault(link.expose, [])
        if link not in serving:
            serving.append(link)

    def retire(self, link: Link) -> None:
        """Give a host no new work any more; what it runs, it runs on."""
        serving = self.serving.get(link.expose, [])
        if link in serving:
            serving.remove(link)
        if not serving:
            self.serving.pop(link.expose, None)

    def remove(self, host_id: str) -> Link | None:
        """Forget a host."""
        link = self.links.pop(host_id, None)
        if link is not None:
            link.detach()
            self.retire(link)
        return link

    def of(self, expose: str) -> Iterator[Link]:
        """Yield every host of an expose, those that only finish what they run included."""
        return (link for link in list(self.links.values()) if link.expose == expose)

    def roomiest(self, expose: str, isolation: Isolation, owner: str | None = None) -> Link | None:
        """Return the serving host with the most room for such a job, of an owner or of anybody, `None` if none has."""
        link = max(self.serving.get(expose, ()), key=lambda link: link.room(isolation, owner), default=None)
        return link if link is not None and link.room(isolation, owner) > 0 else None

    def asked_least(self, expose: str) -> Link:
        """Return the serving host that has the fewest questions to answer.  Raises `Unavailable` if none serves."""
        serving = self.serving.get(expose)
        if not serving:
            raise Unavailable(
                f"no app runs for {expose}: boot it first, or look at its state", resource=f"apps/{expose}"
            )
        return min(serving, key=lambda link: (not link.reachable, link.is_elsewhere, link.questions))

    def release(self, job: Job) -> None:
        """A job has ended: its host has room again."""
        any(link.slots.release(job.job_id) for link in self.links.values())

    def follow(self, job: Job) -> bool:
        """Know where a job stands; return whether its host has room that it had not before."""
        link = self.links.get(job.host_id)
        return link is not None and link.slots.follow(job)

    def tell(self, job: Job, message: host_pb2.RunnerMessage) -> None:
        """Tell the host that holds a job something; nothing happens if nobody does."""
        link = self.links.get(job.host_id)
        if link is not None:
            link.post(message)
        elif self.far is not None and job.host_id:  # one that we have not heard of yet
            self.far.tell(job.host_id, message)
