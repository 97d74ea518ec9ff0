"""Kasal's WebSocket, through Envoy: who may, what comes, and going on where one was."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.gateway.dialects.kasal.kasal import BASES, Kasal, client
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(name="kasal", scope="module", loop_scope="module", params=BASES)
async def _kasal(edge: Edge, request: pytest.FixtureRequest) -> Kasal:
    """A user, in each base."""
    return await client(edge, request.param)


async def send(socket: ClientConnection, **frame: Any) -> None:
    """Send one frame."""
    await socket.send(json.dumps(frame))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    """Return the next frame."""
    async with asyncio.timeout(DEADLINE_S):
        frame: dict[str, Any] = json.loads(await socket.recv())
    assert isinstance(frame["seq"], int)
    return frame


async def closed(socket: ClientConnection) -> int:
    """Wait until the other side closes; return its code."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0


async def test_a_run_is_told_in_order(kasal: Kasal) -> None:
    """Each task begins and ends, progress grows, the end comes last; frames are numbered as events are."""
    frames = await kasal.frames(await kasal.start(await kasal.working_crew("First", "Second")))

    assert [frame["seq"] for frame in frames] == sorted({frame["seq"] for frame in frames})
    kinds = [frame["type"] for frame in frames]
    assert (2, 2, 1) == tuple(map(kinds.count, ("task_start", "task_complete", "execution_complete")))
    assert "execution_complete" == kinds[-1]
    percents = [frame["progress"] for frame in frames if frame["type"] == "progress"]
    assert (percents, 0, 100) == (sorted(percents), percents[0], percents[-1])


async def test_who_was_cut_off_goes_on_where_they_were(kasal: Kasal) -> None:
    """Cut behind any frame, the rest is what comes: nothing is missing, nothing comes twice."""
    job_id = await kasal.run(await kasal.working_crew("First", "Second"))
    whole = await kasal.frames(job_id)

    for number, frame in enumerate(whole[:-1], start=1):
        assert whole[number:] == await kasal.frames(job_id, since_seq=frame["seq"])


async def test_who_sends_no_header_signs_in_by_a_frame(kasal: Kasal) -> None:
    """As browsers must."""
    job_id = await kasal.run(await kasal.working_crew())
    async with kasal.socket(signed_in=False) as socket:
        await send(socket, type="auth", token=kasal.token)
        assert "authenticated" == (await receive(socket))["type"]
        await send(socket, type="subscribe", job_id=job_id)
        assert "subscribed" == (await receive(socket))["type"]


@pytest.mark.parametrize(
    "frame", [{"type": "subscribe", "job_id": "job_qwerty123"}, {"type": "auth", "token": "x"}, {"type": "auth"}, []]
)
async def test_who_does_not_is_closed(kasal: Kasal, frame: Any) -> None:
    """With 4401, whatever comes first."""
    async with kasal.socket(signed_in=False) as socket:
        await socket.send(json.dumps(frame))

        assert 4401 == await closed(socket)


@pytest.mark.parametrize("by_frame", [False, True])
async def test_a_session_ends_with_its_token(edge: Edge, by_frame: bool) -> None:
    """However it came."""
    leaving = await client(edge)
    async with leaving.socket(signed_in=not by_frame) as socket:
        if by_frame:
            await send(socket, type="auth", token=leaving.token)
            await receive(socket)
        await send(socket, type="ping")
        assert "pong" == (await receive(socket))["type"]
        assert 204 == (await leaving.call("POST", "/auth/logout")).status_code

        assert 4401 == await closed(socket)


async def test_an_execution_of_somebody_else_is_not_found(edge: Edge, kasal: Kasal) -> None:
    """As one that there is not; the session goes on."""
    job_id = await kasal.run(await kasal.working_crew())
    other = await client(edge)
    async with other.socket() as socket:
        for one in (job_id, "job_qwerty123", f"job_{'0' * 24}", "crew_1"):
            await send(socket, type="subscribe", job_id=one)
            frame = await receive(socket)
            assert ("error", one, "NOT_FOUND") == (frame["type"], frame["job_id"], frame["code"])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"type": "nope"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "job_id": 7}',
        '{"type": "subscribe", "job_id": "job_1", "since_seq": -1}',
        '{"type": "subscribe", "job_id": "job_1", "since_seq": "1"}',
    ],
)
async def test_what_is_wrong_is_told(kasal: Kasal, text: str) -> None:
    """And the session goes on."""
    async with kasal.socket() as socket:
        await socket.send(text)
        frame = await receive(socket)
        assert ("error", "VALIDATION_ERROR") == (frame["type"], frame["code"])
        await send(socket, type="ping")
        assert "pong" == (await receive(socket))["type"]


async def test_one_session_follows_several(kasal: Kasal) -> None:
    """Until it unsubscribes."""
    crew_id = await kasal.working_crew()
    jobs = [await kasal.start(crew_id) for _ in range(3)]
    ended: set[str] = set()
    async with kasal.socket() as socket:
        for job_id in jobs:
            await send(socket, type="subscribe", job_id=job_id)
        while ended != set(jobs):
            frame = await receive(socket)
            if frame["type"] == "execution_complete":
                ended.add(frame["job_id"])
        await send(socket, type="unsubscribe", job_id=jobs[0])
        assert "unsubscribed" == (await receive(socket))["type"]


async def test_a_stop_is_told(kasal: Kasal) -> None:
    """As the end, with the word for it."""
    job_id = await kasal.start(await kasal.working_crew(*(f"Step {number}" for number in range(50))))
    await kasal.call("POST", f"/executions/{job_id}/stop")

    last = (await kasal.frames(job_id))[-1]
    assert ("execution_complete", "stopped") == (last["type"], last["status"])
