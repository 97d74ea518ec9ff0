"""What a worker has to say to its host: written from any thread, waited for by none.

The host always reads.  It is a job that is told to say no more for now (`hold`), and it alone waits then: its threads
in `say`, its tasks in `settle`.  What it says meanwhile without waiting is kept, up to a limit.
"""

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable

from agentmesh.errors import KodosumiError
from agentmesh.host.talk.unsent import Unsent

# Beyond this much kept, a task waits; beyond that, what says more without waiting fails.
_SETTLE_BYTES = 256 * 1024
_KEPT_BYTES_MAX = 8 * 1024 * 1024
# The same for what the socket has not taken, which is everybody's.
_BUSY_BYTES = 1024 * 1024
_UNSENT_BYTES_MAX = 32 * 1024 * 1024
_LOOK_AGAIN_S = 0.01


class Talk:
    """What one job says."""

    __slots__ = ("_waiting", "held", "kept", "kept_bytes")

    def __init__(self) -> None:
        self.held = False
        self.kept: list[bytes] = []
        """What it has said while it was held."""
        self.kept_bytes = 0
        self._waiting: list[concurrent.futures.Future[None]] = []

    def wait(self) -> "concurrent.futures.Future[None]":
        """Return what is done when the job may say more."""
        waiting: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._waiting.append(waiting)
        return waiting

    def free(self) -> "list[concurrent.futures.Future[None]]":
        """Return what waits."""
        waiting, self._waiting = self._waiting, []
        return waiting


class Outgoing:
    """The worker's end of the socket, for writing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, lost: Callable[[], None]) -> None:
        """`lost` is called when the host has gone."""
        self._loop = loop
        self._sock = sock
        self._lost = lost
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._unsent = Unsent()
        self._is_due = False
        self._is_watched = False
        self._is_forked = False

    def forked(self) -> None:
        """In a fork: say nothing, whatever other threads were about to say; one that says something is lost."""
        self._lock = threading.Lock()
        self._is_forked = True

    def put(self, data: bytes) -> None:
        """Write a frame, with others of this turn of the loop; called on the loop."""
        with self._lock:
            self._unsent.add(data)
            if self._is_due or self._is_watched:
                return
            self._is_due = True
        self._loop.call_soon(self._write_due)

    def send(self, data: bytes) -> None:
        """Write a frame now, behind what was put."""
        with self._lock:
            self._unsent.add(data)
            self._write()

    def say(self, talk: Talk, data: bytes, *, patient: bool = True) -> None:
        """Write what a job says; wait while it is held, unless this is the loop's thread or not `patient`.

        Raises `KodosumiError` if it may not wait, and has said more than can be kept.
        """
        if self._is_forked:
            self._lost()
            return
        patient = patient and threading.get_ident() != self._thread
        while True:
            with self._lock:
                busy = self._unsent.bytes_count > (_BUSY_BYTES if patient else _UNSENT_BYTES_MAX)
                if not talk.held and not busy:
                    self._unsent.add(data)
                    self._write()
                    return
                if not patient:
                    if busy or talk.kept_bytes + len(data) > _KEPT_BYTES_MAX:
                        raise KodosumiError("more was said than can be kept: await the tracer's methods between events")
                    talk.kept.append(data)
                    talk.kept_bytes += len(data)
                    return
                waiting = talk.wait() if talk.held else None
            if waiting is not None:
                waiting.result()
            else:
                time.sleep(_LOOK_AGAIN_S)

    async def settle(self, talk: Talk) -> None:
        """Let others run; wait while the job is held and has said much, or the socket is behind."""
        waiting = None
        if talk.held:
            with self._lock:
                if talk.held and talk.kept_bytes > _SETTLE_BYTES:
                    waiting = talk.wait()
        if waiting is not None:
            await asyncio.wrap_future(waiting)
            return
        await asyncio.sleep(0)
        while self._unsent.bytes_count > _BUSY_BYTES and not talk.held:  # noqa: ASYNC110 # it leaves from any thread
            await asyncio.sleep(_LOOK_AGAIN_S)

    def hold(self, talk: Talk) -> None:
        """Keep what the job says."""
        with self._lock:
            talk.held = True

    def go_on(self, talk: Talk) -> None:
        """Write what was kept, and let the job say more."""
        with self._lock:
            talk.held = False
            for data in talk.kept:
                self._unsent.add(data)
            talk.kept.clear()
            talk.kept_bytes = 0
            self._write()
            waiting = talk.free()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _write_due(self) -> None:
        with self._lock:
            self._is_due = False
            self._write()

    def _write_again(self) -> None:
        with self._lock:
            self._is_watched = False
            self._loop.remove_writer(self._sock)
            self._write()

    def _write(self) -> None:
        """Write what the socket takes; the loop writes the rest."""
        try:
            self._unsent.write(self._sock)
        except OSError:
            self._unsent.clear()
            self._lost()
            return
        if self._unsent.bytes_count and not self._is_watched:
            self._is_watched = True
            if threading.get_ident() == self._thread:
                self._loop.add_writer(self._sock, self._write_again)
            else:
                self._loop.call_soon_threadsafe(self._loop.add_writer, self._sock, self._write_again)
