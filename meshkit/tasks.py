"""Tasks that live as long as their service.

A task that nobody owns may be collected half-way and dies unseen.  `background` owns one that must not end by itself;
`Tasks` owns any number of those that do.  `Apart` keeps an error of one row of a table from ending work on the others.
`OneAtATime` keeps two from working on the same thing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator
from typing import Any, TypeVar

import structlog

from meshkit.errors import MeshError, Unavailable
from meshkit.interceptors.deadlines import unbound_context

T = TypeVar("T")
log = structlog.get_logger()
_AGAIN_S = 1.0
_KNOWN_MAX = 1000
_CANCEL_S = 5.0
"""How long a task may take to notice that it is cancelled; longer is a fault of its own, and is logged."""


@contextlib.asynccontextmanager
async def background(
    work: Coroutine[Any, Any, None], name: str, stopping: asyncio.Event | None = None
) -> AsyncIterator[None]:
    """Run work that does not end by itself beside the block, and cancel it behind.

    If it crashes it is logged and `stopping` is set: a service that has lost a part of itself ends, and is started
    again.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(lambda done: _note_crash(done, stopping))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])  # what it may have raised has been logged


async def lasting(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run work that does not end by itself, and begin it anew whenever what it stands on is `Unavailable` for a while.

    For work that reads from its store where it has to begin: a full disk must not end a service that still answers.
    """
    while True:
        try:
            await work()
            return
        except Unavailable as error:
            log.debug("begins anew", work=getattr(work, "__qualname__", ""), why=str(error))
        await asyncio.sleep(_AGAIN_S)


class Apart:
    """Lets an error that is about one of the rows that work goes through be that row's only.

        for job_id in due:
            with apart(job_id):
                await end(job_id)
        await waker.wait(max(wait_s, apart.pause_s()))

    It is logged once for each row.  `Unavailable` is about no row, and comes out.
    """

    def __init__(self, work: str) -> None:
        self._work = work
        self._known: dict[str, None] = {}
        """Rows that have failed, the last at the end."""
        self._is_paused = False

    @contextlib.contextmanager
    def __call__(self, row: str) -> Iterator[None]:
        """Work on a row for the length of the block."""
        try:
            yield
        except Unavailable:
            raise
        except Exception:
            self._is_paused = True
            if row not in self._known:
                log.exception("a row cannot be worked on: the others go on", work=self._work, row=row)
            self._known[row] = None
            if len(self._known) > _KNOWN_MAX:
                del self._known[next(iter(self._known))]
        else:
            self._known.pop(row, None)

    def pause_s(self) -> float:
        """Return how long to wait at least before rows are looked for: 0, unless one has failed since the last time.

        It would be found again at once.
        """
        paused, self._is_paused = self._is_paused, False
        return _AGAIN_S if paused else 0.0


class OneAtATime:
    """Lets work on the same thing in once at a time, in this process: whoever waits finds what the first has done."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}
        """Each with how many hold it or want to."""

    @contextlib.asynccontextmanager
    async def __call__(self, key: Hashable) -> AsyncIterator[None]:
        """Have what `key` stands for to oneself for the length of the block."""
        lock, count = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, count + 1)
        try:
            async with lock:
                yield
        finally:
            lock, count = self._locks[key]
            if count == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, count - 1)


class Tasks:
    """Owns tasks that begin and end while their service runs.  One that crashes is logged.

    A task keeps the caller (`meshkit.principal.caller`) of the moment it was begun, but not that caller's deadline.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __contains__(self, name: str) -> bool:
        """Return whether a task of this name runs."""
        return any(task.get_name() == name for task in self._running)

    def __len__(self) -> int:
        """Return how many run."""
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        """Begin `work` now; it is ours until it ends."""
        task = self._begin(work, name)
        task.add_done_callback(_note_crash)
        return task

    async def complete(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Await work that goes on to its end though its caller is cancelled; what it raises is the caller's to see.

        For steps that must not stop half-way: what is stored must also be announced.
        """
        task = self._begin(work, name)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_note_unheard)
            raise

    async def settle(self) -> None:
        """Wait until none runs."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def close(self, patience_s: float = 1.0) -> None:
        """Wait a moment for what was begun, then cancel the rest; what is begun after this is cancelled at once."""
        self._closed = True
        if self._running and patience_s > 0:
            await asyncio.wait(set(self._running), timeout=patience_s)
        for task in self._running:
            task.cancel()
        if self._running:
            _, stuck = await asyncio.wait(set(self._running), timeout=_CANCEL_S)
            for task in stuck:
                log.error("task does not end", task=task.get_name())

    def _begin(self, work: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(work, name=name, context=unbound_context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if self._closed:
            task.cancel()
        return task


def _note_unheard(task: "asyncio.Task[Any]") -> None:
    """Note what became of work whose caller has gone: a refusal is nobody's any more, a crash is ours."""
    if not task.cancelled() and not isinstance(task.exception(), MeshError):
        _note_crash(task)


def _note_crash(task: "asyncio.Task[Any]", stopping: asyncio.Event | None = None) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("task crashed", task=task.get_name(), exc_info=error)
        if stopping is not None:
            stopping.set()
