"""The long-lived process that answers for an app: its pages, its forms, its locks; on one loop of its own."""

import asyncio
import os
import socket
import traceback
from collections.abc import Coroutine
from typing import Any, NoReturn

from agentmesh_protos.runner.v1 import app_pb2, host_pb2
from google.protobuf.message import Message

from agentmesh._app.allowed import budget_to_pb, retries_to_pb
from agentmesh._app.loading import LoadedApp
from agentmesh._job.forked import Pool, end_at_loop
from agentmesh.errors import describe
from agentmesh.host.app import answers, asgi, connections
from agentmesh.host.app.asked import SORTS, Sort, no_answer_within
from agentmesh.host.talk import limits
from agentmesh.host.talk.frames import Kind, Splitter, pack
from agentmesh.launch import LaunchSpec, launches

_ANSWERS: dict[Kind, Any] = {Kind.CALL: answers.call, Kind.ASK: answers.ask, Kind.CHECK_LOCK: answers.check_lock}


def main(sock: socket.socket, app: LoadedApp, expose: str) -> NoReturn:
    """Answer what the host asks until it closes the socket; ends the process."""
    try:
        asyncio.run(_Handler(sock, app, expose).serve())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class _Handler:
    def __init__(self, sock: socket.socket, app: LoadedApp, expose: str) -> None:
        self._sock = sock
        self._served = answers.Served(app=app, expose=expose)
        self._answering: set[asyncio.Task[None]] = set()
        self._connected: dict[int, connections.Connection] = {}
        """Clients that take the answer as it comes, by the number of their call."""
        self._lock = asyncio.Lock()

    async def serve(self) -> None:
        """Read questions, answer each in a task of its own."""
        self._sock.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(Pool(thread_name_prefix="asyncio"))
        os.register_at_fork(after_in_child=lambda: end_at_loop(loop, _leave))
        splitter = Splitter()
        app = self._served.app
        async with asgi.lifespan(app.asgi) as state:
            self._served = answers.Served(app=app, expose=self._served.expose, state=state)
            while data := await loop.sock_recv(self._sock, 262_144):
                for kind, payload in splitter.feed(data):
                    self._take(Kind(kind), payload)

    def _take(self, kind: Kind, payload: bytes) -> None:
        if kind == Kind.CALL_PART:
            said = host_pb2.CallPart.FromString(payload)
            if (connection := self._connected.get(said.call_id)) is not None:
                connection.hear(said.part)
            return
        sort = SORTS[kind]
        question = sort.question.FromString(payload)
        work = self._serve(question) if kind == Kind.CALL and question.streams else self._answer(kind, sort, question)
        task = asyncio.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    # -- answers as they come ------------------------------------------------------------------------------------

    def _serve(self, call: host_pb2.Call) -> Coroutine[Any, Any, None]:
        """Connect a client with the app; what it says from now on is heard."""
        noted: list[LaunchSpec] = []

        async def put(part: app_pb2.AppPart) -> None:
            if part.HasField("close"):
                self._connected.pop(call.call_id, None)
            said = host_pb2.CallPart(call_id=call.call_id, part=part, launches=answers.taken(noted))
            limits.check_message(said, "what the app starts")
            await self._tell(Kind.CALL_PART, said)

        connection = self._connected[call.call_id] = answers.connect(self._served, call, put)
        return self._carry(call, connection, put, noted)

    async def _carry(
        self, call: host_pb2.Call, connection: connections.Connection, put: connections.Put, noted: list[LaunchSpec]
    ) -> None:
        launches.set(noted)
        running = asyncio.create_task(connection.run(self._served.app.asgi))
        try:
            async with asyncio.timeout(call.timeout_s or None):
                await connection.begun.wait()
        except TimeoutError:
            running.cancel()
            late = app_pb2.AppClose(error=no_answer_within(call.timeout_s), timed_out=True)
            await put(app_pb2.AppPart(close=late))
        await asyncio.wait([running])
        self._connected.pop(call.call_id, None)

    # -- answers as a whole --------------------------------------------------------------------------------------

    async def _answer(self, kind: Kind, sort: Sort, question: Any) -> None:
        """Answer one question; whatever the app does, there is exactly one answer."""
        number = sort.number_of(question)
        answer: Message
        try:
            async with asyncio.timeout(question.timeout_s or None):
                answer = await _ANSWERS[kind](self._served, question)
                limits.check_message(answer, "the app's answer")
        except TimeoutError:
            answer = sort.failed(number, no_answer_within(question.timeout_s), True)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # an app without an error handler of its own; it may even call sys.exit
            answer = sort.failed(number, limits.encodable(describe(error)), False)
        await self._tell(sort.answer_kind, answer)

    async def _tell(self, kind: Kind, message: Message) -> None:
        async with self._lock:  # frames of two answers must not interleave
            await asyncio.get_running_loop().sock_sendall(self._sock, pack(kind, message.SerializeToString()))


def _leave() -> NoReturn:
    """In what an app forks: it answers nobody."""
    os._exit(0)


_ISOLATIONS = {
    None: app_pb2.ISOLATION_UNSPECIFIED,
    "process": app_pb2.ISOLATION_PROCESS,
    "shared": app_pb2.ISOLATION_SHARED,
}


def flow_infos(app: LoadedApp) -> list[app_pb2.FlowInfo]:
    """Render what an app offers for the runner."""
    return [
        app_pb2.FlowInfo(
            path=flow.path,
            method=flow.method,
            summary=flow.summary,
            description=flow.description,
            tags=sorted(flow.tags),
            author=flow.author,
            organization=flow.organization,
            version=flow.version,
            deprecated=flow.deprecated,
            launcher=app_pb2.LAUNCHER_SCHEMA if flow.launcher == "schema" else app_pb2.LAUNCHER_HANDLER,
            elements_json=flow.elements_json,
            input_schema_json=flow.input_schema_json,
            entry_point=flow.entry_point,
            isolation=_ISOLATIONS[flow.isolation],
            retries=retries_to_pb(flow.allowance.retries),
            deadline_s=flow.allowance.deadline_s,
            budget=budget_to_pb(flow.allowance.budget),
        )
        for flow in app.flows
    ]
