"""How much a caller may send: a bucket each, of the size that their tier gives them."""

import asyncio
import dataclasses
import pathlib
import re
from typing import Any

import grpc
import httpx
import pytest
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc

from gateway.config import RATES, EdgeConfig
from gateway.dialects import DIALECTS, kodosumi, masumi
from gateway.edge import contract, prefixes, ratelimit
from gateway.edge.front import NOBODY, Rate
from gateway.edge.ratelimit import of_mesh
from tests.gateway.stack import DEADLINE_S, Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
MANY = 60
"""Requests at once: more than any small bucket here holds or is refilled with meanwhile."""


def placed(edge: Edge, **changes: Any) -> EdgeConfig:
    """Return the configuration of another Envoy in front of the same mesh."""
    return edge.config.model_copy(update={"port": free_port(), **changes})


async def flood(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> list[httpx.Response]:
    """Ask for the same many times at once."""
    return list(await asyncio.gather(*(http.get(path, headers=headers) for _ in range(MANY))))


def refused(answers: list[httpx.Response]) -> list[httpx.Response]:
    """Return those that were too many."""
    return [answer for answer in answers if answer.status_code == 429]


async def test_a_caller_has_a_limit_of_their_own(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Past it 429 in the panel's shape; another user and nobody are not touched."""
    config = placed(edge, rate_limit_rps=1)
    other = await edge.new_user("patient")
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        limited = refused(await flood(http, "/role/profile", edge.operator))
        others = await http.get("/role/profile", headers=other)
        nobody = await http.get("/flow")

    assert limited
    assert limited[0].headers["retry-after"] == "1"
    assert limited[0].json() == {
        "error": "TooManyRequestsException",
        "path": "/role/profile",
        "detail": "429: too many requests: slow down",
        "status_code": 429,
    }
    assert (others.status_code, nobody.status_code) == (200, 401)


async def test_each_tier_has_its_rate(edge: Edge, tmp_path: pathlib.Path) -> None:
    """The token says which: who pays more may send more, and every answer says how much is left."""
    config = placed(edge, rate_limits={"free": 2, "enterprise": 1000})
    free = await edge.new_user("thrifty")
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        first = await http.get("/role/profile", headers=free)
        thrifty = await flood(http, "/role/profile", free)
        enterprise = await flood(http, "/role/profile", edge.operator)

    assert "2" == first.headers["x-ratelimit-limit"].partition(",")[0]
    assert first.headers["x-ratelimit-remaining"] in ("1", "2")  # it comes back in half a second
    assert refused(thrifty)
    assert {"0"} == {answer.headers["x-ratelimit-remaining"] for answer in refused(thrifty)}
    assert not refused(enterprise)
    assert {"1000"} == {answer.headers["x-ratelimit-limit"].partition(",")[0] for answer in enterprise}


async def test_a_refusal_says_that_nothing_is_left(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Also when Envoy has filled the bucket again before it answers, in which case it says one, and now."""
    late = {"x-mesh-limited": "1", "x-ratelimit-limit": "5", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "0"}

    def alter(bootstrap: dict[str, Any]) -> None:
        listener = bootstrap["static_resources"]["listeners"][0]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        added = [{"header": {"key": name, "value": value}} for name, value in late.items()]
        manager["route_config"].setdefault("response_headers_to_add", []).extend(added)
        manager["http_filters"] = [each for each in manager["http_filters"] if each["name"] != "local_ratelimit"]

    config = placed(edge)
    async with (
        enveloped(config, edge.jwks_json, tmp_path, alter=alter) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
    ):
        rest = await http.get("/role/profile", headers=edge.operator)
        call = auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S)
        typed = dict(await call.initial_metadata())

    for headers in (rest.headers, typed):
        assert "x-mesh-limited" not in headers
        assert ["5", "0", "1", "1"] == [
            headers[name] for name in ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
        ]
    assert ("0", "1") == (rest.headers["ratelimit-remaining"], rest.headers["ratelimit-reset"])


async def test_callers_without_a_token_have_their_own(edge: Edge, tmp_path: pathlib.Path) -> None:
    """By address; a token that does not hold, or a tier that somebody claims for themselves, makes no difference."""
    config = placed(edge, rate_limits={"nobody": 1})
    claims = {"KODOSUMI_API_KEY": "forged", "x-mesh-user": "me", "x-mesh-tier": "enterprise"}
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        answers = await flood(http, "/flow", claims)
        known = await http.get("/role/profile", headers=edge.operator)

    assert refused(answers)
    assert 200 == known.status_code


async def test_too_many_is_said_in_the_dialects_words(edge: Edge, tmp_path: pathlib.Path) -> None:
    """JSON in the shape of whose path it is, RESOURCE_EXHAUSTED for gRPC."""
    config = placed(edge, rate_limits={"nobody": 1})
    async with (
        enveloped(config, edge.jwks_json, tmp_path) as http,
        grpc.aio.insecure_channel(f"127.0.0.1:{config.port}") as channel,
    ):
        payments = refused(await flood(http, "/api/v1/payment", {}))
        typed = refused(await flood(http, "/mesh/v1/jobs/x:watch", {}))
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        calls = (stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S) for _ in range(MANY))
        results = await asyncio.gather(*calls, return_exceptions=True)
    codes = {result.code() for result in results if isinstance(result, grpc.aio.AioRpcError)}

    words = "too many requests: slow down"
    assert {"status": "error", "error": {"message": words}} == payments[0].json()
    assert {"code": 8, "message": words, "details": []} == typed[0].json()
    assert {grpc.StatusCode.RESOURCE_EXHAUSTED} == codes


async def test_a_dialect_may_have_limits_of_its_own(edge: Edge, tmp_path: pathlib.Path) -> None:
    """For its paths, beside the mesh's; several at once, of which the one that is used up first counts."""
    hourly = {"free": (Rate(40, 3600), Rate(20, 7200)), NOBODY: (Rate(10, 3600),)}
    own = dataclasses.replace(masumi.DIALECT, rates=hourly)
    dialects = [own if dialect is masumi.DIALECT else dialect for dialect in DIALECTS]
    config = placed(edge)
    free = await edge.new_user("bound")
    async with enveloped(config, edge.jwks_json, tmp_path, dialects) as http:
        theirs = await flood(http, "/api/v1/health", free)
        nobodys = await flood(http, "/api/v1/health", {})
        operators = await flood(http, "/api/v1/health", edge.operator)
        elsewhere = await flood(http, "/role/profile", free)

    assert MANY - 20 == len(refused(theirs))
    assert MANY - 10 == len(refused(nobodys))
    assert not refused(operators), "no rate for a tier is no limit"
    assert not refused(elsewhere)


async def test_the_first_dialects_limits_are_for_what_is_nobody_elses(edge: Edge, tmp_path: pathlib.Path) -> None:
    """It has all paths but the others'."""
    own = dataclasses.replace(kodosumi.DIALECT, rates={NOBODY: (Rate(10, 3600),)})
    dialects = [own if dialect is kodosumi.DIALECT else dialect for dialect in DIALECTS]
    async with enveloped(placed(edge), edge.jwks_json, tmp_path, dialects) as http:
        panel = await flood(http, "/nowhere", {})
        payments = await flood(http, "/api/v1/health", {})

    assert MANY - 10 == len(refused(panel))
    assert not refused(payments)


async def test_the_page_says_the_rates_that_there_are() -> None:
    """`docs/gateway.md` has a row for each tier."""
    page = (pathlib.Path(__file__).parents[3] / "docs" / "gateway.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([\d,]+) \|$", page, re.MULTILINE))

    assert {tier: f"{rate:,}" for tier, rate in RATES.items()} == rows


async def test_every_tier_of_a_user_has_a_rate() -> None:
    """One without would have no limit; what is set is a ceiling for all."""
    tiers = {name.removeprefix("TIER_").lower() for name, number in auth_pb2.Tier.items() if number}
    small = of_mesh(EdgeConfig(rate_limit_rps=100, rate_limits={"sandbox": 5}))

    assert {*tiers, NOBODY} == set(RATES)
    assert {"sandbox": 5} | dict.fromkeys(tiers - {"sandbox"} | {NOBODY}, 100) == {
        tier: rate.requests for tier, (rate,) in small.items()
    }


async def test_several_envoys_share_every_rate() -> None:
    """What all of them let through together is no more than was said."""

    def sizes(edges: int) -> list[int]:
        services = contract.services(contract.descriptors())
        config = EdgeConfig(edges=edges, rate_limits={"sandbox": 3})
        found = ratelimit.policy(config, services, DIALECTS, prefixes.of_dialects(DIALECTS, services))
        return [descriptor["token_bucket"]["max_tokens"] for descriptor in found["descriptors"]]

    assert [max(1, size // 4) for size in sizes(1)] == sizes(4)
    assert 75 in sizes(4), "of 300 sign-ins a minute"
