"""Deadlines travel: a call made while serving another ends before its caller gives up on the whole.

The interceptor `Deadlines` notes how long the caller of an incoming RPC waits; `meshkit.client` asks `cut` for the time
that an outgoing unary call may take, which is that less a margin, so that the failure can still be reported.  What
outlives the call it began in is not bound by it: `meshkit.tasks.Tasks` starts its tasks unbound, and the bound of a
call is lifted when the call is over.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Iterator

from meshkit.interceptors.around import AroundInterceptor, Context

MARGIN_S = 0.05
"""What a hop keeps of its caller's time, to report how it went."""


class _Bound:
    """How long the call that is being served may take, by the loop's clock."""

    __slots__ = ("ends_at", "over")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.over = False


_bound: contextvars.ContextVar[_Bound | None] = contextvars.ContextVar("deadline", default=None)


def remaining_s() -> float | None:
    """Return how long the caller of the call that is being served still waits; `None` if nobody sets a limit."""
    bound = _bound.get()
    if bound is None or bound.over:
        return None
    return bound.ends_at - asyncio.get_running_loop().time()


def cut(timeout_s: float) -> float:
    """Return how long an outgoing call may take: `timeout_s`, or less if our own caller waits less; 0 if it is over."""
    left_s = remaining_s()
    return timeout_s if left_s is None else max(0.0, min(timeout_s, left_s - MARGIN_S))


@contextlib.contextmanager
def _set(bound: _Bound | None) -> Iterator[None]:
    reset = _bound.set(bound)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a stream may be closed from another context
            _bound.reset(reset)


def unbound() -> contextlib.AbstractContextManager[None]:
    """Let calls in the block take their own time: what they fetch is not for this caller alone."""
    return _set(None)


def unbound_context() -> contextvars.Context:
    """Return a copy of the current context for a task that no caller waits for."""
    context = contextvars.copy_context()
    context.run(_bound.set, None)
    return context


class Deadlines(AroundInterceptor):
    """Bind what a call does to the time its caller waits."""

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Note the caller's deadline for the length of the call."""
        left_s = context.time_remaining()
        if left_s is None:
            yield
            return
        bound = _Bound(asyncio.get_running_loop().time() + left_s)
        with _set(bound):
            try:
                yield
            finally:
                bound.over = True
