"""Sees that the loop of a worker goes on: a thread that asks it for an answer, and says where it is if none comes."""

import asyncio
import selectors
import sys
import threading
import time
import types
from typing import Protocol

BLOCKED_S = 1.0
"""How long one callback may take before it is called blocked."""
_LOOK_S = 0.25
_LOOKS = round(BLOCKED_S / _LOOK_S)

_RUN_ONCE = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]


class Watched(Protocol):
    """Hears of a blocked loop, from the watchdog's thread."""

    def blocked(self, frame: types.FrameType, for_s: float) -> None:
        """The loop is at `frame`, and has been for about `for_s`."""

    def still_blocked(self) -> None:
        """It is still blocked; called a few times a second."""

    def unblocked(self, for_s: float) -> None:
        """It goes on, after about `for_s`."""


class Watchdog:
    """Watches `loop`, which runs in the thread that makes this."""

    def __init__(self, loop: asyncio.AbstractEventLoop, watched: Watched) -> None:
        self._loop = loop
        self._watched = watched
        self._thread_id = threading.get_ident()
        self._busy = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def set_busy(self, busy: bool) -> None:
        """Say whether there is anything to watch; otherwise the thread sleeps."""
        if busy:
            self._busy.set()
        else:
            self._busy.clear()

    def _watch(self) -> None:
        while True:
            self._busy.wait()
            time.sleep(_LOOK_S)
            if not self._is_waiting():
                self._ask()

    def _is_waiting(self) -> bool:
        """Return whether the loop waits for events; then it need not be woken to see that it is well."""
        frame = sys._current_frames().get(self._thread_id)
        inner = frame
        while frame is not None and frame.f_globals.get("__name__") == selectors.__name__:
            frame = frame.f_back
        return frame is not inner and frame is not None and frame.f_code is _RUN_ONCE

    def _ask(self) -> None:
        answered = threading.Event()
        asked_at = time.monotonic()
        self._loop.call_soon_threadsafe(answered.set)
        # Counted in looks and not in seconds: the whole process may have stood still.
        if any(answered.wait(_LOOK_S) for _ in range(_LOOKS)):
            return
        frame = sys._current_frames().get(self._thread_id)
        if frame is not None:
            self._watched.blocked(frame, time.monotonic() - asked_at)
        del frame
        while not answered.wait(_LOOK_S):
            self._watched.still_blocked()
        self._watched.unblocked(time.monotonic() - asked_at)
