"""Rows of the failure matrix through the masumi provider, over HTTP, in the other mesh's own time."""

import asyncio
from typing import Any

import httpx
import pytest
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.errors import Invalid
from tests.auth.helpers import refused
from tests.payments.test_over_http import RESULT, Pair, pair  # noqa: F401  # a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def purchaser(pair: Pair, path: str, **body: Any) -> httpx.Response:  # noqa: F811
    """POST something as the purchaser."""
    return await pair.edge.http.post(f"/api/v1/purchase{path}", json=body, headers={"token": "dev"})


async def later(pair: Pair, minutes: float) -> None:  # noqa: F811
    """Set the other mesh's clock ahead."""
    await pair.control("clock", {"advanceSeconds": minutes * 60})


async def balance(pair: Pair) -> dict[str, int]:  # noqa: F811
    """Return what each account of the other mesh's ledger holds, in lovelace."""
    response = await pair.edge.http.get("/api/v1/dev/balances", headers=pair.edge.operator)
    rows = response.json()["data"]["Balances"]
    assert 0 == sum(int(row["amount"]) for row in rows)
    return {row["account"]: int(row["amount"]) for row in rows if not row["unit"]}


async def test_who_buys_at_once_pays_once(pair: Pair) -> None:  # noqa: F811
    """Rows 4 and 5: of eight purchases at once one is taken, the others are shown it; the job is paid once."""
    made = await pair.stand.create(100)
    before = await balance(pair)

    outcomes = await asyncio.gather(*(pair.buy(made) for _ in range(8)), return_exceptions=True)
    await pair.stand.until_state(made.name, "FUNDS_LOCKED")
    after = await balance(pair)

    assert 7 == sum(isinstance(outcome, AssertionError) and "Purchase exists" in str(outcome) for outcome in outcomes)
    paid = [before[account] - after[account] for account in before if after[account] < before[account]]
    assert 1 == len(paid)


async def test_another_network_is_refused(pair: Pair) -> None:  # noqa: F811
    """Row 30: nobody keeps escrows of it here, and the error says what is configured."""
    told = await refused(Invalid, pair.stand.create(103, network="Mainnet"))

    assert "Mainnet" in str(told)


async def test_a_dispute_is_given_up_and_nobody_pays_for_another(pair: Pair) -> None:  # noqa: F811
    """Rows 20 and 2, in one, as both set the clock ahead for good.

    A refund is asked for after the result, the seller authorises it, the purchaser has the money again.  Five
    minutes after the last moment to pay, the payment that nobody paid has failed and says why.
    """
    unpaid = await pair.stand.create(101)
    made = await pair.stand.create(102)
    await pair.buy(made)
    await pair.stand.until_state(made.name, "FUNDS_LOCKED")
    await pair.stand.submit(made.name, RESULT)
    await pair.stand.until_state(made.name, "RESULT_SUBMITTED")
    asked = await purchaser(pair, "/request-refund", network="Preprod", blockchainIdentifier=made.blockchain_identifier)
    await pair.stand.until_state(made.name, "DISPUTED")
    request = pb.AuthorizeRefundRequest(name=made.name)
    await pair.stand.payments.AuthorizeRefund(request, metadata=pair.stand.badge, timeout=60)
    await later(pair, 30)  # the seller has acted before: it must wait
    failed = await pair.stand.until_state(unpaid.name, "FAILED")
    await pair.stand.until_state(made.name, "REFUND_REQUESTED")
    await later(pair, 120)
    refunded = await pair.stand.until_state(made.name, "REFUNDED")

    assert 200 == asked.status_code
    assert refunded.HasField("lock_time")
    assert "payByTime" in failed.error
    assert not failed.HasField("lock_time")
