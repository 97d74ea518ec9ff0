"""Payments and purchases as a client of the masumi dialect makes them."""

import datetime
from typing import Any

import httpx

from tests.gateway.stack import Edge

# The agent of kodosumi's demonstration notebook, and the seller's key that its purchase names.
AGENT = (
    "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
    "ee8e013e3f92bbd2aa41065577ac087a0d55ff96430087324c023b021267ca37"
)
NOTEBOOK_VKEY = "2a581594ee277e1625a4e999b1b2d788f54217c35bd7f50ea9aecd64"
PURCHASER = "9a74866033f0e778c8ee734e12"
INPUT_HASH = "7c9ab94cd55e9c49dcbf65122f7446df2464d3945778624b1f67313f6aa749ec"
DEV = {"token": "dev"}
COMMON_KEYS = {
    "id",
    "createdAt",
    "updatedAt",
    "blockchainIdentifier",
    "agentIdentifier",
    "agentName",
    "pricingType",
    "lastCheckedAt",
    "payByTime",
    "submitResultTime",
    "unlockTime",
    "externalDisputeUnlockTime",
    "collateralReturnLovelace",
    "buyerReturnAddress",
    "sellerReturnAddress",
    "requestedById",
    "inputHash",
    "resultHash",
    "onChainState",
    "NextAction",
    "CurrentTransaction",
    "WithdrawnForSeller",
    "WithdrawnForBuyer",
    "PaymentSource",
    "SmartContractWallet",
    "metadata",
    "totalBuyerCardanoFees",
    "totalSellerCardanoFees",
    "cooldownTime",
    "cooldownTimeOtherParty",
    "nextActionLastChangedAt",
    "onChainStateOrResultLastChangedAt",
    "nextActionOrOnChainStateOrResultLastChangedAt",
}
HISTORY_KEYS = {"ActionHistory", "TransactionHistory"}


def iso(seconds_ahead: float) -> str:
    """Return a time as the service takes it."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds_ahead)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def payment_body(**changes: Any) -> dict[str, Any]:
    """Return the body of a good `POST /payment`."""
    body = {
        "inputHash": INPUT_HASH,
        "network": "Preprod",
        "agentIdentifier": AGENT,
        "identifierFromPurchaser": PURCHASER,
        "payByTime": iso(1200),
        "submitResultTime": iso(3600),
    }
    return {**body, **changes}


def purchase_body(payment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body that the notebook's cell sends."""
    return {
        "identifierFromPurchaser": PURCHASER,
        "network": "Preprod",
        "sellerVkey": NOTEBOOK_VKEY,
        "blockchainIdentifier": payment["blockchainIdentifier"],
        "payByTime": payment["payByTime"],
        "submitResultTime": payment["submitResultTime"],
        "unlockTime": payment["unlockTime"],
        "externalDisputeUnlockTime": payment["externalDisputeUnlockTime"],
        "agentIdentifier": AGENT,
        "inputHash": INPUT_HASH,
        **changes,
    }


async def call(
    edge: Edge, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **query: Any
) -> httpx.Response:
    """Call the API with the token `dev`, or with other headers."""
    given = DEV if headers is None else headers
    return await edge.http.request(method, f"/api/v1/{path}", json=body, headers=given, params=query)


async def data(edge: Edge, method: str, path: str, body: Any = None, **query: Any) -> Any:
    """Return the data of a success."""
    response = await call(edge, method, path, body, **query)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["status"] == "success"
    return answer["data"]


async def refused(edge: Edge, status: int, method: str, path: str, body: Any = None, **given: Any) -> str:
    """Return the message of a refusal with this status."""
    response = await call(edge, method, path, body, **given)
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer["status"] == "error"
    return str(answer["error"]["message"])


async def paid(edge: Edge) -> dict[str, Any]:
    """Return a payment whose money is locked."""
    made: dict[str, Any] = await data(edge, "POST", "payment/", payment_body())
    await data(edge, "POST", "purchase/", purchase_body(made))
    return await until(edge, made, "FundsLocked")


async def until(edge: Edge, payment: dict[str, Any], state: str) -> dict[str, Any]:
    """Let the two seconds pass that the ledger takes from one state to the next; return the payment as it is then."""
    await call(edge, "POST", "dev/clock", {"advanceSeconds": 2}, headers=edge.operator)
    body = {"blockchainIdentifier": payment["blockchainIdentifier"], "network": "Preprod"}
    found: dict[str, Any] = await data(edge, "POST", "payment/resolve-blockchain-identifier", body)
    assert state == found["onChainState"]
    return found
