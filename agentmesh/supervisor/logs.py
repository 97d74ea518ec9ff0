"""Forward what children print to our stderr and into the data folder, one line at a time, each with the child's name.

Nobody may stop the mesh by not reading its log: the lines wait in a bounded queue for a thread that writes them, and
what does not fit is dropped and counted.
"""

import asyncio
import collections
import contextlib
import os
import queue
import threading

from agentmesh.supervisor import speaking
from agentmesh.supervisor.kept import Kept

_LINES_MAX = 10_000
_LINE_BYTES_MAX = 64 * 1024
_TAIL_LINES = 20


class LogPump:
    """Copies lines from pipes to a file descriptor.  Use it from the event loop's thread."""

    def __init__(self, sink: int = 2, speaker: speaking.Speaker = speaking.json_line, kept: Kept | None = None) -> None:
        try:  # one of our own: the thread may write on when `sink` is closed, and is another file then
            self._sink = os.dup(sink)
        except OSError:  # we were started without a stderr
            self._sink = os.open(os.devnull, os.O_WRONLY)
        self._speaker = speaker
        self._kept = kept
        self._lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue(_LINES_MAX)
        self._dropped = 0
        self._partial: dict[int, bytes] = {}
        self._tails: dict[str, collections.deque[str]] = {}
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def attach(self, name: str, pipe: int) -> None:
        """Copy from the read end of `pipe` until it ends, then close it."""
        os.set_blocking(pipe, False)
        self._partial[pipe] = b""
        asyncio.get_running_loop().add_reader(pipe, self._read, name, pipe)

    def say(self, text: str) -> None:
        """Add a line of the supervisor's own."""
        self._put("mesh", text.encode())

    def tail(self, name: str) -> list[str]:
        """Return the last lines of a child."""
        return list(self._tails.get(name, ()))

    def close(self, timeout_s: float = 0.5) -> None:
        """Write what waits, for at most `timeout_s`."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(None)
        self._thread.join(timeout_s)

    def _read(self, name: str, pipe: int) -> None:
        try:
            data = os.read(pipe, 64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, rest = (self._partial[pipe] + data).split(b"\n")
        if not data or len(rest) > _LINE_BYTES_MAX:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if line:
                self._put(name, line)
        self._partial[pipe] = rest
        if not data:
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)
            del self._partial[pipe]

    def _put(self, name: str, line: bytes) -> None:
        line = line[:_LINE_BYTES_MAX]
        tail = self._tails.setdefault(name, collections.deque(maxlen=_TAIL_LINES))
        tail.append(line.decode(errors="replace"))
        try:
            self._lines.put_nowait((name, line))
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (item := self._lines.get()) is not None:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._write_line("mesh", f"{dropped} lines dropped: stderr is read too slowly".encode())
            self._write_line(*item)
        os.close(self._sink)
        if self._kept is not None:
            self._kept.close()

    def _write_line(self, name: str, line: bytes) -> None:
        if self._kept is not None:
            self._kept.write(speaking.json_line(name, line))
        left = self._speaker(name, line)
        while left:
            try:
                left = left[os.write(self._sink, left) :]
            except OSError:  # nobody reads any more; the mesh goes on
                break
