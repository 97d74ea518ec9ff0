"""What a job prints becomes events.

Python's own `print` goes through a text stream whose lines are emitted in order with the job's other events.  What
native code and subprocesses write to file descriptors 1 and 2 arrives at the host through pipes.  What a program draws
over and over, with a carriage return, is progress, as in tqdm's bars.

A text that was flushed and waits for the rest of its line is emitted after a moment, so that a question or `working…`
is seen while it is true.
"""

import codecs
import io
import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from agentmesh._job import progress

LINE_CHARS_MAX = 64 * 1024
"""Of one event; a longer line is cut into several."""
PART_S = 0.5
"""How long a part of a line waits for the rest."""

_BREAKS = re.compile(r"(\r\n|\n|\r)")


class LineWriter:
    """Takes text and calls `emit` with each finished line, right-stripped; blank lines are dropped.

    What is drawn over, a text before a carriage return, goes to `drawn` as the payload of a `progress` event, as does
    what was drawn over it; it is a line once a line break ends it.  A part of a line is emitted `PART_S` after it was
    written; `later`, which calls something after some seconds, sees to that, and without one it waits for the end.
    """

    def __init__(
        self,
        emit: Callable[[str], None],
        drawn: progress.Throttle | None = None,
        later: progress.Later | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._emit = emit
        self._drawn = drawn
        self._later = later
        self._now = now
        self._rest = ""
        self._rest_at = 0.0
        """When the first of `_rest` came (by `now`)."""
        self._is_timed = False
        self._is_returned = False
        """Whether the cursor is at the line's beginning: `_rest` is drawn over, unless a line break comes."""
        self._is_over = False
        """Whether `_rest` was drawn over something."""
        self._payload = ""
        """What was drawn last."""
        # A signal handler may print while its own thread does.
        self._lock = threading.RLock()
        _writers.add(self)

    def forked(self) -> None:
        """Begin anew in a fork: what is kept is the parent's to say, and a thread we lack may hold its lock."""
        self._lock = threading.RLock()
        self._rest, self._is_timed, self._is_returned, self._is_over = "", False, False, False

    def write(self, text: str) -> int:
        """Keep `text` up to its last line break for later, and emit the lines before."""
        with self._lock:
            waited = self._rest
            lines, drawn = self._plain(text) if self._is_plain(text) else self._taken(text)
            if len(self._rest) > LINE_CHARS_MAX:  # a job that never breaks its line must not fill our memory
                whole = len(self._rest) // LINE_CHARS_MAX * LINE_CHARS_MAX
                lines.append(self._rest[:whole])
                self._rest = self._rest[whole:]
            if self._rest and (lines or not waited):
                self._rest_at = self._now()
            self._see_to_part()
        for line in lines:
            self._say(line)
        if drawn and self._drawn is not None:
            payload = progress.payload_of_line(drawn)
            if payload and payload != self._payload:  # a return alone does not draw it again
                self._drawn.say(payload)
            self._payload = payload
        return len(text)

    def finish(self) -> None:
        """Emit what is left without a line break, and what is kept of what was drawn."""
        with self._lock:
            line, self._rest = "" if self._is_returned else self._rest, ""
        self._say(line)
        if self._drawn is not None:
            self._drawn.flush()

    def _has_part(self) -> bool:
        return bool(self._rest) and not self._is_returned and not self._is_over

    def _see_to_part(self) -> None:
        if self._later is not None and not self._is_timed and self._has_part():
            self._is_timed = True
            self._later(max(0.0, self._rest_at + PART_S - self._now()), self._on_time)

    def _on_time(self) -> None:
        with self._lock:
            self._is_timed = False
            if not self._has_part():
                return
            if self._rest_at + PART_S > self._now():
                self._see_to_part()
                return
            part, self._rest = self._rest, ""
            try:
                self._say(part)  # within the lock: the rest of the line must not overtake it
            except Exception:  # the job has ended meanwhile: nobody is left to hear it
                return

    def _is_plain(self, text: str) -> bool:
        return "\r" not in text and not self._is_returned and not self._is_over

    def _plain(self, text: str) -> tuple[list[str], str]:
        *lines, self._rest = (self._rest + text).split("\n")
        return lines, ""

    def _taken(self, text: str) -> tuple[list[str], str]:
        """Return the lines that `text` ends, and what was drawn last."""
        lines: list[str] = []
        drawn = ""
        pieces = _BREAKS.split(text)
        for piece, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
            if self._is_returned and (piece or end == "\r"):
                self._rest, self._is_over = "", True
            self._is_returned = self._is_returned and not piece
            self._rest += piece
            if self._rest.strip() and (self._is_over or end == "\r"):
                drawn = self._rest
            if end == "\r":
                self._is_returned = True
            elif end:
                if not progress.is_moved_away(self._rest):
                    lines.append(self._rest)
                self._rest, self._is_returned, self._is_over = "", False, False
        return lines, drawn

    def _say(self, line: str) -> None:
        line = line.rstrip()
        for start in range(0, len(line), LINE_CHARS_MAX):
            self._emit(line[start : start + LINE_CHARS_MAX])


class Bytes:
    """Takes bytes, whole characters or not, and writes their text to `lines`."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        """Write what is complete with `data`; what is no UTF-8 is replaced."""
        self._lines.write(self._decoder.decode(data))


class _Raw(io.RawIOBase):
    """The binary stream below a job's text stream."""

    def __init__(self, lines: LineWriter, name: str, fileno: int) -> None:
        super().__init__()
        self.name = name
        self.mode = "wb"
        self._lines = lines
        self._bytes = Bytes(lines)
        self._fileno = fileno

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._lines.finish()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fileno  # for code that hands it to a subprocess

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        copied = bytes(data)
        self._bytes.write(copied)
        return len(copied)


def text_stream(lines: LineWriter, name: str, fileno: int) -> io.TextIOWrapper:
    """Return a text stream as Python's own whose text goes to `lines`: `buffer`, `reconfigure` and all.

    `name` is `stdout` or `stderr`; `fileno` is the descriptor that it claims to be.  Without `reconfigure` it never
    fails for a character: what UTF-8 cannot carry is replaced.
    """
    # As with `python -u` there is nothing between: what is written to `buffer` has arrived.
    raw: Any = _Raw(lines, f"<{name}>", fileno)
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n", line_buffering=True)


def is_text_stream(file: Any) -> bool:
    """Return whether a file is such a stream, or another over the same: once it is flushed, nothing waits in it."""
    return isinstance(getattr(file, "buffer", None), _Raw)


_writers: "weakref.WeakSet[LineWriter]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
