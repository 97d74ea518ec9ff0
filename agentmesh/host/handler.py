"""The long-lived process that answers for an app: its pages, its forms, its locks; on one loop of its own."""

import asyncio
import os
import socket
import sys
import traceback
from typing import Any, NoReturn

from google.protobuf.message import Message
from mesh.runner.v1 import app_pb2

from agentmesh.errors import describe
from agentmesh.host import answers, asgi, limits
from agentmesh.host.asked import SORTS, no_answer_within
from agentmesh.host.frames import Kind, Splitter, pack
from agentmesh.loading import LoadedApp

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
        self._app = app
        self._expose = expose
        self._answering: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def serve(self) -> None:
        """Read questions, answer each in a task of its own."""
        self._sock.setblocking(False)
        loop = asyncio.get_running_loop()
        splitter = Splitter()
        async with asgi.lifespan(self._app.asgi):
            while data := await loop.sock_recv(self._sock, 262_144):
                for kind, payload in splitter.feed(data):
                    task = asyncio.create_task(self._answer(Kind(kind), payload))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)

    async def _answer(self, kind: Kind, payload: bytes) -> None:
        """Answer one question; whatever the app does, there is exactly one answer."""
        sort = SORTS[kind]
        question = sort.question.FromString(payload)
        number = sort.number_of(question)
        answer: Message
        try:
            async with asyncio.timeout(question.timeout_s or None):
                answer = await _ANSWERS[kind](self._app, self._expose, question)
                limits.check_message(answer, "the app's answer")
        except TimeoutError:
            answer = sort.failed(number, no_answer_within(question.timeout_s), True)
        except Exception as error:  # an app without an error handler of its own
            traceback.print_exc(file=sys.stderr)
            answer = sort.failed(number, describe(error), False)
        async with self._lock:  # frames of two answers must not interleave
            await asyncio.get_running_loop().sock_sendall(
                self._sock, pack(sort.answer_kind, answer.SerializeToString())
            )


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
        )
        for flow in app.flows
    ]
