"""What Kasal's tiers let somebody send."""

import asyncio
import time

import httpx
import pytest

from gateway.dialects.kasal import DIALECT
from gateway.edge.front import Rate
from tests.gateway.dialects.kasal.kasal import Kasal, client
from tests.gateway.stack import DEADLINE_S, Edge

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def flood(kasal: Kasal, count: int, path: str = "/tools") -> list[httpx.Response]:
    """Ask for the same so often at once."""
    return list(await asyncio.gather(*(kasal.call("GET", path) for _ in range(count))))


async def test_the_tiers_are_those_of_the_document() -> None:
    """Requests an hour, and in a burst of a minute."""
    assert (Rate(1_000, 3_600), Rate(100, 60)) == DIALECT.rates["free"]
    assert (Rate(10_000, 3_600), Rate(1_000, 60)) == DIALECT.rates["pro"]
    assert "enterprise" not in DIALECT.rates


async def test_a_burst_of_the_free_tier_ends(edge: Edge) -> None:
    """With 429, and when to come again; both bases are one, and others are not touched."""
    free = await client(edge)
    others = Kasal(edge, "/api/v1", free.token)
    began = time.monotonic()
    first = await free.call("GET", "/tools")
    answers = [first]
    async with asyncio.timeout(4 * DEADLINE_S):
        while not (refused := [answer for answer in answers if answer.status_code == 429]):
            answers += await flood(free, 60) + await flood(others, 60)
    took_s = time.monotonic() - began

    assert "1000" == first.headers["x-ratelimit-limit"]
    assert int(first.headers["x-ratelimit-remaining"]) in (999, 1000)  # one comes back in 3.6 s
    assert 100 <= len(answers) - len(refused) <= 100 + took_s * 100 / 60 + 1  # it comes back evenly
    for answer in refused:
        assert ("100", "0") == tuple(answer.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining"))
        assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"]
        assert "RATE_LIMIT" == answer.json()["error"]["code"]
    assert 200 == (await (await client(edge)).call("GET", "/tools")).status_code
    panel = await edge.http.get("/flow", headers={"KODOSUMI_API_KEY": free.token})
    assert 200 == panel.status_code


async def test_enterprise_has_no_burst(edge: Edge) -> None:
    """As the operator, who is of that tier."""
    answers = await flood(Kasal(edge, "/v1", edge.operator["KODOSUMI_API_KEY"]), 120)

    assert {200} == {answer.status_code for answer in answers}
