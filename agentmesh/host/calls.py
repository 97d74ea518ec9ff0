"""Requests to the app: sent to its handler process, answered or given up."""

import asyncio
import signal
import time
from collections.abc import Callable

from mesh.runner.v1 import host_pb2

from agentmesh.host.children import Child, Zygote
from agentmesh.host.frames import Kind, Splitter, pack
from agentmesh.host.processes import describe_exit

# The handler gives up by itself; a handler that blocks its own loop cannot, and is replaced this much later.
_PATIENCE_S = 1.0
_RESTART_S = 0.5


class Handler:
    """The app's handler process, replaced when it dies."""

    def __init__(self, zygote: Zygote, post: Callable[[host_pb2.CallResult], None]) -> None:
        self._zygote = zygote
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._pending: dict[int, asyncio.TimerHandle] = {}
        self._writes: asyncio.Queue[bytes] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._splitter = Splitter()

    async def start(self) -> None:
        """Fork the process."""
        child = self._child = self._zygote.fork_handler()
        self._started_at = time.monotonic()
        self._splitter = Splitter()
        self._loop.add_reader(child.sock, self._read, child)
        self._writer = self._loop.create_task(self._write(child), name="handler-write")
        child.exited.add_done_callback(lambda done: self._replace(child, done.result()))

    def call(self, call: host_pb2.Call) -> None:
        """Send a request; exactly one result will be posted for it."""
        timer = self._loop.call_later(call.timeout_s + _PATIENCE_S, self._give_up, call.call_id, call.timeout_s)
        self._pending[call.call_id] = timer
        self._writes.put_nowait(pack(Kind.CALL, call.SerializeToString()))

    async def _write(self, child: Child) -> None:
        while True:
            data = await self._writes.get()
            try:
                await self._loop.sock_sendall(child.sock, data)
            except OSError:  # it died: its exit fails the calls
                return

    def _read(self, child: Child) -> None:
        try:
            data = child.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(child.sock)
            return
        for kind, payload in self._splitter.feed(data):
            if kind == Kind.CALL_RESULT:
                result = host_pb2.CallResult.FromString(payload)
                timer = self._pending.pop(result.call_id, None)
                if timer is not None:
                    timer.cancel()
                    self._post(result)

    def _give_up(self, call_id: int, timeout_s: float) -> None:
        """The handler's loop is blocked: answer for it, and replace it."""
        self._pending.pop(call_id, None)
        error = f"no answer within {timeout_s:g} s; the app's handler was restarted"
        self._post(host_pb2.CallResult(call_id=call_id, error=error))
        if self._child is not None:
            self._zygote.signal(self._child, signal.SIGKILL)

    def _replace(self, child: Child, status: int) -> None:
        """The process has gone: fail what it had, fork another."""
        self._loop.remove_reader(child.sock)
        child.close()
        if self._writer is not None:
            self._writer.cancel()
        self._writes = asyncio.Queue()
        for call_id, timer in self._pending.items():
            timer.cancel()
            self._post(host_pb2.CallResult(call_id=call_id, error=f"the app's handler {describe_exit(status)}"))
        self._pending.clear()
        soon = 0.0 if time.monotonic() - self._started_at > _RESTART_S else _RESTART_S
        self._loop.call_later(soon, self._start_again)

    def _start_again(self) -> None:
        if not self._zygote.gone.done():
            self._restart = self._loop.create_task(self.start(), name="handler-start")
