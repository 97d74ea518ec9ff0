"""What is said to a Masumi payment service, and what is made of its answers, right or wrong."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from meshkit.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from services.payments.providers import masumi_wire as wire
from services.payments.providers.masumi import MasumiProvider
from tests.payments.benches import masumi
from tests.payments.escrows import AGENT
from tests.payments.scripted import Script, error, ok, response, scripted
from tests.payments.terms import NOON, terms

PAYMENT: dict[str, Any] = {
    "id": "cmxyz",
    "createdAt": "2030-01-01T12:00:00.001Z",
    "updatedAt": "2030-01-01T12:00:00.003Z",
    "nextActionOrOnChainStateOrResultLastChangedAt": "2030-01-01T12:00:00.002Z",
    "blockchainIdentifier": "aabb",
    "agentIdentifier": AGENT,
    "inputHash": "cd" * 32,
    "resultHash": "",
    "onChainState": None,
    "NextAction": {"requestedAction": "WaitingForExternalAction", "errorType": None, "errorNote": None},
    "payByTime": str(NOON + 1),
    "submitResultTime": str(NOON + 2),
    "unlockTime": str(NOON + 3),
    "externalDisputeUnlockTime": str(NOON + 4),
    "RequestedFunds": [{"amount": "10000000", "unit": "lovelace"}, {"amount": "5", "unit": "abcd"}],
    "SmartContractWallet": {"id": "w", "walletVkey": "ee" * 28, "walletAddress": "addr_test1"},
    "metadata": "0" * 24,
    "somethingNew": {"from": "a later version"},
}
STATUS = {"permission": "ReadAndPay", "NetworkLimit": ["Preprod"]}


@pytest_asyncio.fixture
async def script() -> AsyncIterator[Script]:
    """A server of the test's."""
    async with scripted() as running:
        yield running


@pytest_asyncio.fixture
async def provider(script: Script) -> AsyncIterator[MasumiProvider]:
    """A client of it."""
    client = masumi(script.url, timeout_s=30.0)
    yield client
    await client.aclose()


async def test_a_request_is_written_as_the_service_reads_it(script: Script, provider: MasumiProvider) -> None:
    """Times as ISO text with a Z; no RequestedFunds for a fixed price; the token in its header and nowhere else."""
    script.answer = lambda asked: ok(PAYMENT)
    asked_for = terms(pay_by_time=NOON + 1, submit_result_time=NOON + 2, unlock_time=NOON + 1000)
    escrow = await provider.request(asked_for)
    [asked] = script.asked

    assert asked.line == "POST /api/v1/payment HTTP/1.1"
    assert asked.headers["token"] == "dev"
    assert asked.body == {
        "inputHash": "cd" * 32,
        "network": "Preprod",
        "agentIdentifier": AGENT,
        "identifierFromPurchaser": "aabbaabb11221122aabb",
        "payByTime": "2030-01-01T12:00:00.001Z",
        "submitResultTime": "2030-01-01T12:00:00.002Z",
        "unlockTime": "2030-01-01T12:00:01.000Z",
        "metadata": asked_for.job_id,
    }
    assert (escrow.id, escrow.blockchain_identifier, escrow.on_chain_state) == ("cmxyz", "aabb", None)
    assert (escrow.pay_by_time, escrow.external_dispute_unlock_time) == (NOON + 1, NOON + 4)
    assert (escrow.changed_at, escrow.updated_at) == (NOON + 2, NOON + 3)
    assert escrow.amounts == ((10_000_000, ""), (5, "abcd"))
    assert (escrow.seller_vkey, escrow.job_id) == ("ee" * 28, "0" * 24)


async def test_dynamic_amounts_are_asked_for(script: Script, provider: MasumiProvider) -> None:
    """As text."""
    script.answer = lambda asked: ok(PAYMENT)
    await provider.request(terms(amounts=((7, ""),), pay_by_time=NOON, submit_result_time=NOON))

    assert script.asked[0].body["RequestedFunds"] == [{"amount": "7", "unit": ""}]


async def test_connections_are_kept(script: Script, provider: MasumiProvider) -> None:
    """One for many calls."""
    script.answer = lambda asked: ok(PAYMENT)
    for _ in range(5):
        await provider.resolve("aabb")

    assert (len(script.asked), script.connections) == (5, 1)


