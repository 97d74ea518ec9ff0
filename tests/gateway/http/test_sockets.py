"""WebSockets of the kernel: what a dialect's endpoint is given, and how a session ends."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.gateway.v1 import options_pb2
from agentmesh_protos.runner.v1 import job_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import app as gateway_app
from gateway.core.peers import Peers
from gateway.dialects import DIALECTS, mesh
from gateway.http.dialect import Dialect, Socket
from gateway.http.session import FRAME_BYTES_MAX, Session
from meshkit.errors import Denied, Exhausted, from_rpc
from meshkit.principal import caller
from tests.gateway.stack import DEADLINE_S
from tests.gateway.stage import Stage, job

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Echo:
    """Sends back what it is sent, with who sent it; `fail` and `break` end it in their ways, `end` well."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs

    async def __call__(self, session: Session) -> None:
        """Go on until told to end."""
        if session.params["word"] == "closed":
            raise Denied("not today")
        await session.accept()
        await session.send({"word": session.params["word"], "query": dict(session.query), "user": caller().user})
        while (said := await session.receive()) != "end":
            if said == "fail":
                raise Exhausted("enough")
            if said == "break":
                raise ValueError("a secret")
            if said == "jobs":
                with from_rpc():
                    page = await self._jobs.ListJobs(job_pb2.ListJobsRequest(page_size=10))
                said = [item.owner for item in page.jobs]
            await session.send(said)


class Slow:
    """Takes longer to leave than a server that ends waits for."""

    def __init__(self, peers: Peers) -> None:
        """It needs nobody."""

    async def __call__(self, session: Session) -> None:
        """Stay."""
        await session.accept()
        await session.send("welcome")
        try:
            await session.receive()
        finally:
            await asyncio.sleep(0.3)


class Deaf:
    """Accepts, and reads nothing."""

    def __init__(self, peers: Peers) -> None:
        """It needs nobody."""

    async def __call__(self, session: Session) -> None:
        """Stay."""
        await session.accept()
        await asyncio.Event().wait()


ECHO = Dialect(
    package="mesh.dialects.echo.v1",
    sockets=(
        Socket(path="/echo/{word}", endpoint=Echo),
        Socket(path="/public/{word}", endpoint=Echo, access=options_pb2.ACCESS_PUBLIC),
        Socket(path="/operators/{word}", endpoint=Echo, access=options_pb2.ACCESS_OPERATOR),
        Socket(path="/slow/{word}", endpoint=Slow),
        Socket(path="/deaf", endpoint=Deaf),
    ),
    render=mesh.DIALECT.render,
    envoy_body=mesh.DIALECT.envoy_body,
    reference=mesh.DIALECT.reference,
)


@contextlib.asynccontextmanager
async def gateway(stage: Stage, **changes: Any) -> AsyncIterator[str]:
    """Run a gateway with one dialect more, in front of the same services; yield where its WebSockets are."""
    changes |= dict.fromkeys(("gateway_address", "web_address"), "127.0.0.1:0")
    config = stage.config.model_copy(update=changes)
    async with gateway_app.running(config, [*DIALECTS, ECHO]) as ports:
        yield f"ws://127.0.0.1:{ports.web}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    """Where the WebSockets are."""
    async with gateway(stage) as url:
        yield url


def opened(url: str, stage: Stage, path: str) -> connect:
    """Return a WebSocket of alice's, to be opened."""
    headers = {"authorization": f"Bearer {stage.alice.headers['KODOSUMI_API_KEY']}"}
    return connect(f"{url}{path}", additional_headers=headers, open_timeout=DEADLINE_S, proxy=None)


