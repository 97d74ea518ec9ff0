"""The one place where what flows and people wrote becomes HTML, in bounded time.

What is short is rendered here and now, and what is long in a process of its own (`gateway.core.render_worker`), which
bounds the time and memory it takes.  It is started when it is needed, and ended when it has not been for a while.  What
it gives up on is shown as text, and so is what would have to wait for others.
"""

import asyncio
import collections
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence

import structlog

from gateway.core import render
from gateway.core.render_worker import LENGTH

log = structlog.get_logger()

Asked = tuple[str, str]
"""A way (`render.WAYS`) and a text."""
_AT_ONCE_BYTES_MAX = 2048
"""So little takes 20 ms at the very most."""
_LINES_BYTES_MAX = 32 * 1024
"""The same for what terminals print."""
_ASKED_BYTES_MAX = 2 * 1024 * 1024
"""Of one frame."""
_TURN_S = 0.5
"""How long others may keep one from the worker."""
_ANSWER_S = 15.0
"""How long its answer may take on a machine that is busy, its start included; its own time is bounded by itself."""
_IDLE_S = 30.0
_KNOWN_MAX = 1024
_FRAME_BYTES_MAX = 64 * 1024 * 1024
_FROM_OUTSIDE = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT")


class Renderer:
    """Renders texts, each in its way."""

    def __init__(self, *, turn_s: float = _TURN_S, answer_s: float = _ANSWER_S, idle_s: float = _IDLE_S) -> None:
        self._turn_s = turn_s
        self._answer_s = answer_s
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._worker: _Worker | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._hopeless: collections.OrderedDict[bytes, None] = collections.OrderedDict()
        """Digests of what the worker has given up on: who asks again waits for nothing."""

    @property
    def pid(self) -> int:
        """Of the worker; 0 if there is none."""
        return self._worker.process.pid if self._worker is not None else 0

    async def one(self, way: str, text: str) -> str:
        """Return a text as HTML."""
        return (await self.all([(way, text)]))[0]

    async def all(self, asked: Sequence[Asked]) -> list[str]:
        """Return texts as HTML, in order: those of one page or batch, which share one bound."""
        shown: list[str | None] = [None] * len(asked)
        left = _AT_ONCE_BYTES_MAX
        slow = []
        for number, (way, text) in enumerate(asked):
            if _is_quick(way, text):
                shown[number] = render.WAYS[way](text)
            elif (size := _size(text)) <= left:
                left -= size
                shown[number] = _at_once(way, text)
            else:
                slow.append(number)
        if slow:
            for number, found in zip(slow, await self._slow([asked[number] for number in slow]), strict=True):
                shown[number] = found
        return [render.plain(*one) if found is None else found for one, found in zip(asked, shown, strict=True)]

    async def _slow(self, asked: Sequence[Asked]) -> Sequence[str | None]:
        """Ask the worker; `None` for each that it does not render."""
        nothing = [None] * len(asked)
        if sum(_size(text) for _, text in asked) > _ASKED_BYTES_MAX:
            return nothing
        frame = json.dumps(asked).encode()
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        if digest in self._hopeless:
            return nothing
        try:
            async with asyncio.timeout(self._turn_s):
                await self._turn.acquire()
        except TimeoutError:
            return nothing
        try:
            return await self._exchange(frame)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            log.warning("a page was not rendered: it is shown as text", bytes=len(frame), error=type(error).__name__)
            if isinstance(error, EOFError):  # it has come to its limits
                self._hopeless[digest] = None
                while len(self._hopeless) > _KNOWN_MAX:
                    self._hopeless.popitem(last=False)
            self._end()
            return nothing
        except asyncio.CancelledError:  # its answer would be taken for the next one's
            self._end()
            raise
        finally:
            self._turn.release()

    async def _exchange(self, frame: bytes) -> Sequence[str | None]:
        if self._idle is not None:
            self._idle.cancel()
        async with asyncio.timeout(self._answer_s):
            if self._worker is None:
                self._worker = await _Worker.start()
            found = await self._worker.ask(frame)
        self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end)
        return found

    def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    @classmethod
    @contextlib.asynccontextmanager
    async def working(cls) -> AsyncIterator["Renderer"]:
        """Render for the length of the block."""
        renderer = cls()
        try:
            yield renderer
        finally:
            renderer._end()


class _Worker:
    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls) -> "_Worker":
        ours, its = socket.socketpair()
        process = _spawn(its)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            _kill(process)
            raise
        return cls(process, reader, writer)

    async def ask(self, frame: bytes) -> Sequence[str | None]:
        self._writer.write(LENGTH.pack(len(frame)) + frame)
        await self._writer.drain()
        (count,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if count > _FRAME_BYTES_MAX:
            raise ValueError("the answer is too large")
        found: list[str | None] = json.loads(await self._reader.readexactly(count))
        return found

    def end(self) -> None:
        _kill(self.process)
        self._writer.close()


def _spawn(end: socket.socket) -> subprocess.Popen[bytes]:
    # Not asyncio's: uvloop forks the process, in which gRPC has threads; this one takes milliseconds.
    with end:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.core.render_worker"],
            stdin=end.fileno(),
            stdout=end.fileno(),
            env={
                **{name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ},
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()  # at once: nothing holds up the end of a process that only computes


def _is_quick(way: str, text: str) -> bool:
    """Return whether a way takes time in proportion to the text only, and little."""
    match way:
        case "inert":
            return True
        case "text":
            return _size(text) <= render.TEXT_BYTES_MAX
        case "ansi":
            return _size(text) <= (_LINES_BYTES_MAX if "\x1b" in text else render.TEXT_BYTES_MAX)
    return False


def _at_once(way: str, text: str) -> str | None:
    try:
        return render.WAYS[way](text)
    except (ValueError, RecursionError):  # of what is nested deeply
        return None


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