ANSWERS: list[tuple[bytes, type[Exception], str]] = [
    (error(400, "Input hash is not a valid hex string"), Invalid, "hex"),
    (error(401, "Unauthorized, invalid authentication token provided"), Unauthenticated, "Unauthorized"),
    (error(403, "You are not authorized"), Denied, "not authorized"),
    (error(404, "Payment not found or in invalid state"), NotFound, "invalid state"),
    (error(409, "Payment state changed concurrently"), Conflict, "concurrently"),
    (error(422, "metadata"), Invalid, "metadata"),
    (error(429, "slow down", "retry-after: 7"), Exhausted, "slow"),
    (error(500, "Internal Server Error"), Unavailable, "Internal"),
    (error(503, "down"), Unavailable, "down"),
    (error(504, "late"), DeadlineExceeded, "late"),
    (response(400, {"status": "error", "message": "as the documentation has it"}), Invalid, "documentation"),
    (response(502, b"<html>Bad Gateway</html>"), Unavailable, "502"),
    (response(400, b""), Invalid, "400"),
    (response(400, {"error": "text"}), Invalid, "text"),
    (response(400, {"error": {"message": 7}}), Invalid, "400"),
    (response(418, {}), FailedPrecondition, "418"),
    (response(302, b"", "location: http://example.com/steal"), FailedPrecondition, "redirect"),
    (response(307, b"", "location: /elsewhere"), FailedPrecondition, "redirect"),
    (response(201, {"status": "success", "data": {}}), FailedPrecondition, "201"),
    (response(200, b"not json"), Unavailable, "cannot be read"),
    (response(200, b"[]"), Unavailable, "cannot be read"),
    (response(200, {"status": "error", "data": {}}), Unavailable, "cannot be read"),
    (response(200, {"status": "success"}), Unavailable, "cannot be read"),
    (ok(None), Unavailable, "cannot be read"),
    (b"", Unavailable, "reached"),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\n{}", Unavailable, "reached"),
    (b"nonsense\r\n\r\n", Unavailable, "reached"),
]


@pytest.mark.parametrize(("answer", "kind", "text"), ANSWERS)
async def test_what_goes_wrong_is_told_by_its_class(
    script: Script, provider: MasumiProvider, answer: bytes, kind: type[Exception], text: str
) -> None:
    """In the service's own words, where it has any; the token is in none of them."""
    script.answer = lambda asked: answer
    with pytest.raises(kind, match=text) as caught:
        await provider.resolve("aabb")

    assert type(caught.value) is kind
    assert "dev" not in str(caught.value)
    assert len(script.asked) == 1


