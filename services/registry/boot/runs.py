"""Boots as they run: one at a time over all replicas, each with a log of facts that its replica lets callers follow."""

import asyncio
import contextlib
import contextvars
import dataclasses
import datetime
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from meshkit.errors import FailedPrecondition, MeshError, Unavailable
from meshkit.turns import ALONE, Turns
from services.registry.domain.facts import BootFailed, Fact, Kind, Operation, kind_of

log = structlog.get_logger()

EVENTS_MAX = 20_000
"""Events of one boot; of a longer one the details are left out, not its steps, warnings or end."""
_INTERNAL = "an internal error; the registry's log has the rest"
_CANCELLED = "it was cancelled"
_TURN, _FORCED = "boot", "boot-forced"
"""Who has the first boots; who has the second wants it to end, wherever it runs."""
_LOOK_S = 0.5
_AGAIN_S = 0.1
_ENDS_S = 1.0
_FORCE_S = 30.0
"""A boot that is cancelled elsewhere has ended by then; so has the turn of a replica that is gone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact in the log of a boot."""

    kind: Kind
    fact: Fact
    at: datetime.datetime


class Run:
    """One boot, refresh or stop, and what happened in it so far.

    Its followers share one list, each with a place in it, so a slow one costs nothing and misses nothing.
    """

    def __init__(self, operation: Operation, now: Callable[[], datetime.datetime]) -> None:
        self.operation = operation
        self.started_at = now()
        self.events: list[Event] = []
        self._now = now
        self._started = time.monotonic()
        self._ended = False
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be said."""
        return self._ended

    def runtime(self) -> datetime.timedelta:
        """Return how long it has run."""
        return datetime.timedelta(seconds=time.monotonic() - self._started)

    def say(self, fact: Fact) -> None:
        """Add a fact and wake the followers.  After the end nothing is added."""
        self._add(kind_of(fact), fact)

    def complete(self, fact: Fact) -> None:
        """Say the last word, and end well."""
        self._add(Kind.COMPLETE, fact)
        self.end()

    def fail(self, message: str, expose: str = "") -> None:
        """Say why it could not be finished, and end.  Does nothing if it has ended already."""
        fact = BootFailed(operation=self.operation, runtime=self.runtime(), message=message, expose=expose)
        self._add(Kind.ERROR, fact)
        self.end()

    def end(self) -> None:
        """Let the followers go."""
        self._ended = True
        self._wake()

    async def follow(self) -> AsyncIterator[Event]:
        """Yield every event from the first to the last, as they come."""
        place = 0
        while True:
            while place < len(self.events):
                yield self.events[place]
                place += 1
            if self._ended:
                return
            await self._news.wait()

    def _add(self, kind: Kind, fact: Fact) -> None:
        if self._ended:
            return
        if kind in (Kind.ACTIVITY, Kind.RESULT) and len(self.events) >= EVENTS_MAX:
            return
        self.events.append(Event(kind=kind, fact=fact, at=self._now()))
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


Work = Callable[[Run], Awaitable[None]]


class Runs:
    """Owns the task of the boot that runs, so that it goes on when its caller hangs up."""

    def __init__(self, now: Callable[[], datetime.datetime], turns: Turns = ALONE) -> None:
        """Make it where no call is being served: boots run in the context of this moment, as the registry itself.

        `turns` say which replica may boot.
        """
        self._now = now
        self._turns = turns
        self._context = contextvars.copy_context()
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.latest: Run | None = None
        """The run of now or, if none runs, the one before; None if there was none."""

    @property
    def running(self) -> Run | None:
        """The run of now."""
        return self.latest if self._task is not None and not self._task.done() else None

    def current(self) -> Run:
        """Return the run of now; raise `FailedPrecondition` if none runs."""
        run = self.running
        if run is None:
            raise FailedPrecondition("no boot runs")
        return run

    async def start(self, operation: Operation, work: Work, *, force: bool) -> Run:
        """Run `work` in the background.

        While another runs, here or at another replica: raises `FailedPrecondition`, or with `force` cancels that one
        and waits for its end first.  Raises `Unavailable` if it cannot be told whether another runs, or it does not
        end.
        """
        async with self._starting:
            if self._closed:
                raise FailedPrecondition("the registry is shutting down: try again on the next one")
            if self.running is not None and not self.running.ended:
                if not force:
                    raise _running()
                await self._cancel()
            elif self._task is not None:  # it has said its last word, and gives its turn back
                await asyncio.wait([self._task])
            if force:
                await self._cancel_elsewhere()
            elif not await self._taken_soon():
                raise _running()
            run = self.latest = Run(operation, self._now)
            name = operation.name.lower()
            driven = self._turns.keep(_TURN, lambda: self._drive(run, work))
            self._task = asyncio.create_task(driven, name=name, context=self._context.copy())
            self._task.add_done_callback(lambda _: run.fail(_CANCELLED))  # for one that is cancelled before it begins
            return run

    async def close(self) -> None:
        """Cancel what runs; its followers get its last event."""
        async with self._starting:
            self._closed = True
            await self._cancel()

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _taken_soon(self) -> bool:
        """Take the turn; one whose boot has just said its last word is given back at this moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _ENDS_S
        while True:
            if await self._turns.take(_TURN):
                return True
            if loop.time() >= until:
                return False
            await asyncio.sleep(_AGAIN_S)

    async def _cancel_elsewhere(self) -> None:
        """Have another replica cancel its boot, and take the turn.  Raises `FailedPrecondition` and `Unavailable`."""
        if await self._turns.take(_TURN):
            return
        try:
            async with asyncio.timeout(_FORCE_S):
                while await self._turns.take(_FORCED):
                    if await self._turns.take(_TURN):
                        return
                    await asyncio.sleep(_AGAIN_S)
            raise FailedPrecondition("somebody else forces a boot at this moment")
        except TimeoutError:
            raise Unavailable("the boot that runs does not end: try again") from None
        finally:
            await self._turns.give_back(_FORCED)

    async def _look(self, driving: "asyncio.Task[None]") -> None:
        """Cancel what runs when another replica forces a boot."""
        while True:
            await asyncio.sleep(_LOOK_S)
            with contextlib.suppress(Unavailable):
                if await self._turns.taken(_FORCED):
                    driving.cancel()
                    return

    async def _drive(self, run: Run, work: Work) -> None:
        driving = asyncio.current_task()
        assert driving is not None
        looking = asyncio.create_task(self._look(driving), name="boot-forced") if self._turns.shared else None
        try:
            await work(run)
        except asyncio.CancelledError:
            run.fail(_CANCELLED)
            raise
        except MeshError as error:
            run.fail(str(error))
        except ExceptionGroup as errors:  # of several apps at once
            refused, rest = errors.split(MeshError)
            if rest is not None:
                log.error("unhandled", run=run.operation.name.lower(), exc_info=rest)
            run.fail(_INTERNAL if refused is None else str(_first(refused)))
        except Exception:
            log.exception("unhandled", run=run.operation.name.lower())
            run.fail(_INTERNAL)
        finally:
            if looking is not None:
                looking.cancel()
            run.end()
            kind = run.events[-1].kind.name.lower() if run.events else ""
            runtime_s = round(run.runtime().total_seconds(), 3)
            log.info("run ended", run=run.operation.name.lower(), runtime_s=runtime_s, kind=kind)


def _running() -> FailedPrecondition:
    return FailedPrecondition("a boot runs already: wait for its end, or force a new one")


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
