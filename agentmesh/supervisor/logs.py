"""Forward what children print to our stderr, one line at a time, each with the child's name in front.

Nobody may stop the mesh by not reading its log: the lines wait in a bounded queue for a thread that writes them, and
what does not fit is dropped and counted.
"""

import asyncio
import collections
import contextlib
import os
import queue
import threading

_LINES_MAX = 10_000
_LINE_BYTES_MAX = 64 * 1024
_TAIL_LINES = 20
_NAME_WIDTH = 8


class LogPump:
    """Copies lines from pipes to a file descriptor.  Use it from the event loop's thread."""

    def __init__(self, sink: int = 2) -> None:
        self._sink = sink
        self._lines: queue.Queue[bytes | None] = queue.Queue(_LINES_MAX)
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
            self._lines.put_nowait(f"{name:<{_NAME_WIDTH}} | ".encode() + line + b"\n")
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                line = f"{'mesh':<{_NAME_WIDTH}} | {dropped} lines dropped: stderr is read too slowly\n".encode() + line
            while line:
                try:
                    line = line[os.write(self._sink, line) :]
                except OSError:  # nobody reads any more; the mesh goes on
                    break