@pytest.mark.parametrize("chunk", [None, b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"])
async def test_silence_is_a_deadline(script: Script, chunk: bytes | None) -> None:
    """Before the answer or in the middle of it."""
    provider = masumi(script.url, timeout_s=0.2)
    script.answer = lambda asked: chunk
    with pytest.raises(DeadlineExceeded):
        await provider.resolve("aabb")
    await provider.aclose()


async def test_nobody_there_is_unavailable() -> None:
    """And says so."""
    async with scripted() as gone:
        url = gone.url
    provider = masumi(url)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await provider.resolve("aabb")
    await provider.aclose()


async def test_an_endless_answer_is_cut_off(script: Script, provider: MasumiProvider) -> None:
    """Nobody's memory is filled."""
    script.answer = lambda asked: ok("x" * (17 * 1024 * 1024))
    with pytest.raises(Unavailable, match="more than"):
        await provider.resolve("aabb")


BROKEN: list[dict[str, Any]] = [
    {"id": None},
    {"blockchainIdentifier": 7},
    {"payByTime": "soon"},
    {"payByTime": "1765445305.5"},
    {"payByTime": "9" * 30},
    {"unlockTime": None},
    {"NextAction": None},
    {"NextAction": {}},
    {"RequestedFunds": {"amount": 1}},
    {"RequestedFunds": [{"amount": "-1", "unit": ""}]},
    {"updatedAt": "yesterday"},
    {"SmartContractWallet": "w"},
]


@pytest.mark.parametrize("broken", BROKEN)
def test_what_cannot_be_read_is_not_guessed(broken: dict[str, Any]) -> None:
    """A guess about money would be worse."""
    with pytest.raises(wire.Unreadable):
        wire.escrow({**PAYMENT, **broken})


def test_states_and_wallets_may_be_missing() -> None:
    """Before the first lock, and in the answers of older versions."""
    older = {key: value for key, value in PAYMENT.items() if not key.startswith("nextAction")}
    escrow = wire.escrow({**older, "SmartContractWallet": None, "metadata": None, "RequestedFunds": None})

    assert (escrow.seller_vkey, escrow.job_id, escrow.amounts) == ("", "", ())
    assert escrow.changed_at == escrow.updated_at


@pytest.mark.parametrize("status", [STATUS, {"canPay": True}, {"canAdmin": True, "NetworkLimit": ["Mainnet"]}])
async def test_a_key_that_may_pay_passes(script: Script, provider: MasumiProvider, status: dict[str, Any]) -> None:
    """By either generation's names."""
    script.answer = lambda asked: ok(status)
    await provider.check()


@pytest.mark.parametrize(
    ("status", "text"),
    [({"permission": "Read"}, "ReadAndPay"), ({**STATUS, "NetworkLimit": ["Mainnet"]}, "Preprod"), ({}, "may not pay")],
)
async def test_a_key_that_may_not_pay_says_what_to_do(
    script: Script, provider: MasumiProvider, status: dict[str, Any], text: str
) -> None:
    """Permission and network."""
    script.answer = lambda asked: ok(status)
    with pytest.raises(FailedPrecondition, match=text):
        await provider.check()


def entry(**pricing: Any) -> bytes:
    """Return a registry entry."""
    return ok({"agentIdentifier": AGENT, "Metadata": {"name": "a", "AgentPricing": pricing}})


async def test_the_registry_has_the_price(script: Script, provider: MasumiProvider) -> None:
    """It is remembered."""
    script.answer = lambda asked: entry(pricingType="Fixed", Pricing=[{"unit": "", "amount": "5"}])

    assert [await provider.price(AGENT) for _ in range(2)] == [((5, ""),)] * 2
    assert [asked.line for asked in script.asked] == [
        f"GET /api/v1/registry/agent-identifier?agentIdentifier={AGENT}&network=Preprod HTTP/1.1"
    ]


@pytest.mark.parametrize(
    ("answer", "text"),
    [(error(404, "Agent identifier not found"), "not registered"), (entry(pricingType="Free"), "free")],
)
async def test_an_agent_that_cannot_be_paid(script: Script, answer: bytes, text: str) -> None:
    """Shows at start-up, if it is configured, and else when it is first used."""
    script.answer = lambda asked: ok(STATUS) if "api-key" in asked.line else answer
    provider = masumi(script.url, agents=(AGENT,))
    with pytest.raises(Invalid, match=text):
        await provider.check()
    with pytest.raises(Invalid, match=text):
        await provider.price(AGENT)
    await provider.aclose()


async def test_a_dynamic_price_is_not_known(script: Script, provider: MasumiProvider) -> None:
    """It is agreed with each job."""
    script.answer = lambda asked: entry(pricingType="Dynamic")

    assert await provider.price(AGENT) == ()


async def test_a_job_is_found_in_the_list(script: Script, provider: MasumiProvider) -> None:
    """Over pages that repeat their last line, back to when it can have been asked for, and no further."""
    job = "f" * 24
    rows = [
        {
            **PAYMENT,
            "id": f"c{number}",
            "createdAt": wire.iso(NOON - number),
            "metadata": job if number in (3, 150) else "x",
        }
        for number in range(300)
    ]

    def answer(asked: Any) -> bytes:
        _, _, cursor = asked.line.split()[1].partition("cursorId=c")
        start = int(cursor or 0)
        return ok({"Payments": rows[start : start + 100]})

    script.answer = answer
    found = await provider.find(job, NOON - 180)

    assert [escrow.id for escrow in found] == ["c150", "c3"]
    assert len(script.asked) == 2


async def test_changes_are_asked_for_by_time_and_cursor(script: Script, provider: MasumiProvider) -> None:
    """In pages of a hundred."""
    script.answer = lambda asked: ok({"Payments": [PAYMENT]})
    await provider.changes(NOON, "cm1")
    line = script.asked[0].line

    assert "lastUpdate=2030-01-01T12%3A00%3A00.000Z" in line
    assert "cursorId=cm1" in line
    assert "limit=100" in line
    assert "network=Preprod" in line
