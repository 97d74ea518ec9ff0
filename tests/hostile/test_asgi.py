"""An app's own routes are served as any ASGI server serves them, through the whole mesh.

There is no public set of cases that runs against a server of another make: those of uvicorn, hypercorn and daphne start
their own.  These are the same questions, after them and the specification.
"""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway import stack

pytestmark = pytest.mark.asyncio(loop_scope="module")
BASE = "/-/bare"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def panel(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[stack.Panel]:
    """Run a mesh that serves the bare app."""
    async with stack.edge(tmp_path_factory.mktemp("asgi")) as edge:
        panel = stack.Panel(edge)
        await panel.save(name="bare", bootstrap="import_path: tests.hostile.raw:app")
        booted = await panel.call("POST", "/boot/")
        assert "✔ Boot completed" in booted.text, booted.text
        yield panel


async def get(panel: stack.Panel, path: str, **more: Any) -> httpx.Response:
    """Ask the app."""
    return await panel.call("GET", f"{BASE}/{path}", **more)


def open_socket(panel: stack.Panel, path: str, **more: Any) -> connect:
    """Open a WebSocket of the app."""
    return connect(
        f"ws://{panel.edge.address}{BASE}/{path}",
        additional_headers=panel.edge.operator,
        open_timeout=stack.DEADLINE_S,
        **more,
    )


async def told(panel: stack.Panel, count: int = 1) -> list[Any]:
    """Wait until apps have told so much."""
    found: list[Any] = []
    async with asyncio.timeout(stack.DEADLINE_S):
        while len(found) < count:
            found += (await get(panel, "told")).json()
    return found


async def test_the_scope(panel: stack.Panel) -> None:
    """All that the specification names, of the right types; the client is the one that asks."""
    scope = (await get(panel, "scope/a%20b/%C3%BC?x=1&y=%20")).json()

    assert ("http", "GET", "1.1", "http", "") == tuple(
        scope[key] for key in ("type", "method", "http_version", "scheme", "root_path")
    )
    assert ("/scope/a b/ü", "/scope/a%20b/%C3%BC", "x=1&y=%20") == (
        scope["path"],
        scope["raw_path"],
        scope["query_string"],
    )
    host, _, port = panel.edge.address.partition(":")
    assert [host, int(port)] == scope["server"]
    assert ipaddress.ip_address(scope["client"][0])  # Envoy gives this machine its own address
    assert {"version": "3.0", "spec_version": "2.3"} == scope["asgi"]
    assert all(name == name.lower() for name, _ in scope["headers"])


async def test_state_of_the_start_reaches_requests(panel: stack.Panel) -> None:
    """Each has a copy, with what is in it."""
    states = [(await get(panel, "scope")).json()["state"] for _ in range(2)]

    assert [{"pool": ["made at the start"], "count": 1}] * 2 == states


@pytest.mark.parametrize("size", [0, 1, 100_000, 4 * 1024 * 1024])
async def test_a_body_arrives(panel: stack.Panel, size: int) -> None:
    """And comes back."""
    body = bytes(index % 256 for index in range(size))
    answer = await panel.call("POST", f"{BASE}/echo", content=body)

    assert (200, "a/b") == (answer.status_code, answer.headers["content-type"])
    assert body == answer.content


async def test_headers_are_what_the_app_sent(panel: stack.Panel) -> None:
    """In bytes, in lower case, and as often."""
    answer = await get(panel, "headers")
    panel.http.cookies.clear()
    raw = [(name.lower(), value) for name, value in answer.headers.raw]

    assert (b"x-upper", b"yes") in raw
    assert (b"x-latin", b"\xe9") in raw
    assert (b"x-utf8", b"\xc3\xbc") in raw
    assert (b"content-disposition", b'attachment; filename="Gr\xfc\xdfe.txt"') in raw
    assert [b"a=1", b"b=2"] == [value for name, value in raw if name == b"set-cookie"]


async def test_an_answer_comes_as_it_is_sent(panel: stack.Panel) -> None:
    """The first piece is there before the second is made."""
    async with panel.http.stream("GET", f"{BASE}/stream", headers=panel.edge.operator) as answer:
        pieces = answer.aiter_raw()
        first = await anext(pieces)
        await get(panel, "open")
        rest = b"".join([piece async for piece in pieces])

    assert (200, "text/event-stream") == (answer.status_code, answer.headers["content-type"])
    assert (b"first", b"second") == (first, rest)


async def test_what_goes_on_behind_does_not_delay(panel: stack.Panel) -> None:
    """The answer is whole; the app hears that its client has gone."""
    answer = await get(panel, "behind")
    await get(panel, "open")

    assert "answered" == answer.json()
    assert ["http.disconnect", "behind"] == await told(panel, 2)


async def test_a_client_that_goes_is_a_disconnect(panel: stack.Panel) -> None:
    """What the app sends then harms nobody."""
    async with panel.http.stream("GET", f"{BASE}/leave", headers=panel.edge.operator) as answer:
        assert b"bit" == await anext(answer.aiter_raw())

    assert ["http.disconnect", "sent without harm"] == await told(panel, 2)


async def test_a_client_that_does_not_read_slows_the_app_only(panel: stack.Panel) -> None:
    """The app waits after what the buffers between take, not after all; others are served, and a reader gets it all."""
    async with panel.http.stream("GET", f"{BASE}/much", headers=panel.edge.operator) as answer:
        pieces = answer.aiter_raw()
        size = len(await anext(pieces))
        others = [(await get(panel, "scope")).status_code for _ in range(30)]
        sent = await told(panel)
        size += sum([len(piece) async for piece in pieces])
    await told(panel)

    assert 64_000_000 == size
    assert {200} == set(others)
    assert sent[0] < 600


async def test_a_large_piece_is_cut(panel: stack.Panel) -> None:
    """More at once than any message between may hold."""
    answer = await get(panel, "huge")

    assert (200, 20_000_000, "20000000") == (
        answer.status_code,
        len(answer.content),
        answer.headers["content-length"],
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("raise", "ValueError: before"),
        ("raise_between", "ValueError: between"),
        ("return", "the app did not answer"),
        ("exit", "SystemExit: 3"),
    ],
)
async def test_an_app_that_fails_is_an_error_of_the_server(panel: stack.Panel, path: str, words: str) -> None:
    """While nothing was sent; others are served."""
    answer = await get(panel, path)

    assert (500, f"500: {words}") == (answer.status_code, answer.json()["detail"])
    assert (await get(panel, "scope")).status_code == 200


