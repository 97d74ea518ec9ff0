"""What a flow forks: a copy of a process of ours that has one of its threads, and is nobody's job.

Nobody keeps an author, or a library, from calling `os.fork`, and a copy comes back to where the call was made like the
original: to an event loop, or to a thread of a pool.  There it must not go on.  What waits on the loop is the
original's to do, and other jobs'; the loop's pipe and epoll set are the same as the original's, so what the copy takes
out of them the original never sees; the locks that other threads held at the fork nobody ever releases.

A fork in which code of the author goes on, as those of `multiprocessing` do, is left alone.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import selectors
import sys
import traceback
from collections.abc import Callable
from typing import Any


def end_at_loop(loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> None:
    """Have `end` called when this thread comes back to `loop`, ahead of all that waits there; call it in a fork."""
    handle = asyncio.Handle(end, (), loop)
    ready = getattr(loop, "_ready", None)
    if ready is None:  # a loop that is not asyncio's own: as soon as it can be
        loop.call_soon(end)
    else:
        ready.appendleft(handle)


def part_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Let what goes on on `loop` in a fork take nothing from the original; call it in the fork.

    Loops that are not asyncio's own see to that themselves.
    """
    own: Any = loop
    if loop.is_closed() or not isinstance(getattr(own, "_selector", None), selectors.BaseSelector):
        return
    inherited, own._selector = own._selector, selectors.DefaultSelector()
    for end in (own._ssock, own._csock):
        end.close()
    own._internal_fds -= 1
    own._make_self_pipe()
    with contextlib.suppress(OSError):
        inherited.close()


def call_once(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call what an author wrote, in a thread of a pool; a fork in which it returns or raises as well ends here."""
    pid = os.getpid()
    try:
        return call(*args, **kwargs)
    finally:
        if os.getpid() != pid:
            if sys.exc_info()[0] is not None:
                traceback.print_exc()
            os._exit(0)


class Pool(concurrent.futures.ThreadPoolExecutor):
    """The threads of a loop on which code of authors runs."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[Any]":
        """As of an executor."""
        return super().submit(call_once, fn, *args, **kwargs)
