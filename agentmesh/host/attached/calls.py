"""Questions to the app: sent to its handler process, answered or given up."""

import asyncio
import dataclasses
import itertools
import signal
import time
from collections.abc import Callable

from agentmesh_protos.runner.v1 import app_pb2, host_pb2
from google.protobuf.message import DecodeError, Message

from agentmesh.host.app.asked import SORT_OF_ANSWER, SORTS, Sort, no_answer_within
from agentmesh.host.attached.children import Child, Zygote
from agentmesh.host.forking.zygote import ROLE_HANDLER
from agentmesh.host.talk.frames import BrokenFrame, Kind, Splitter, pack

# The handler gives up by itself; a handler that blocks its own loop cannot, and is replaced this much later.
_PATIENCE_S = 1.0
_RESTART_S = 0.5
_GOING_AWAY, _ERROR = 1001, 1011
"""Of a WebSocket's close."""
# A handler that only the mesh itself has asked (does the flow answer?) is not kept longer than this.
_REST_S = 2.0


@dataclasses.dataclass(slots=True)
class _Pending:
    """A question that has no answer yet."""

    sort: Sort
    number: int
    """The runner's."""
    timer: asyncio.TimerHandle
    wanted: bool = True
    streams: bool = False
    """Whether the answer comes in parts, of which this is about the first."""