async def test_an_answer_that_is_not_whole_breaks_off(panel: stack.Panel) -> None:
    """It must not look as if it were."""
    with pytest.raises(httpx.RemoteProtocolError):
        await get(panel, "raise_within")

    assert (await get(panel, "scope")).status_code == 200


async def test_who_is_let_in_no_more_is_gone_from_open_answers(panel: stack.Panel) -> None:
    """Within the second that every stream has, and the app hears of it."""
    guest = await panel.edge.new_user("guest")
    name = (await panel.call("GET", "/role/guest")).json()["id"]
    async with panel.http.stream("GET", f"{BASE}/stream", headers=guest) as answer:
        pieces = answer.aiter_raw()
        first = await anext(pieces)
        gone = await panel.call("DELETE", f"/role/{name}")
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(pieces)

    assert (b"first", 204) == (first, gone.status_code)


async def test_messages_in_the_wrong_order_are_refused(panel: stack.Panel) -> None:
    """To the app, in words; what follows the end is nothing."""
    assert "expected 'http.response.start', got 'http.response.body'" == (await get(panel, "wrong_order")).json()
    assert "expected 'http.response.body', got 'http.response.start'" == (await get(panel, "twice")).text


async def test_answers_without_body(panel: stack.Panel) -> None:
    """To HEAD, and of a status that has none, though the app sends one."""
    nothing = await get(panel, "nothing")
    head = await panel.call("HEAD", f"{BASE}/huge")

    assert (204, b"") == (nothing.status_code, nothing.content)
    assert (200, b"", "20000000") == (head.status_code, head.content, head.headers["content-length"])
    assert (await get(panel, "scope")).status_code == 200


# -- WebSockets ------------------------------------------------------------------------------------------------------


async def until_closed(socket: ClientConnection) -> ConnectionClosed:
    """Read until it is closed; return how."""
    async with asyncio.timeout(stack.DEADLINE_S):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                return closed


async def test_a_websocket_speaks_both_ways(panel: stack.Panel) -> None:
    """Text and bytes, of any length; the app chooses the protocol, and sends headers."""
    async with open_socket(panel, "socket/x", subprotocols=["one", "two"]) as socket:
        first = json.loads(await socket.recv())
        sent: list[str | bytes] = ["", "text ü 🎈", b"", b"\x00\xff", "x" * 60_000, *map(str, range(50))]
        for message in sent:
            await socket.send(message)
        heard = [await socket.recv() for _ in sent]

        assert ["ws", "/socket/x", ["one", "two"]] == first
        assert "two" == socket.subprotocol
        assert socket.response is not None
        assert "1" == socket.response.headers["x-own"]
    assert sent == heard
    assert [["websocket.disconnect", 1000, ""]] == await told(panel)


@pytest.mark.parametrize(
    ("word", "code", "reason"),
    [("close", 4001, "as told"), ("raise", 1011, "internal error"), ("return", 1000, "")],
)
async def test_an_app_ends_a_websocket(panel: stack.Panel, word: str, code: int, reason: str) -> None:
    """With its own code, or the one for what it did."""
    async with open_socket(panel, "socket") as socket:
        await socket.send(word)
        closed = await until_closed(socket)

    assert closed.rcvd is not None
    assert (code, reason) == (closed.rcvd.code, closed.rcvd.reason)
    if word == "close":
        assert ["websocket.disconnect"] == await told(panel)


async def test_a_client_ends_a_websocket(panel: stack.Panel) -> None:
    """The app hears with which code, and why."""
    async with open_socket(panel, "socket") as socket:
        await socket.recv()
        await socket.close(4002, "enough")

    assert [["websocket.disconnect", 4002, "enough"]] == await told(panel)


async def test_a_websocket_may_be_refused(panel: stack.Panel) -> None:
    """With 403, or with an answer of the app's own; without a login by us."""
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(panel, "refuse")
    with pytest.raises(InvalidStatus) as denied:
        await open_socket(panel, "deny")
    with pytest.raises(InvalidStatus) as nobody:
        await connect(f"ws://{panel.edge.address}{BASE}/socket", open_timeout=stack.DEADLINE_S)
    with pytest.raises(InvalidStatus) as nowhere:
        await connect(f"ws://{panel.edge.address}/-/nobody/x", additional_headers=panel.edge.operator, open_timeout=60)

    assert [403, 429, 401, 404] == [found.value.response.status_code for found in (refused, denied, nobody, nowhere)]
    assert (b"too many", "full") == (denied.value.response.body, denied.value.response.headers["x-why"])
    assert 426 == (await get(panel, "socket")).status_code