async def told(socket: ClientConnection, value: Any) -> Any:
    """Send a value; return the next."""
    await socket.send(json.dumps(value))
    return json.loads(await socket.recv())


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Wait until it is closed from the other side; return how."""
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return socket.close_code, socket.close_reason


async def test_an_endpoint_has_the_caller_and_the_stubs(stage: Stage, url: str) -> None:
    """Its calls are the caller's: the runner lists their jobs only."""
    stage.runner.add(job(stage.owner))
    stage.runner.add(job("users/somebody"))
    async with opened(url, stage, "/echo/hello?a=1&a=2") as socket:
        greeting = json.loads(await socket.recv())
        echoed = await told(socket, {"x": [1, None, "ü"]})
        owners = await told(socket, "jobs")

    assert {"word": "hello", "query": {"a": "2"}, "user": stage.owner} == greeting
    assert {"x": [1, None, "ü"]} == echoed
    assert {stage.owner} == set(owners)


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        ('"end"', 1000, ""),
        ('"fail"', 4429, "enough"),
        ('"break"', 4500, "internal error"),
        ("{", 4400, "frame is not JSON"),
        (b"\0\1", 4400, "frame is not text"),
    ],
)
async def test_how_an_endpoint_ends_is_said(stage: Stage, url: str, said: Any, code: int, reason: str) -> None:
    """4000 and the HTTP status of what it raises; nothing of what is ours to mend."""
    async with opened(url, stage, "/echo/x") as socket:
        await socket.recv()
        await socket.send(said)

        assert (code, reason) == await closed(socket)


async def test_frames_that_nobody_reads_are_not_kept(stage: Stage, url: str) -> None:
    """Who sends on and on is let go."""
    async with opened(url, stage, "/deaf") as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                await socket.send("1")

        assert (4400, "nobody reads so many frames") == await closed(socket)


async def test_a_frame_has_a_limit(stage: Stage, url: str) -> None:
    """Of 64 KiB; a larger one ends the session."""
    async with opened(url, stage, "/echo/x") as socket:
        await socket.recv()
        text = "a" * (FRAME_BYTES_MAX - 2)
        echoed = await told(socket, text)
        await socket.send(json.dumps(f"{text}a"))
        code, _ = await closed(socket)

    assert text == echoed
    assert 1009 == code


@pytest.mark.parametrize(("path", "status"), [("/echo/closed", 403), ("/operators/x", 403), ("/nowhere", 404)])
async def test_before_it_is_open_the_answer_is_http(stage: Stage, url: str, path: str, status: int) -> None:
    """Whether the endpoint or the door refuses."""
    with pytest.raises(InvalidStatus) as caught:
        await opened(url, stage, path)

    assert status == caught.value.response.status_code
    assert json.loads(caught.value.response.body or b"")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer forged"}])
async def test_a_public_one_is_for_everybody(url: str, headers: dict[str, str]) -> None:
    """Who is nobody has no user; as with an RPC, a token that does not hold is none."""
    async with connect(f"{url}/public/x", additional_headers=headers, open_timeout=DEADLINE_S, proxy=None) as socket:
        assert "" == json.loads(await socket.recv())["user"]


async def test_one_caller_has_so_many_and_no_more(stage: Stage) -> None:
    """429 then, until one is closed; who has no token is known by the address that the edge saw."""
    async with gateway(stage, streams_per_owner=1) as url:

        def public(address: str) -> connect:
            seen = {"x-forwarded-for": f"192.0.2.9, {address}"}
            return connect(f"{url}/public/x", additional_headers=seen, open_timeout=DEADLINE_S, proxy=None)

        async with opened(url, stage, "/echo/x"), public("192.0.2.1"), public("192.0.2.2"):
            refused = []
            for another in (opened(url, stage, "/public/x"), public("192.0.2.2")):
                with pytest.raises(InvalidStatus) as caught:
                    await another
                refused.append(caught.value.response.status_code)
        async with asyncio.timeout(DEADLINE_S):
            while not await _opens(opened(url, stage, "/echo/x")):  # the gateway hears of it in its own time
                pass

    assert [429, 429] == refused


async def _opens(attempt: connect) -> bool:
    try:
        async with attempt:
            return True
    except InvalidStatus:
        return False


@pytest.mark.parametrize("path", ["/echo/x", "/slow/x"])
async def test_when_the_gateway_stops_clients_are_told_to_come_again(stage: Stage, path: str) -> None:
    """1001, at once, or when the endpoint has put its things in order."""
    async with contextlib.AsyncExitStack() as stack:
        async with gateway(stage) as url:
            socket = await stack.enter_async_context(opened(url, stage, path))
            await socket.recv()

        assert (1001, "the gateway stops: connect again") == await closed(socket)
