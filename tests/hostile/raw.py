"""Bare ASGI apps: what the specification says about servers, asked one question at a time.

Each is at `/{name}` of `app`.  After the cases of uvicorn's, hypercorn's and Starlette's own tests.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

gate = asyncio.Event()
told: list[Any] = []
"""What apps have seen, for `/told`."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Start up, or do what the path names."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    await globals()[f"do_{scope['path'].strip('/').partition('/')[0]}"](scope, receive, send)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Leave something for requests."""
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["pool"] = ["made at the start"]
    scope["state"]["count"] = 0
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Send, value: Any, status: int = 200, headers: tuple[Any, ...] = ()) -> None:
    """Answer in JSON."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def do_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the scope."""
    scope["state"]["count"] += 1
    plain = {
        key: value.decode("latin-1") if isinstance(value, bytes) else value
        for key, value in scope.items()
        if key not in ("headers", "app")
    }
    plain["headers"] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    await answer(send, plain)


async def do_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Give the body back."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"a/b")]})
    await send({"type": "http.response.body", "body": body})


async def do_headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Send headers of all sorts."""
    headers = [
        (b"X-Upper", b"yes"),
        (b"x-latin", "é".encode("latin-1")),
        (b"x-utf8", "ü".encode()),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-disposition", 'attachment; filename="Grüße.txt"'.encode("latin-1")),
    ]
    await answer(send, "ok", headers=tuple(headers))


async def do_stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a piece, and the next when `/open` was asked for."""
    gate.clear()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await gate.wait()
    await send({"type": "http.response.body", "body": b"second", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def do_open(scope: Scope, receive: Receive, send: Send) -> None:
    """Let others go on."""
    gate.set()
    await answer(send, "open")


async def do_behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Go on behind the answer."""
    gate.clear()
    await receive()
    await answer(send, "answered")
    await gate.wait()
    told.append((await receive())["type"])
    told.append("behind")


async def do_leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a bit, and tell when the client goes."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"bit", "more_body": True})
    told.append((await receive())["type"])
    await send({"type": "http.response.body", "body": b"nobody hears", "more_body": True})
    told.append("sent without harm")


async def do_told(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell what others have seen, and forget it."""
    seen = list(told)
    told.clear()
    await answer(send, seen)


async def do_much(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 64 MB in a thousand pieces, and tell how many it has sent."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(1000):
        await send({"type": "http.response.body", "body": b"x" * 64_000, "more_body": True})
        told[:] = [number + 1]
    await send({"type": "http.response.body"})


async def do_huge(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 20 MB at once, with a header that says so."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")]})
    await send({"type": "http.response.body", "body": b"x" * 20_000_000})


async def do_raise(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise before it answers."""
    raise ValueError("before")


async def do_raise_between(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise between head and body: nothing was sent yet."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("between")


async def do_raise_within(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise within its body."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"bit", "more_body": True})
    raise ValueError("within")


async def do_return(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without an answer."""


async def do_exit(scope: Scope, receive: Receive, send: Send) -> None:
    """End the program."""
    raise SystemExit(3)


async def do_wrong_order(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the body first; tell what the server says."""
    try:
        await send({"type": "http.response.body", "body": b"x"})
    except RuntimeError as error:
        await answer(send, str(error))


async def do_twice(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin twice; tell what the server says."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await send({"type": "http.response.start", "status": 201, "headers": []})
    except RuntimeError as error:
        await send({"type": "http.response.body", "body": str(error).encode()})
    await send({"type": "http.response.body", "body": b"after the end"})


async def do_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a status that has no body, and a body."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b"not to be sent"})


# -- WebSockets ------------------------------------------------------------------------------------------------------


async def do_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, tell the scope, give back what is said; on `close` close, on `raise` raise."""
    if scope["type"] == "http":
        await answer(send, "not a WebSocket", 426)
        return
    assert (await receive())["type"] == "websocket.connect"
    chosen = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen, "headers": [(b"x-own", b"1")]})
    await send({"type": "websocket.send", "text": json.dumps([scope["scheme"], scope["path"], scope["subprotocols"]])})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as told"})
            told.append((await receive())["type"])
            return
        if text == "raise":
            raise ValueError("as told")
        if text == "return":
            return
        await send({"type": "websocket.send", **({"text": text} if text is not None else {"bytes": message["bytes"]})})
    told.append([message["type"], message["code"], message["reason"]])


async def do_refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Close before it accepts."""
    await receive()
    await send({"type": "websocket.close"})


async def do_deny(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse in HTTP."""
    await receive()
    assert "websocket.http.response" in scope["extensions"]
    headers = [(b"content-type", b"text/plain"), (b"x-why", b"full")]
    await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"too ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"many"})
