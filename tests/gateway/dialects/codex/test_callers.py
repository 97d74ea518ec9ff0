"""Who may call: programs of this machine without a token, everybody else with one."""

import dataclasses
import pathlib

import pytest

from gateway.dialects import DIALECTS
from gateway.dialects import codex as dialect
from gateway.edge.front import Rate
from meshkit.principal import LOCAL
from tests.gateway import stack
from tests.gateway.dialects.codex.calling import OFFLINE, Codex
from tests.gateway.stack import Edge, enveloped
from tests.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "http://localhost:5173"
FOREIGN = "https://evil.example"


async def test_programs_of_this_machine_are_one_user(codex: Codex) -> None:
    """What they make is theirs, and an operator's to see."""
    agent = await codex.agent()

    seen = await codex.edge.http.get(f"/mesh/v1/agents/{agent}", headers=codex.edge.operator)

    assert seen.json()["owner"] == LOCAL.user
    assert agent in [one["id"] for one in (await codex.get("agents")).json()]


async def test_a_foreign_id_is_not_found(codex: Codex) -> None:
    """Between two users and the user of this machine, on every route with an id; lists have one's own."""
    ada, ben = [Codex(codex.edge, await codex.edge.new_user(name)) for name in ("codex-ada", "codex-ben")]
    agent, conversation = await ada.agent(), await ada.conversation()
    execution = await ada.start(agent, external=True, conversationId=conversation)

    for other in (ben, codex):
        own = await other.agent()
        for path, body in (
            ("query/getAgent", {"id": agent}),
            ("query/getAgentExecution", {"id": execution}),
            ("query/getConversation", {"id": conversation}),
            ("command/updateAgent", {"id": agent, "name": "Mine"}),
            ("command/deleteAgent", {"id": agent}),
            ("command/startAgentExecution", {"agentId": agent, "userPrompt": "x"}),
            ("command/startAgentExecution", {"agentId": own, "userPrompt": "x", "conversationId": conversation}),
            ("command/completeAgentExecution", {"executionId": execution, "status": 2}),
            ("command/cancelAgentExecution", {"executionId": execution}),
        ):
            answer = await other.post(path, body)
            assert answer.status_code == 404, (path, answer.text)
        for path in (f"agents/{agent}", f"agents/{agent}/executions", f"agents/{agent}/conversations"):
            assert (await other.get(path)).status_code == 404
        for path, guid in (("agents", agent), ("executions", execution), ("conversations", conversation)):
            assert guid not in (await other.get(path)).text
    assert (await ada.execution(execution))["status"] == 0
    assert (await ada.post("query/getAgent", {"id": agent})).json()["name"] == "Atlas"


async def test_a_token_that_does_not_hold(codex: Codex) -> None:
    """It is 401: nobody is taken for somebody else unasked."""
    answer = await codex.post("query/getAgent", {}, authorization="Bearer nonsense")

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("headers", "posted", "read"),
    [
        ({"origin": FOREIGN}, 403, 401),
        ({"origin": "null"}, 403, 401),
        ({"host": "rebound.example"}, 421, 421),
        ({"x-forwarded-for": "192.0.2.7"}, 401, 401),
        ({"x-forwarded-for": "127.0.0.1"}, 401, 401),
        ({"forwarded": "for=192.0.2.7"}, 401, 401),
    ],
    ids=str,
)
async def test_who_is_not_a_program_of_this_machine(
    codex: Codex, headers: dict[str, str], posted: int, read: int
) -> None:
    """A page of elsewhere, a name of elsewhere, whoever comes through a proxy."""
    assert (await codex.post("command/createAgent", OFFLINE, **headers)).status_code == posted
    assert (await codex.edge.http.get("/api/agents", headers=headers)).status_code == read


