"""Every way to follow a job, cut at random points and resumed through Envoy: what is seen is the log, each event once.

A seed decides where the cuts are.  All ways follow the same job while it runs, so they share its watch.
"""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc
from google.protobuf import json_format
from websockets.asyncio.client import connect

from tests.gateway.dialects.kasal.kasal import Kasal, client
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")

Seen = tuple[int, Any]
"""The number of an event, and how it was shown."""
Way = Callable[[Kasal, str, int], AsyncGenerator[Seen, None]]
"""Yields what follows an event of a job, by its id, to its end."""
STEPS = 6
"""Tasks of the crew: some hundred and fifty events."""


def bearer(user: Kasal) -> dict[str, str]:
    """Return the header of a user's requests."""
    return {"authorization": f"Bearer {user.token}"}


async def by_grpc(user: Kasal, job_id: str, after_seq: int) -> AsyncGenerator[Seen, None]:
    """WatchJob of the typed API."""
    async with grpc.aio.insecure_channel(user.edge.address) as channel:
        asked = job_pb2.WatchJobRequest(name=f"jobs/{job_id}", after_seq=after_seq)
        call = job_pb2_grpc.JobServiceStub(channel).WatchJob(asked, metadata=tuple(bearer(user).items()))
        try:
            async for answer in call:
                for event in answer.events:
                    yield event.seq, json_format.MessageToDict(event)
        finally:
            call.cancel()


async def lines(user: Kasal, path: str, **headers: str) -> AsyncGenerator[str, None]:
    """Yield the lines of an answer as they come."""
    async with (
        httpx.AsyncClient(base_url=f"http://{user.edge.address}", timeout=DEADLINE_S) as http,
        http.stream("GET", path, headers={**bearer(user), **headers}) as answer,
    ):
        assert answer.is_success, answer.status_code
        async for line in answer.aiter_lines():
            yield line


async def by_rest(user: Kasal, job_id: str, after_seq: int) -> AsyncGenerator[Seen, None]:
    """The same, transcoded: a JSON object in each line."""
    async with contextlib.aclosing(lines(user, f"/mesh/v1/jobs/{job_id}:watch?afterSeq={after_seq}")) as answers:
        async for line in answers:
            for event in json.loads(line).get("events", ()) if line.strip() else ():
                yield int(event["seq"]), event


async def by_socket(user: Kasal, job_id: str, after_seq: int) -> AsyncGenerator[Seen, None]:
    """The WebSocket of the typed API."""
    url = f"ws://{user.edge.address}/mesh/v1/jobs/{job_id}:watch?after_seq={after_seq}"
    async with connect(url, additional_headers=bearer(user), open_timeout=DEADLINE_S, proxy=None) as socket:
        try:
            async for text in socket:
                event = json.loads(text)
                yield int(event["seq"]), event
        finally:
            socket.transport.abort()  # no good-bye, as of a client whose network is gone


async def by_kodosumi(user: Kasal, job_id: str, after_seq: int) -> AsyncGenerator[Seen, None]:
    """Server-sent events of the panel API."""
    resumed = {"last-event-id": str(after_seq)} if after_seq else {}
    async with contextlib.aclosing(lines(user, f"/outputs/stream/{job_id}", **resumed)) as answer:
        seq, shown = 0, []
        async for line in answer:
            if line.startswith("id: "):
                seq = int(line.removeprefix("id: "))
            elif line:
                shown.append(line)
            elif shown:
                if seq:  # what is synthetic has none
                    yield seq, shown
                seq, shown = 0, []


async def by_kasal(user: Kasal, job_id: str, after_seq: int) -> AsyncGenerator[Seen, None]:
    """Kasal's WebSocket, which tells some of the events."""
    async with user.socket() as socket:
        await socket.send(json.dumps({"type": "subscribe", "job_id": f"job_{job_id}", "since_seq": after_seq}))
        assert "subscribed" == json.loads(await socket.recv())["type"]
        try:
            async for text in socket:
                frame = json.loads(text)
                yield frame["seq"], frame
                if frame["type"] == "execution_complete":
                    return
        finally:
            socket.transport.abort()


WHOLE: tuple[Way, ...] = (by_grpc, by_rest, by_socket, by_kodosumi)
WAYS: tuple[Way, ...] = (*WHOLE, by_kasal)


async def cut(way: Way, user: Kasal, job_id: str, chance: random.Random) -> list[Seen]:
    """Follow a job to its end, and hang up again and again; return all that was seen."""
    seen: list[Seen] = []
    while not (seen and isinstance(seen[-1][1], dict) and seen[-1][1].get("type") == "execution_complete"):
        async with contextlib.aclosing(way(user, job_id, seen[-1][0] if seen else 0)) as items:
            left = chance.choice((1, 2, 5, 40))
            async for item in items:
                seen.append(item)
                left -= 1
                if not left:
                    break
            else:
                return seen
    return seen


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_seen_across_cuts_is_the_log(edge: Edge, seed: int) -> None:
    """No gap, nothing twice, the same to all; while the job runs and when it has ended."""
    user = await client(edge, tier="TIER_ENTERPRISE")
    crew = await user.working_crew(*(f"Say {number}" for number in range(STEPS)))
    job_id = (await user.start(crew)).removeprefix("job_")
    chances = [
        (way, random.Random(f"{seed} {number} {way.__name__}")) for number, way in itertools.product((1, 2), WAYS)
    ]

    async with asyncio.timeout(2 * DEADLINE_S):
        found = await asyncio.gather(*(cut(way, user, job_id, chance) for way, chance in chances))
        again = [await cut(way, user, job_id, chance) for way, chance in chances[: len(WAYS)]]
        uncut = {way: [item async for item in way(user, job_id, 0)] for way in WAYS}

    for (way, _), seen in zip([*chances, *chances], [*found, *again], strict=False):
        assert uncut[way] == seen, way.__name__
    numbers = [seq for seq, _ in uncut[by_grpc]]
    assert list(range(1, len(numbers) + 1)) == numbers
    for way in WHOLE:
        assert numbers == [seq for seq, _ in uncut[way]], way.__name__
    assert set(numbers) > {seq for seq, _ in uncut[by_kasal]}
