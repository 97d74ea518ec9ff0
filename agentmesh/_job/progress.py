"""How far a job has come: the payload of `progress` events, and how often they are sent.

The payload is plain JSON, `{"done": 3, "total": 10, "percent": 30.0, "text": "reading"}`; what is not known is null.
"""

import json
import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

INTERVAL_S = 0.1
"""Least time between two events."""
TEXT_CHARS_MAX = 1_000

# Colours and cursor movements of terminals.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,6})?) ?%")
# tqdm: ` 30%|███       | 3/10 [00:01<00:02,  3.0it/s]`
_COUNTS = re.compile(r"\| (\d{1,18})/(\d{1,18}) \[")


def payload(done: float, total: float | None = None, text: str = "") -> str:
    """Return the payload for `done` of `total` things.

    Raises `ValueError` for what is no number, or less than nothing.
    """
    for name, value in (("done", done), ("total", total)):
        if value is None and name == "total":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"progress: {name} must be a number that is not negative, got {value!r}")
    percent = round(min(100.0, 100.0 * done / total), 2) if total else None
    return _dumps(done, total, percent, str(text))


def payload_of_line(line: str) -> str:
    """Return the payload for what a progress bar has drawn; empty for a line without anything to see.

    tqdm's percentage and counts are understood, and anybody's percentage.
    """
    text = _ESCAPES.sub("", line).strip()
    if not text:
        return ""
    counts, percent = _COUNTS.search(text), _PERCENT.search(text)
    done, total = (int(counts[1]), int(counts[2])) if counts is not None else (None, None)
    return _dumps(done, total, min(100.0, float(percent[1])) if percent is not None else None, text)


def is_moved_away(line: str) -> bool:
    """Return whether a bar went up a line after it was drawn: one of several bars, which are drawn again and again."""
    return line.rstrip(" ").endswith("\x1b[A")


def _dumps(done: float | None, total: float | None, percent: float | None, text: str) -> str:
    text = text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
    found: dict[str, Any] = {"done": done, "total": total, "percent": percent, "text": text}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


Later = Callable[[float, Callable[[], None]], Any]
"""Calls something after some seconds."""


def in_a_thread(delay_s: float, call: Callable[[], None]) -> None:
    """Be the `Later` of a process without a loop of ours."""
    timer = threading.Timer(delay_s, call)
    timer.name = "progress"
    timer.start()  # no daemon: a process that ends waits for it, and so says its last word


def in_a_daemon(delay_s: float, call: Callable[[], None]) -> None:
    """As `in_a_thread`, of what is not worth waiting for at the end of a process."""
    timer = threading.Timer(delay_s, call)
    timer.daemon = True
    timer.start()


class Throttle:
    """Sends the newest of many, at most every `INTERVAL_S`; the last is always sent, if late.

    `later` calls something after some seconds; a thread does it unless a loop is given.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        *,
        later: Later = in_a_thread,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._later = later
        self._now = now
        self._lock = threading.Lock()
        self._sent_at = -math.inf
        self._waiting = ""
        self._is_timed = False
        _throttles.add(self)

    def forked(self) -> None:
        """Begin anew in a fork: what is kept is the parent's to send, and its lock may be held by a thread we lack."""
        self._lock = threading.Lock()
        self._sent_at, self._waiting, self._is_timed = -math.inf, "", False

    def say(self, payload: str) -> None:
        """Send, or keep for when it is time."""
        with self._lock:
            left_s = self._sent_at + INTERVAL_S - self._now()
            if left_s > 0:
                self._waiting = payload
                if not self._is_timed:
                    self._is_timed = True
                    self._later(left_s, self._on_time)
                return
            self._sent_at, self._waiting = self._now(), ""
            self._send(payload)  # within the lock: two threads must not overtake each other

    def flush(self) -> None:
        """Send what is kept."""
        with self._lock:
            payload, self._waiting = self._waiting, ""
            if payload:
                self._sent_at = self._now()
                self._send(payload)

    def _on_time(self) -> None:
        with self._lock:
            self._is_timed = False
        try:
            self.flush()
        except Exception:  # the job has ended meanwhile: nobody is left to hear it
            return


_throttles: "weakref.WeakSet[Throttle]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for throttle in list(_throttles):
        throttle.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
