"""Payments: the escrow of each job that is paid for, and where it stands on its way."""

import asyncio
from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2, payments_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from gateway.core import jobs, prices
from gateway.core.peers import Peers
from gateway.web.panel import shell
from gateway.web.panel.addresses import naming
from gateway.web.panel.live import Live, changes
from gateway.web.panel.visitor import Visitor
from meshkit.errors import Denied, FailedPrecondition, Invalid, NotFound, Unavailable, from_rpc

_PAGE = 25
_BALANCES_MAX = 100
_ASK_S = 10.0
_STATES: dict[int, tuple[str, str]] = {
    payments_pb2.PAYMENT_STATE_CREATED: ("Created", ""),
    payments_pb2.PAYMENT_STATE_REQUESTED: ("Requested", "warn"),
    payments_pb2.PAYMENT_STATE_FUNDS_LOCKED: ("Funds locked", "busy"),
    payments_pb2.PAYMENT_STATE_RESULT_SUBMITTED: ("Result submitted", "busy"),
    payments_pb2.PAYMENT_STATE_REFUND_REQUESTED: ("Refund requested", "warn"),
    payments_pb2.PAYMENT_STATE_DISPUTED: ("Disputed", "bad"),
    payments_pb2.PAYMENT_STATE_WITHDRAWN: ("Withdrawn", "good"),
    payments_pb2.PAYMENT_STATE_REFUNDED: ("Refunded", ""),
    payments_pb2.PAYMENT_STATE_DISPUTE_SETTLED: ("Dispute settled", ""),
    payments_pb2.PAYMENT_STATE_FAILED: ("Failed", "bad"),
}
_ENDS = frozenset(
    {
        payments_pb2.PAYMENT_STATE_WITHDRAWN,
        payments_pb2.PAYMENT_STATE_REFUNDED,
        payments_pb2.PAYMENT_STATE_DISPUTE_SETTLED,
        payments_pb2.PAYMENT_STATE_FAILED,
    }
)


class Payments:
    """The caller's payments; an operator's page has everybody's, as the service answers."""

    def __init__(self, peers: Peers) -> None:
        self._payments = peers.payments
        self._ledger = peers.ledger_control

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/payments?after=."""
        balances, listed = await asyncio.gather(self._balances(visitor), self._list(visitor))
        return visitor.page("payments.html", **listed, balances=balances)

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/payments."""

        async def part() -> str:
            return shell.render("parts/payments.html", **await self._list(visitor))

        return Live(visitor, changes(part))

    async def show_one(self, visitor: Visitor) -> Response:
        """GET /panel/payments/{fid}."""
        return visitor.page("payment.html", **await self._one(visitor))

    async def watch_one(self, visitor: Visitor) -> Response:
        """GET /panel/live/payments/{fid}."""

        async def part() -> str:
            return shell.render("parts/payment.html", **await self._one(visitor))

        return Live(visitor, changes(part))

    async def _list(self, visitor: Visitor) -> dict[str, Any]:
        after = visitor.query("after")
        request = payments_pb2.ListPaymentsRequest(page_size=_PAGE, page_token=after)
        try:
            with from_rpc():
                page = await self._payments.ListPayments(request, timeout=_ASK_S)
        except Invalid:
            raise NotFound("This page of the list is not there any more.") from None
        rows = [_row(payment) for payment in page.payments]
        return {"rows": rows, "older": page.next_page_token, "after": after}

    async def _one(self, visitor: Visitor) -> dict[str, Any]:
        fid = visitor.path("fid")
        with naming("payment", "its execution may have been deleted, or be somebody else's"):
            if not jobs.is_id(fid):
                raise NotFound(fid)
            request = payments_pb2.GetPaymentRequest(name=f"payments/{fid}")
            payment = await self._payments.GetPayment(request, timeout=_ASK_S)
        return {**_row(payment), "steps": _steps(payment), "until": _until(payment)}

    async def _balances(self, visitor: Visitor) -> list[dict[str, str]]:
        """Return what the embedded ledger's accounts hold, for operators of a mesh that has one."""
        if not visitor.operator:
            return []
        try:
            with from_rpc():
                found = await self._ledger.ListBalances(ledger_pb2.ListBalancesRequest(), timeout=_ASK_S)
        except (Denied, FailedPrecondition, NotFound, Unavailable):  # another provider keeps the money
            return []
        return [
            {"account": each.account, "amount": prices.shown([each.money])} for each in found.balances[:_BALANCES_MAX]
        ]


def _row(payment: payments_pb2.Payment) -> dict[str, Any]:
    """Return what is shown of a payment wherever it is."""
    word, badge = _STATES.get(payment.state, ("Unknown", ""))
    return {
        "payment": payment,
        "fid": payment.name.removeprefix("payments/"),
        "amount": prices.shown(payment.amounts) or "An amount that is not known yet",
        "state": word,
        "badge_class": badge,
        "over": payment.state in _ENDS,
    }


def _steps(payment: payments_pb2.Payment) -> list[dict[str, Any]]:
    """Return the way of a payment: what is behind it, where it stands, and what is to come if all goes well."""
    locked, submitted = payment.HasField("lock_time"), bool(payment.result_hash)
    state = payment.state
    steps = [
        ("Requested", "The purchaser is asked to pay.", True, payment.create_time),
        ("Funds locked", "The price is in escrow, and the flow works.", locked, payment.lock_time),
        ("Result submitted", "The hash of the result is recorded.", submitted, None),
    ]
    if state in _ENDS or state in (payments_pb2.PAYMENT_STATE_REFUND_REQUESTED, payments_pb2.PAYMENT_STATE_DISPUTED):
        steps = [step for step in steps if step[2]]
        steps.append((_STATES[state][0], payment.error or _ENDINGS.get(state, ""), True, payment.update_time))
    else:
        steps.append(("Withdrawn", "The seller has the money.", False, None))
    return [
        {"name": name, "text": text, "done": done, "at": time if done else None} for name, text, done, time in steps
    ]


_ENDINGS: dict[int, str] = {
    payments_pb2.PAYMENT_STATE_REFUND_REQUESTED: "The purchaser wants the money back.",
    payments_pb2.PAYMENT_STATE_DISPUTED: "Purchaser and seller disagree.",
    payments_pb2.PAYMENT_STATE_WITHDRAWN: "The seller has the money.",
    payments_pb2.PAYMENT_STATE_REFUNDED: "The purchaser has the money back.",
    payments_pb2.PAYMENT_STATE_DISPUTE_SETTLED: "The admins have settled it.",
    payments_pb2.PAYMENT_STATE_FAILED: "Nobody paid in time, or the provider refused.",
}


def _until(payment: payments_pb2.Payment) -> list[tuple[str, Timestamp]]:
    """Return the deadlines that it has."""
    deadlines = (
        ("Pay by", "pay_by_time"),
        ("Result due by", "submit_result_time"),
        ("Withdrawn after", "unlock_time"),
        ("Dispute settled after", "external_dispute_unlock_time"),
    )
    return [(title, getattr(payment, name)) for title, name in deadlines if payment.HasField(name)]  # type: ignore[arg-type]