@pytest.mark.parametrize("origin", [PAGE, "http://127.0.0.1:1", "https://localhost", "http://[::1]:8080"])
async def test_pages_of_this_machine_may_call(codex: Codex, origin: str) -> None:
    """Of any port: a preflight is answered, and answers may be read, errors too."""
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }

    preflight = await codex.edge.http.options("/API/command/createAgent", headers=asked)
    made = await codex.post("command/createAgent", OFFLINE, origin=origin)
    wrong = await codex.post("command/createAgent", {}, origin=origin)
    missing = await codex.edge.http.get("/api/command/nope", headers={"origin": origin})

    assert preflight.status_code == 200
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    assert (made.status_code, wrong.status_code, missing.status_code) == (200, 400, 404)
    for answer in (preflight, made, wrong, missing):
        assert answer.headers["access-control-allow-origin"] == origin
    assert "x-agent-id" in made.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", [FOREIGN, "http://localhost.evil.example", "http://evil.example:80/localhost", "null"]
)
async def test_pages_of_elsewhere_may_not(codex: Codex, origin: str) -> None:
    """Nor are other APIs for pages of this machine."""
    asked = {"origin": origin, "access-control-request-method": "POST"}

    answer = await codex.edge.http.options("/api/command/createAgent", headers=asked)
    other = await codex.edge.http.options("/flow", headers={**asked, "origin": PAGE})

    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in other.headers


async def test_a_mesh_may_ask_everybody_for_a_token(tmp_path: pathlib.Path) -> None:
    """`local_access` says so; health is for anybody, and named origins may call."""
    named = "https://app.example.com"
    async with stack.edge(tmp_path, local_access="refuse", origins={"codex": [named]}) as running:
        nobody, operator = Codex(running), Codex(running, running.operator)

        assert (await nobody.post("query/health", {})).text == "true"
        for path in ("agents", "executions", "conversations"):
            assert (await nobody.get(path)).status_code == 401
        assert (await nobody.post("command/createAgent", OFFLINE)).status_code == 401
        made = await operator.post("command/createAgent", OFFLINE, origin=named)
        assert (made.status_code, made.headers["access-control-allow-origin"]) == (200, named)


async def test_so_does_one_that_others_can_reach(edge: Edge, tmp_path: pathlib.Path) -> None:
    """Its edge lets nobody send a body, and no page of this machine call."""
    config = edge.config.model_copy(update={"host": "0.0.0.0", "port": free_port()})
    async with enveloped(config, edge.jwks_json, tmp_path) as http:
        nobody = await http.post("/api/command/createAgent", json=OFFLINE)
        answer = await http.post("/api/command/createAgent", json=OFFLINE, headers={"origin": PAGE})

    assert not config.is_open
    assert (nobody.status_code, answer.status_code) == (401, 403)
    assert "access-control-allow-origin" not in answer.headers


async def test_a_thousand_a_minute(codex: Codex, edge: Edge, tmp_path: pathlib.Path) -> None:
    """Of each caller, under any spelling of a path; then 429, which says how to go on."""
    assert set(dialect.DIALECT.rates.values()) == {(Rate(1_000, per_s=60),)}
    few = dataclasses.replace(dialect.DIALECT, rates=dict.fromkeys(dialect.DIALECT.rates, (Rate(5, per_s=3600),)))
    dialects = [few if one is dialect.DIALECT else one for one in DIALECTS]
    config = edge.config.model_copy(update={"port": free_port()})
    async with enveloped(config, edge.jwks_json, tmp_path, dialects) as http:
        answers = [await http.get(path) for path in ("/api/agents", "/API/AGENTS", "/Api/executions") * 3]
        other = await http.get("/api/agents", headers=edge.operator)
        panel = await http.get("/favicon.ico")
    limited = answers[-1]

    assert [answer.status_code for answer in answers[:5]] == [200] * 5
    assert (limited.status_code, limited.json()["title"]) == (429, "Too Many Requests")
    assert limited.headers["content-type"] == "application/problem+json"
    assert limited.headers["retry-after"] == limited.headers["ratelimit-reset"]
    assert 0 < int(limited.headers["retry-after"]) <= 3600
    assert (limited.headers["ratelimit-limit"], limited.headers["ratelimit-remaining"]) == ("5", "0")
    assert (other.status_code, panel.status_code) == (200, 204)
