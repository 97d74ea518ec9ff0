"""A provider for tests: speaks the chat API of OpenAI and the messages API of Anthropic, as the model's name says.

`plain` answers; `tools` calls the first tool that it is offered, then repeats what it returned; `NAME-once` fails in
the way of NAME the first time, then is `plain`: `limited` (429), `broken` (500), `cut` (in the middle of the stream),
`garbage` (no JSON).  `denied` answers 401 with the key that it got; `hang` never answers; `gate` waits until the test
opens it.
"""

import asyncio
import collections
import contextlib
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

WORDS = ["The ", "answer ", "is ", "forty-", "two."]
ANSWER = "".join(WORDS)


@dataclasses.dataclass
class Provider:
    """A running provider."""

    port: int = 0
    calls: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """The bodies that it was sent, with the `key` of each."""
    counts: "collections.Counter[str]" = dataclasses.field(default_factory=collections.Counter)
    """Calls by model."""
    gate: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set when calls of `gate` may be answered."""
    tool_calls: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """What was sent to its HTTP tool, with the `authorization` of each."""

    @property
    def openai(self) -> str:
        """The address of its OpenAI-compatible API."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic(self) -> str:
        """The address of its Anthropic-shaped API."""
        return f"http://127.0.0.1:{self.port}"

    def at(self, path: str) -> str:
        """Return an address of it."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def chat(self, request: Request) -> Response:
        """Answer `POST /v1/chat/completions`."""
        body = await self._note(request, request.headers.get("authorization", "").removeprefix("Bearer "))
        if (failure := await self._failure(body)) is not None:
            return failure
        tools = body.get("tools") or []
        results = [message for message in body["messages"] if message["role"] == "tool"]
        chunks: list[dict[str, Any]] = []
        if body["model"] == "tools" and tools and not results:
            function = {"name": tools[0]["function"]["name"], "arguments": self._arguments(tools[0]["function"])}
            call = {"index": 0, "id": "call_1", "type": "function", "function": function}
            chunks = [{"delta": {"role": "assistant", "tool_calls": [call]}}, _finish("tool_calls")]
        else:
            words = [f"tool: {results[-1]['content']}"] if body["model"] == "tools" and results else WORDS
            chunks = [{"delta": {"role": "assistant", "content": word}} for word in words] + [_finish("stop")]
        frames = [_frame(body["model"], chunk) for chunk in chunks]
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        frames.append(_frame(body["model"], None, usage))
        if self._first(body, "cut"):
            return StreamingResponse(_cut(frames), media_type="text/event-stream")
        frames.append("data: [DONE]\n\n")
        return StreamingResponse(_each(frames), media_type="text/event-stream")

    async def messages(self, request: Request) -> Response:
        """Answer `POST /v1/messages`."""
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        body = await self._note(request, request.headers.get("x-api-key", bearer))
        if (failure := await self._failure(body)) is not None:
            return failure
        start = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": body["model"]}
        start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 12, "output_tokens": 1}}
        frames = [
            _event("message_start", message=start),
            _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in WORDS),
            _event("content_block_stop", index=0),
            _event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7}),
            _event("message_stop"),
        ]
        if self._first(body, "cut"):
            return StreamingResponse(_cut(frames[:4]), media_type="text/event-stream")
        return StreamingResponse(_each(frames), media_type="text/event-stream")

    async def tool(self, request: Request) -> Response:
        """Answer the HTTP tool: with what it was sent."""
        body = await request.json()
        authorization = request.headers.get("authorization", "")
        key = request.headers.get("x-api-key", "")
        self.tool_calls.append({"arguments": body, "authorization": authorization, "x-api-key": key})
        return JSONResponse({"got": body, "with": authorization or key})

    async def moved(self, request: Request) -> Response:
        """Redirect to wherever the query says."""
        return Response(status_code=307, headers={"location": request.query_params["to"]})

    async def huge(self, request: Request) -> Response:
        """Answer with more than anybody wants."""
        return Response(b"x" * (2 * 1024 * 1024))

    async def _note(self, request: Request, key: str) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.counts[body["model"]] += 1
        self.calls.append({**body, "key": key})
        return body

    def _first(self, body: dict[str, Any], how: str) -> bool:
        return bool(body["model"] == f"{how}-once") and self.counts[body["model"]] == 1

    async def _failure(self, body: dict[str, Any]) -> Response | None:
        if body["model"] == "hang":
            await asyncio.sleep(600)
        while body["model"] == "gate" and not self.gate.is_set():  # noqa: ASYNC110  # an event of another thread
            await asyncio.sleep(0.02)
        if body["model"] == "denied":
            return JSONResponse({"error": {"message": f"the key {self.calls[-1]['key']} is not ours"}}, 401)
        if body["model"] == "broken":
            return JSONResponse({"error": {"message": "out of order"}}, 500)
        if self._first(body, "limited"):
            return JSONResponse({"error": {"message": "slow down"}}, 429, headers={"retry-after": "0"})
        if self._first(body, "broken"):
            return JSONResponse({"error": {"message": "out of order"}}, 500)
        if self._first(body, "garbage"):
            return Response("data: {this is no JSON\n\n", media_type="text/event-stream")
        return None

    def _arguments(self, function: dict[str, Any]) -> str:
        wanted = function["parameters"].get("properties") or {}
        return json.dumps(dict.fromkeys(list(wanted)[:1], "6*7"))


def _finish(reason: str) -> dict[str, Any]:
    return {"delta": {}, "finish_reason": reason}


def _frame(model: str, choice: dict[str, Any] | None, usage: dict[str, int] | None = None) -> str:
    chunk = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": model, "usage": usage}
    chunk["choices"] = [] if choice is None else [{"index": 0, "finish_reason": None, **choice}]
    return f"data: {json.dumps(chunk)}\n\n"


def _event(kind: str, **more: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n"


async def _each(frames: list[str]) -> AsyncIterator[str]:
    for frame in frames:
        yield frame
        await asyncio.sleep(0)


async def _cut(frames: list[str]) -> AsyncIterator[str]:
    for frame in frames[: len(frames) // 2]:
        yield frame
        await asyncio.sleep(0)
    raise ConnectionAbortedError("cut in the middle, as the test wants it")


class _Server(uvicorn.Server):
    """A server that leaves the signals of the process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Capture none."""
        yield


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """Run a provider on a free port for the length of the block."""
    made = Provider()
    routes = [
        Route("/v1/chat/completions", made.chat, methods=["POST"]),
        Route("/v1/messages", made.messages, methods=["POST"]),
        Route("/tool", made.tool, methods=["POST"]),
        Route("/moved", made.moved, methods=["POST"]),
        Route("/huge", made.huge, methods=["POST"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical", lifespan="off")
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(60):
            while not server.started:  # noqa: ASYNC110  # uvicorn says so by nothing else
                await asyncio.sleep(0.01)
        made.port = server.servers[0].sockets[0].getsockname()[1]
        yield made
    finally:
        made.gate.set()
        server.should_exit = True
        server.force_exit = True
        await task
        left = [one for one in asyncio.all_tasks() if "run_asgi" in str(one.get_coro())]
        for one in left:  # calls that nobody waits for any more
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@contextlib.contextmanager
def provider_aside() -> Iterator[Provider]:
    """Run a provider in a thread, for tests that are not `async`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="provider")
    thread.start()
    running = provider()
    try:
        made = asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(60)
        try:
            yield made
        finally:
            asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
