"""What a job prints becomes events.

Python's own `print` goes through a writer that emits whole lines in order with the job's other events.  What native
code and subprocesses write to file descriptors 1 and 2 arrives at the host through pipes.  What a program draws over
and over, with a carriage return, is progress, as in tqdm's bars.
"""

import io
import re
import threading
from collections.abc import Callable

from agentmesh import progress

LINE_CHARS_MAX = 64 * 1024

_BREAKS = re.compile(r"(\r\n|\n|\r)")


class LineWriter(io.TextIOBase):
    """A text stream that calls `emit` with each finished line, right-stripped; blank lines are dropped.

    What is drawn over, a text before a carriage return, goes to `drawn` as the payload of a `progress` event, as does
    what was drawn over it; it is a line once a line break ends it.
    """

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emit: Callable[[str], None], fileno: int, drawn: progress.Throttle | None = None) -> None:
        super().__init__()
        self._emit = emit
        self._fileno = fileno
        self._drawn = drawn
        self._rest = ""
        self._is_returned = False
        """Whether the cursor is at the line's beginning: `_rest` is drawn over, unless a line break comes."""
        self._is_over = False
        """Whether `_rest` was drawn over something."""
        self._payload = ""
        """What was drawn last."""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        """Return True: it is for writing."""
        return True

    def fileno(self) -> int:
        """Return the descriptor below, for code that hands it to a subprocess."""
        return self._fileno

    def isatty(self) -> bool:
        """Return False."""
        return False

    def write(self, text: str) -> int:
        """Keep `text` up to its last line break for later, and emit the lines before."""
        with self._lock:
            lines, drawn = self._plain(text) if self._is_plain(text) else self._taken(text)
            if len(self._rest) > LINE_CHARS_MAX:  # a job that never breaks its line must not fill our memory
                lines.append(self._rest)
                self._rest = ""
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
        if line:
            self._emit(line)
