"""The long-lived process that answers an app's forms: it runs the app's ASGI interface, in memory, on its own loop."""

import asyncio
import contextlib
import json
import os
import socket
import sys
import traceback
from typing import Any, NoReturn

from mesh.runner.v1 import app_pb2, host_pb2

from agentmesh.errors import describe
from agentmesh.host.frames import Kind, Splitter, pack
from agentmesh.launch import LaunchSpec, launches
from agentmesh.loading import LoadedApp

# What only the host may say to an app (spec: kodosumi §2.2).
_RESERVED = ("x-kodosumi_user", "x-kodosumi_base", "x-kodosumi-url", "x-kodosumi_extra")
RESPONSE_BYTES_MAX = 8 * 1024 * 1024


def main(sock: socket.socket, app: LoadedApp, expose: str) -> NoReturn:
    """Answer calls until the host closes the socket; ends the process."""
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
        self._calls: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def serve(self) -> None:
        """Read calls, answer each in a task of its own."""
        self._sock.setblocking(False)
        loop = asyncio.get_running_loop()
        splitter = Splitter()
        async with _lifespan(self._app.asgi):
            while data := await loop.sock_recv(self._sock, 262_144):
                for kind, payload in splitter.feed(data):
                    if kind == Kind.CALL:
                        task = asyncio.create_task(self._answer(host_pb2.Call.FromString(payload)))
                        self._calls.add(task)
                        task.add_done_callback(self._calls.discard)

    async def _answer(self, call: host_pb2.Call) -> None:
        result = host_pb2.CallResult(call_id=call.call_id)
        specs: list[LaunchSpec] = []
        launches.set(specs)  # each task has its own context
        try:
            async with asyncio.timeout(call.timeout_s or None):
                await _call_asgi(self._app.asgi, call, self._expose, result)
        except TimeoutError:
            result = host_pb2.CallResult(call_id=call.call_id, error=f"no answer within {call.timeout_s:g} s")
        except Exception as error:  # an app without an error handler of its own
            traceback.print_exc(file=sys.stderr)
            result = host_pb2.CallResult(call_id=call.call_id, error=describe(error))
        else:
            if result.status < 400:
                result.launches.extend(_to_pb(spec) for spec in specs)
        async with self._lock:  # frames of two answers must not interleave
            await asyncio.get_running_loop().sock_sendall(
                self._sock, pack(Kind.CALL_RESULT, result.SerializeToString())
            )


def _to_pb(spec: LaunchSpec) -> host_pb2.Launch:
    return host_pb2.Launch(
        job_id=spec.job_id,
        path=spec.path,
        entry_point=spec.entry_point,
        inputs_json=spec.inputs_json,
        inputs_blob=spec.inputs_blob,
        meta_json=spec.meta_json,
        extra_json=spec.extra_json,
    )


async def _call_asgi(asgi: Any, call: host_pb2.Call, expose: str, result: host_pb2.CallResult) -> None:
    """Send one request through the ASGI interface and fill `result` with what the app sends."""
    headers = [
        (h.name.lower().encode("latin-1", "replace"), h.value.encode("latin-1", "replace")) for h in call.headers
    ]
    headers = [pair for pair in headers if pair[0].decode("latin-1") not in _RESERVED]
    headers += [
        (b"x-kodosumi_user", call.user.removeprefix("users/").encode()),
        (b"x-kodosumi_base", f"{call.base_url}/-/{expose}".encode()),
        (b"x-kodosumi-url", call.base_url.encode()),
    ]
    if call.extra_json:
        extra = json.dumps(json.loads(call.extra_json))  # escaped: a header holds ASCII
        headers.append((b"x-kodosumi_extra", extra.encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": call.query.encode(),
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
    }
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": call.body, "more_body": False}]
    never = asyncio.Event()
    body = bytearray()

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await never.wait()  # the caller stays connected until it has its answer
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            result.status = message["status"]
            for name, value in message.get("headers", ()):
                result.headers.add(name=name.decode("latin-1").lower(), value=value.decode("latin-1"))
        elif message["type"] == "http.response.body":
            body.extend(message.get("body", b""))
            if len(body) > RESPONSE_BYTES_MAX:
                raise ValueError(f"the app's answer is larger than {RESPONSE_BYTES_MAX} bytes")

    await asgi(scope, receive, send)
    result.body = bytes(body)


@contextlib.asynccontextmanager
async def _lifespan(asgi: Any) -> Any:
    """Run the app's start-up before the block and its shutdown after it (ASGI lifespan)."""
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        try:
            scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
            await asgi(scope, incoming.get, outgoing.put)
        except Exception:  # an app without lifespan raises: the protocol says to go on without
            await outgoing.put({"type": "lifespan.unsupported"})

    task = asyncio.create_task(run(), name="lifespan")
    await incoming.put({"type": "lifespan.startup"})
    started = await outgoing.get()
    if started["type"] == "lifespan.startup.failed":
        raise RuntimeError(f"the app's start-up failed: {started.get('message', '')}")
    try:
        yield
    finally:
        if started["type"] == "lifespan.startup.complete":
            await incoming.put({"type": "lifespan.shutdown"})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await outgoing.get()
        task.cancel()


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
