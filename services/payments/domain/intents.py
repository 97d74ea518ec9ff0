"""What good terms look like, and whether somebody asks for the same again."""

import dataclasses
import re

from meshkit.errors import AlreadyExists, Invalid
from services.payments.domain.records import MINUTE_MS, Payment, Terms, Windows

IDENTIFIER_CHARS_MIN = 14
IDENTIFIER_CHARS_MAX = 26
AMOUNTS_MAX = 7
_HASH_CHARS_MAX = 250

_JOB = re.compile(r"jobs/[0-9a-f]{24}")
_OWNER = re.compile(r"users/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGENT = re.compile(r"[0-9a-fA-F]{57,250}")
_HEX = re.compile(r"([0-9a-fA-F]{2})+")


def new_payment(*, job: str, owner: str, terms: Terms, provider: str, windows: Windows, now: int) -> Payment:
    """Return a payment to record.  Raises `Invalid`, naming every wrong field.  `terms.job_id` is not looked at."""
    pay_by = terms.pay_by_time or now + windows.pay_ms
    submit_by = terms.submit_result_time or now + windows.submit_ms
    wrong = _wrong_texts(job, owner, terms) | _wrong_times(terms, pay_by, submit_by, now)
    if wrong:
        raise Invalid("; ".join(f"{field} {text}" for field, text in wrong.items()), {k: [v] for k, v in wrong.items()})
    return Payment(
        payment_id=job.removeprefix("jobs/"),
        owner=owner,
        network=terms.network,
        provider=provider,
        agent_identifier=terms.agent_identifier,
        purchaser_identifier=terms.purchaser_identifier,
        input_hash=terms.input_hash,
        pay_by_time=pay_by,
        submit_result_time=submit_by,
        unlock_time=terms.unlock_time,
        external_dispute_unlock_time=terms.external_dispute_unlock_time,
        asked_amounts=terms.amounts,
        created_at=now,
        updated_at=now,
    )


def _wrong_texts(job: str, owner: str, terms: Terms) -> dict[str, str]:
    wrong = {}
    if not _JOB.fullmatch(job):
        wrong["job"] = "must look like jobs/{24 hexadecimal digits}"
    if not _OWNER.fullmatch(owner):
        wrong["owner"] = "must look like users/{uuid}"
    if not _AGENT.fullmatch(terms.agent_identifier):
        wrong["agent_identifier"] = "must be 57 to 250 hexadecimal digits, as in the Masumi registry"
    length = len(terms.purchaser_identifier)
    if not _HEX.fullmatch(terms.purchaser_identifier) or not IDENTIFIER_CHARS_MIN <= length <= IDENTIFIER_CHARS_MAX:
        wrong["purchaser_identifier"] = (
            f"must be {IDENTIFIER_CHARS_MIN} to {IDENTIFIER_CHARS_MAX} hexadecimal digits, an even number of them "
            f"(got {length} characters): send a fresh random one with every job"
        )
    if not _HEX.fullmatch(terms.input_hash) or len(terms.input_hash) > _HASH_CHARS_MAX:
        wrong["input_hash"] = f"must be an even number of up to {_HASH_CHARS_MAX} hexadecimal digits"
    if len(terms.amounts) > AMOUNTS_MAX or any(amount <= 0 for amount, _ in terms.amounts):
        wrong["amounts"] = f"must be up to {AMOUNTS_MAX}, each more than 0"
    return wrong


def _wrong_times(terms: Terms, pay_by: int, submit_by: int, now: int) -> dict[str, str]:
    """Apply the time rules of Masumi's service: terms that no provider takes are refused before they are kept."""
    unlock = terms.unlock_time or submit_by + 6 * 60 * MINUTE_MS
    dispute = terms.external_dispute_unlock_time or max(unlock + 15 * MINUTE_MS, submit_by + 12 * 60 * MINUTE_MS)
    if pay_by > submit_by - 5 * MINUTE_MS:
        return {"pay_by_time": "must be at least 5 minutes before submit_result_time"}
    if pay_by < now - 5 * MINUTE_MS:
        return {"pay_by_time": "must be in the future"}
    if dispute < unlock + 15 * MINUTE_MS:
        return {"external_dispute_unlock_time": "must be at least 15 minutes after unlock_time"}
    if submit_by < now + 15 * MINUTE_MS:
        return {"submit_result_time": "must be at least 15 minutes in the future"}
    if submit_by > unlock - 15 * MINUTE_MS:
        return {"unlock_time": "must be at least 15 minutes after submit_result_time"}
    return {}


def check_same(recorded: Payment, owner: str, given: Terms) -> Payment:
    """Return what is recorded if the same is asked for again; raise `AlreadyExists` if something else is.

    Times are compared only where the caller gave them: a default is another one at every moment.
    """
    asked = recorded.terms
    fields = [field.name for field in dataclasses.fields(Terms) if field.name != "job_id"]
    wanted = {field: getattr(given, field) for field in fields if not field.endswith("_time") or getattr(given, field)}
    differing = [field for field, value in wanted.items() if getattr(asked, field) != value]
    if recorded.owner != owner:
        differing.insert(0, "owner")
    if differing:
        raise AlreadyExists(
            f"the job has a payment with another {differing[0]}: a payment cannot be changed",
            resource=f"payments/{recorded.payment_id}",
            field=differing[0],
        )
    return recorded
