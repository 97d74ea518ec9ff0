"""Terms, payments and escrows of tests, good ones but for what is given."""

import dataclasses
from typing import Any

from services.payments import domain
from services.payments.domain import MINUTE_MS, Escrow, Payment, Terms, Windows
from tests.payments.escrows import AGENT, PRICE

NOON = 1_893_499_200_000
JOB = "jobs/0123456789abcdef01234567"
OWNER = "users/38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc"
RESULT = "ab" * 32


def terms(**given: Any) -> Terms:
    """Return terms."""
    values: dict[str, Any] = {
        "job_id": JOB.removeprefix("jobs/"),
        "network": "Preprod",
        "agent_identifier": AGENT,
        "purchaser_identifier": "aabbaabb11221122aabb",
        "input_hash": "cd" * 32,
        "pay_by_time": 0,
        "submit_result_time": 0,
    }
    return Terms(**(values | given))


def payment(job: str = JOB, owner: str = OWNER, now: int = NOON, **given: Any) -> Payment:
    """Return a payment that has just been recorded; `given` are terms."""
    return domain.new_payment(job=job, owner=owner, terms=terms(**given), provider="memory", windows=Windows(), now=now)


def escrow(of: Payment, **given: Any) -> Escrow:
    """Return the escrow that a provider makes for it."""
    values: dict[str, Any] = {
        "id": "c0",
        "blockchain_identifier": "bb",
        "agent_identifier": of.agent_identifier,
        "input_hash": of.input_hash,
        "pay_by_time": of.pay_by_time,
        "submit_result_time": of.submit_result_time,
        "unlock_time": of.submit_result_time + 360 * MINUTE_MS,
        "external_dispute_unlock_time": of.submit_result_time + 720 * MINUTE_MS,
        "amounts": PRICE,
        "seller_vkey": "ee" * 28,
        "changed_at": NOON,
        "updated_at": NOON,
    }
    return Escrow(**(values | given))


def at(of: Payment, on_chain_state: str | None, **given: Any) -> Payment:
    """Return the payment once its escrow is seen so."""
    seen = domain.believe(of, escrow(of, on_chain_state=on_chain_state, **given), NOON + 1000)
    return dataclasses.replace(seen)
