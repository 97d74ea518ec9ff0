"""What a job prints becomes events.

Python's own `print` goes through a writer that emits whole lines in order with the job's other events.  What native
code and subprocesses write to file descriptors 1 and 2 arrives at the host through pipes.
"""

import io
import threading
from collections.abc import Callable

LINE_CHARS_MAX = 64 * 1024


class LineWriter(io.TextIOBase):
    """A text stream that calls `emit` with each finished line, right-stripped; blank lines are dropped."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, emit: Callable[[str], None], fileno: int) -> None:
        super().__init__()
        self._emit = emit
        self._fileno = fileno
        self._rest = ""
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
            *lines, self._rest = (self._rest + text).split("\n")
            if len(self._rest) > LINE_CHARS_MAX:  # a job that never breaks its line must not fill our memory
                lines.append(self._rest)
                self._rest = ""
        for line in lines:
            self._say(line)
        return len(text)

    def finish(self) -> None:
        """Emit what is left without a line break."""
        with self._lock:
            line, self._rest = self._rest, ""
        self._say(line)

    def _say(self, line: str) -> None:
        line = line.rstrip()
        if line:
            self._emit(line)
