"""Boots as they run: one at a time, each with a log that any number of callers can follow."""

import asyncio
import contextvars
import dataclasses
import datetime
import enum
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from meshkit.errors import FailedPrecondition, MeshError

log = structlog.get_logger()

EVENTS_MAX = 20_000
"""Events of one boot; of a longer one the details are left out, not its steps, warnings or end."""
_CANCELLED = "it was cancelled"


class Kind(enum.Enum):
    """What sort of event it is; the names are those of the contract's `BootEvent.Kind`."""

    STEP_START = enum.auto()
    STEP_END = enum.auto()
    ACTIVITY = enum.auto()
    RESULT = enum.auto()
    INFO = enum.auto()
    WARNING = enum.auto()
    COMPLETE = enum.auto()
    ERROR = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a boot says."""

    kind: Kind
    message: str
    at: datetime.datetime
    step: str = ""
    target: str = ""
    result: str = ""


class Run:
    """One boot, refresh or shutdown, and what it said so far.

    Its followers share one list, each with a place in it, so a slow one costs nothing and misses nothing.
    """

    def __init__(self, title: str, now: Callable[[], datetime.datetime]) -> None:
        """`title` begins the last line: `Boot` for `Boot failed at ...`."""
        self.title = title
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

    def clock(self) -> str:
        """Return the time now as people here write it, in local time as in the seeds: `2025-12-10 08:02:44`."""
        return self._now().astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def runtime(self) -> str:
        """Return how long it has run: `1.2s`."""
        return f"{time.monotonic() - self._started:.1f}s"

    def runtime_from_now(self) -> Callable[[], str]:
        """Return a function that says how long ago this was called: for a boot within a refresh."""
        started = time.monotonic()
        return lambda: f"{time.monotonic() - started:.1f}s"

    def say(self, kind: Kind, message: str, *, step: str = "", target: str = "", result: str = "") -> None:
        """Add an event and wake the followers.  After the end nothing is added."""
        if self._ended:
            return
        detail = kind in (Kind.ACTIVITY, Kind.RESULT)
        if detail and len(self.events) >= EVENTS_MAX:
            return
        self.events.append(Event(kind=kind, message=message, at=self._now(), step=step, target=target, result=result))
        self._wake()

    def complete(self, message: str) -> None:
        """Say the last word, and end well."""
        self.say(Kind.COMPLETE, message)
        self.end()

    def fail(self, reason: str) -> None:
        """Say why it could not be finished, and end.  Does nothing if it has ended already."""
        self.say(Kind.ERROR, f"{self.title} failed at {self.clock()} (runtime: {self.runtime()}): {reason}")
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

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


Work = Callable[[Run], Awaitable[None]]


class Runs:
    """Owns the task of the boot that runs, so that it goes on when its caller hangs up."""

    def __init__(self, now: Callable[[], datetime.datetime]) -> None:
        """Make it where no call is being served: boots run in the context of this moment, as the registry itself."""
        self._now = now
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
            raise FailedPrecondition("No boot in progress")
        return run

    async def start(self, title: str, work: Work, *, force: bool, busy: str) -> Run:
        """Run `work` in the background.

        While another runs: raises `FailedPrecondition` with the text `busy`, or with `force` cancels that one and
        waits for its end first.
        """
        async with self._starting:
            if self._closed:
                raise FailedPrecondition("the registry is shutting down: try again on the next one")
            if self.running is not None:
                if not force:
                    raise FailedPrecondition(busy)
                await self._cancel()
            run = self.latest = Run(title, self._now)
            self._task = asyncio.create_task(self._drive(run, work), name=title, context=self._context.copy())
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

    async def _drive(self, run: Run, work: Work) -> None:
        try:
            await work(run)
        except asyncio.CancelledError:
            run.fail(_CANCELLED)
            raise
        except MeshError as error:
            run.fail(str(error))
        except Exception:
            log.exception("unhandled", run=run.title)
            run.fail("an internal error; the registry's log has the rest")
        finally:
            run.end()
            log.info(
                "run ended", run=run.title, runtime=run.runtime(), last=run.events[-1].message if run.events else ""
            )
