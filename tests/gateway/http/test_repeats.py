"""`Idempotency-Key`: the same key and body give the same answer, whatever is created and in whose shape."""

import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.gateway.dialects.masumi import escrows
from tests.gateway.stack import Edge, Panel

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "Idempotency-Key"


async def post(edge: Edge, path: str, body: Any, key: str, request_id: str = "") -> httpx.Response:
    """Create something, as the operator and as the holder of the ledger's key."""
    query = {}
    if request_id and path.endswith("/users"):  # whose body is the user
        query = {"requestId": request_id}
    elif request_id:
        body = {**body, "requestId": request_id}
    return await edge.http.post(path, json=body, headers={**edge.operator, **escrows.DEV, KEY: key}, params=query)


def role() -> dict[str, Any]:
    """A role of a new name."""
    name = f"r-{secrets.token_hex(4)}"
    return {"name": name, "email": f"{name}@example.com", "password": "secret-secret"}


def agent() -> dict[str, Any]:
    """An agent to register."""
    return {
        "network": "Preprod",
        "name": f"a-{secrets.token_hex(4)}",
        "AgentPricing": {"pricingType": "Free"},
    }


def user() -> dict[str, Any]:
    """A user of the typed API."""
    made = role()
    return {"login": made["name"], "email": made["email"], "password": made["password"]}


DIALECTS: list[tuple[str, Callable[[], dict[str, Any]], str, str]] = [
    ("/role", role, "email", "id"),
    ("/api/v1/payment", escrows.payment_body, "metadata", "id"),
    ("/api/v1/registry", agent, "name", "id"),
]
TYPED: list[tuple[str, Callable[[], dict[str, Any]], str, str]] = [
    ("users", user, "email", "name"),
    ("apiKeys", lambda: {"displayName": "one"}, "displayName", "token"),
    ("ledger/keys", lambda: {"key": {"displayName": "one"}}, "key.displayName", "token"),
    ("exposes/typed-once:save", lambda: {"expose": {"enabled": False}}, "expose.displayName", "etag"),
    ("jobs", lambda: {"target": "flows/raw", "inputs": {"say": "a"}}, "inputs.say", "name"),
    ("apps/raw:call", lambda: {"method": "POST", "path": "/", "body": "eyJzYXkiOiJhIn0="}, "query", "jobs"),
]


def changed(body: dict[str, Any], field: str) -> dict[str, Any]:
    """Return a body with another text in one place."""
    outer, _, inner = field.rpartition(".")
    text = "other@example.com" if inner == "email" else "other"
    return {**body, outer: {**body[outer], inner: text}} if outer else {**body, inner: text}


@pytest.mark.parametrize(("path", "make", "field", "shown"), DIALECTS, ids=lambda value: str(value)[:20])
async def test_a_create_of_a_dialect_is_done_once(
    edge: Edge, path: str, make: Callable[[], dict[str, Any]], field: str, shown: str
) -> None:
    """Another body with its key is refused in the dialect's shape, which names the header; so is a key too long."""
    key, body = secrets.token_hex(8), make()
    if path.endswith("registry"):
        source = (await escrows.data(edge, "GET", "payment-source"))["PaymentSources"][0]
        body["sellingWalletVkey"] = source["SellingWallets"][0]["walletVkey"]
    first, again = [await post(edge, path, body, key) for _ in range(2)]
    other = await post(edge, path, changed(body, field), key)
    long = await post(edge, path, body, "k" * 300)

    assert first.status_code == again.status_code < 300, first.text + again.text
    made, same = [answer.json().get("data", answer.json()) for answer in (first, again)]
    assert made[shown] == same[shown]
    for refused in (other, long):
        assert (400, True) == (refused.status_code, KEY in refused.text), refused.text
        assert {"status", "error"} == refused.json().keys() or "status_code" in refused.json()


async def test_a_purchase_is_made_once(edge: Edge) -> None:
    """Without its key it would be refused as one that there is."""
    payment = await escrows.data(edge, "POST", "payment", escrows.payment_body())
    body, key = escrows.purchase_body(payment), secrets.token_hex(8)
    first, again = [await post(edge, "/api/v1/purchase", body, key) for _ in range(2)]
    other = await post(edge, "/api/v1/purchase", {**body, "metadata": "other"}, key)
    without = await escrows.call(edge, "POST", "purchase", body)

    assert (200, 200) == (first.status_code, again.status_code), again.text
    assert first.json()["data"]["id"] == again.json()["data"]["id"]
    assert (400, True) == (other.status_code, KEY in other.json()["error"]["message"])
    assert 409 == without.status_code


@pytest.mark.parametrize(("path", "make", "field", "shown"), TYPED, ids=lambda value: str(value)[:20])
async def test_a_create_of_the_typed_api_is_done_once(
    panel: Panel, path: str, make: Callable[[], dict[str, Any]], field: str, shown: str
) -> None:
    """The key stands for `requestId`; both at once must be the same."""
    edge, key, body = panel.edge, secrets.token_hex(8), make()
    first, again = [await post(edge, f"/mesh/v1/{path}", body, key) for _ in range(2)]
    named = await post(edge, f"/mesh/v1/{path}", body, "", key)
    both = await post(edge, f"/mesh/v1/{path}", body, key, key)
    other = await post(edge, f"/mesh/v1/{path}", changed(body, field), key)
    differ = await post(edge, f"/mesh/v1/{path}", body, key, "another")
    long = await post(edge, f"/mesh/v1/{path}", body, "k" * 300)

    assert [200] * 4 == [answer.status_code for answer in (first, again, named, both)], again.text + named.text
    assert first.json()[shown]
    assert 1 == len({str(answer.json()[shown]) for answer in (first, again, named, both)})
    for refused in (other, differ, long):
        assert (400, 3) == (refused.status_code, refused.json()["code"]), refused.text
    assert all(name in differ.text for name in ("request_id", KEY))
    assert KEY in long.text