class Handler:
    """The app's handler process: there from the first question on, replaced when it dies.

    Once a user has asked it something it stays, for the app may keep in memory what it has learned.  `post` gets
    exactly one answer for each question.
    """

    def __init__(self, zygote: Zygote, post: Callable[[host_pb2.HostMessage], None]) -> None:
        self._zygote = zygote
        self._post = post
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._streams: dict[int, int] = {}
        """The runner's numbers of calls whose answers come in parts, by ours."""
        self._pending: dict[int, _Pending] = {}
        """By a number of our own: the runner counts from 1 again when it has been restarted."""
        self._numbers = itertools.count(1)
        self._writes: asyncio.Queue[bytes] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._splitter = Splitter()
        self._restart: asyncio.TimerHandle | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._is_kept = False

    def keep(self) -> None:
        """Have the process now, and for good."""
        self._is_kept = True
        self._have()

    def _have(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._rest = None if self._is_kept else self._loop.call_later(_REST_S, self._end)
        if self._child is None and self._restart is None:
            self._start()

    def _start(self) -> None:
        """Fork the process; again in a moment, if there are no descriptors for it now."""
        self._restart = None
        if self._zygote.gone.done():
            return
        try:
            child = self._child = self._zygote.fork(ROLE_HANDLER)
        except OSError:
            self._restart = self._loop.call_later(_RESTART_S, self._start)
            return
        self._started_at = time.monotonic()
        self._splitter = Splitter()
        self._loop.add_reader(child.sock, self._read, child)
        self._writer = self._loop.create_task(self._write(child), name="handler-write")
        child.exited.add_done_callback(lambda done: self._replace(child, done.result()))

    def ask(self, kind: Kind, question: host_pb2.Call | host_pb2.Ask | host_pb2.CheckLock) -> None:
        """Send a question of the sort `kind`."""
        sort, ours = SORTS[kind], next(self._numbers)
        timer = self._loop.call_later(question.timeout_s + _PATIENCE_S, self._give_up, ours, question.timeout_s)
        pending = self._pending[ours] = _Pending(sort, sort.number_of(question), timer)
        if isinstance(question, host_pb2.Call) and question.streams:
            pending.streams = True
            self._streams[ours] = pending.number
        sort.renumber(question, ours)
        self._writes.put_nowait(pack(kind, question.SerializeToString()))
        self._is_kept = self._is_kept or kind != Kind.CALL or bool(question.user)
        self._have()

    def hear(self, part: host_pb2.CallPart) -> None:
        """Pass on what the client of a call says."""
        ours = next((ours for ours, number in self._streams.items() if number == part.call_id), 0)
        if ours:
            self._pass_on(ours, part.part)
            if part.part.HasField("close"):
                del self._streams[ours]
                self._settled(ours)

    def _pass_on(self, ours: int, part: app_pb2.AppPart) -> None:
        said = host_pb2.CallPart(call_id=ours, part=part)
        self._writes.put_nowait(pack(Kind.CALL_PART, said.SerializeToString()))

    def _settled(self, ours: int) -> None:
        """An answer has begun, or is not wanted any more: nobody waits for its beginning."""
        if (pending := self._pending.pop(ours, None)) is not None:
            pending.timer.cancel()

    def forget(self) -> None:
        """Post no answer to what was asked so far: who asked has gone."""
        for ours in self._streams:
            self._pass_on(ours, app_pb2.AppPart(close=app_pb2.AppClose(code=_GOING_AWAY)))
            self._settled(ours)
        self._streams.clear()
        for pending in self._pending.values():
            pending.wanted = False

    async def _write(self, child: Child) -> None:
        while True:
            data = await self._writes.get()
            try:
                await self._loop.sock_sendall(child.sock, data)
            except OSError:  # it died: its exit fails the questions
                return

    def _read(self, child: Child) -> None:
        if not (data := self._zygote.receive(child, 262_144)):
            return
        try:
            for kind, payload in self._splitter.feed(data):
                self._take(kind, payload)
        except (BrokenFrame, DecodeError):  # nothing that it says can be told from the rest any more
            self._loop.remove_reader(child.sock)
            self._zygote.signal(child, signal.SIGKILL)

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == Kind.CALL_PART:
            self._report_part(host_pb2.CallPart.FromString(payload))
            return
        sort = SORT_OF_ANSWER.get(kind)
        if sort is None:
            raise BrokenFrame(f"a frame of kind {kind}")
        answer = sort.answer.FromString(payload)
        pending = self._pending.pop(sort.number_of(answer), None)
        if pending is not None:
            self._report(pending, answer)

    def _report_part(self, said: host_pb2.CallPart) -> None:
        ours = said.call_id
        self._settled(ours)
        if (number := self._streams.get(ours)) is not None:
            if said.part.HasField("close"):
                del self._streams[ours]
            said.call_id = number
            self._post(host_pb2.HostMessage(call_part=said))

    def _report(self, pending: "_Pending", answer: Message) -> None:
        pending.timer.cancel()
        if pending.wanted:
            pending.sort.renumber(answer, pending.number)
            message = host_pb2.HostMessage()
            getattr(message, pending.sort.field).CopyFrom(answer)
            self._post(message)

    def _break(self, ours: int, why: str, *, late: bool = False) -> None:
        """End a call whose answer comes in parts."""
        close = app_pb2.AppClose(code=_ERROR, error=why, timed_out=late)
        self._report_part(host_pb2.CallPart(call_id=ours, part=app_pb2.AppPart(close=close)))

    def _fail(self, pending: "_Pending", why: str, *, late: bool) -> None:
        self._report(pending, pending.sort.failed(pending.number, why, late))

    def _give_up(self, ours: int, timeout_s: float) -> None:
        """The handler's loop is blocked: answer for it, and replace it."""
        pending = self._pending.pop(ours)
        why = f"{no_answer_within(timeout_s)}; the app's handler was restarted"
        if pending.streams:
            self._break(ours, why, late=True)
        else:
            self._fail(pending, why, late=True)
        if self._child is not None:
            self._zygote.signal(self._child, signal.SIGKILL)

    def _end(self) -> None:
        """Let the process go, unless it is at work."""
        self._rest = None
        if self._pending:
            self._have()
            return
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        child, self._child = self._child, None
        if child is not None:
            self._leave(child)

    def _leave(self, child: Child) -> None:
        """Close our ends: a process that lives yet ends then."""
        if child.sock.fileno() >= 0:
            self._loop.remove_reader(child.sock)
        child.close()
        if self._writer is not None:
            self._writer.cancel()

    def _replace(self, child: Child, how: str) -> None:
        """The process has gone: fail what it had, fork another."""
        if child is not self._child:
            return
        self._leave(child)
        self._writes = asyncio.Queue()
        for ours in list(self._streams):
            self._break(ours, f"the app's handler {how}")
        lost, self._pending = self._pending, {}
        for pending in lost.values():
            self._fail(pending, f"the app's handler {how}", late=False)
        soon = 0.0 if time.monotonic() - self._started_at > _RESTART_S else _RESTART_S
        self._restart = self._loop.call_later(soon, self._start)
