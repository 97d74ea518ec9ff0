"""The rules of paid jobs: no work before the money is in escrow, and the result's hash is never lost.

The hash of the result is written with the job's end, and what the payments service must be told with it; telling it
is a matter of trying until it has heard (`services.runner.jobs.billing`).
"""

import dataclasses
import hashlib
import json
import re

from meshkit.errors import Invalid
from services.runner.domain.records import Change, End, Event, Job, Terms
from services.runner.domain.states import PaymentStep, State


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a caller says of a payment; empty is left to the mesh."""

    agent_identifier: str = ""
    network: str = ""
    purchaser_identifier: str = ""
    input_hash: str = ""

    def for_another(self) -> "Asked":
        """Return what it says of another job of the same launch."""
        return Asked(agent_identifier=self.agent_identifier, network=self.network)


_ENDS = frozenset({PaymentStep.WITHDRAWN, PaymentStep.REFUNDED, PaymentStep.DISPUTE_SETTLED, PaymentStep.OVER})
_SAME_S = 10.0
"""Clocks differ by a little."""
_IDENTIFIER = re.compile(r"[0-9a-fA-F]{14,26}")


def check_identifier(identifier: str) -> None:
    """Raise `Invalid` unless an escrow takes this as a purchaser's identifier (Masumi: `identifierFromPurchaser`)."""
    if not _IDENTIFIER.fullmatch(identifier):
        field = "payment.purchaser_identifier"
        raise Invalid(f"{field} must be 14 to 26 hex digits", {field: ["must be 14 to 26 hex digits"]})


def terms_of(job: Job) -> Terms:
    """Return what a paid job is paid for with."""
    return Terms(**json.loads(job.payment_json))


def note_request(job: Job, said: dict[str, object], now: float) -> Change:
    """The purchaser has been asked to pay, as `said`: say so once."""
    if job.state != State.AWAITING_PAYMENT or job.payment_step != PaymentStep.NONE:
        return Change(job=job)
    now = max(now, job.updated_at)
    asked = dataclasses.replace(job, payment_step=PaymentStep.INITIALIZED, updated_at=now)
    return Change(job=asked, events=(_event({"step": "initialized", **said}, now),))


def note_funds(job: Job, due_at: float, now: float) -> Change:
    """The money is in escrow: the job may be handed out."""
    if job.state != State.AWAITING_PAYMENT:
        return Change(job=job)
    now = max(now, job.updated_at)
    paid = dataclasses.replace(job, state=State.QUEUED, payment_step=PaymentStep.LOCKED, due_at=due_at, updated_at=now)
    return Change(job=paid)


def is_due_otherwise(job: Job, due_at: float) -> bool:
    """Return whether a job that has been paid must end at another time than it is said to."""
    return not job.ended and job.payment_step == PaymentStep.LOCKED and abs(due_at - job.due_at) > _SAME_S


def note_due(job: Job, due_at: float) -> Change:
    """The result is due at another time by our clock, which has been set."""
    return Change(job=dataclasses.replace(job, due_at=due_at) if is_due_otherwise(job, due_at) else job)


def note_over(job: Job, step: PaymentStep, now: float) -> Change:
    """The sale has ended, as `step` says: the job need not be kept for it any more.  Only the first is believed."""
    if not job.payment_json or job.payment_step in _ENDS:
        return Change(job=job)
    return Change(job=dataclasses.replace(job, payment_step=step, updated_at=max(now, job.updated_at)))


def told(job: Job, todo: str) -> Change:
    """The payments service has heard `todo`."""
    if job.payment_todo != todo:
        return Change(job=job)
    return Change(job=dataclasses.replace(job, payment_todo=""))


def on_end(job: Job, end: End, now: float) -> tuple[str, tuple[Event, ...]]:
    """Return what the payments service must be told of a job's end, and the events that say so."""
    if not job.payment_json:
        return "", ()
    if end.state != State.SUCCEEDED:
        return "refund", ()
    digest = result_hash(terms_of(job), end.result_json)
    return f"submit:{digest}", (_event({"step": "final_result", "result_hash": digest}, now),)


def result_hash(terms: Terms, result_json: str) -> str:
    """Return the hash of a result, as hex of SHA-256.

    By default as buyers verify it (MIP-004): the purchaser's identifier, `;`, and the result's text JSON-escaped
    without the outer quotes.  With `hashes="kodosumi"` as the seed notebook prints it.
    """
    if terms.hashes == "kodosumi":
        return hashlib.sha256(_legacy(result_json).encode()).hexdigest()
    escaped = json.dumps(result_text(result_json), ensure_ascii=False)[1:-1]
    return hashlib.sha256(f"{terms.purchaser_identifier};{escaped}".encode()).hexdigest()


def result_text(result_json: str) -> str:
    """Return a result as the one string that buyers get: the body of Markdown, HTML and Text, else its JSON."""
    value = json.loads(result_json)
    if isinstance(value, dict) and len(value) == 1:
        (kind, inner) = next(iter(value.items()))
        if kind in ("Markdown", "HTML", "Text") and isinstance(inner, dict) and isinstance(inner.get("body"), str):
            return str(inner["body"])
        if kind == "str" and isinstance(inner, str):
            return inner
    return result_json


def _legacy(result_json: str) -> str:
    """Return what kodosumi hashes: a string itself, "" for None, plain data with sorted keys, else Python's str."""
    value = json.loads(result_json)
    if isinstance(value, dict) and len(value) == 1:
        (kind, inner) = next(iter(value.items()))
        if kind == "str":
            return str(inner)
        if kind == "TypeError" and inner == "None":
            return ""
        if kind in ("dict", "int", "float", "bool"):
            return json.dumps(inner, sort_keys=True)
        if isinstance(inner, dict):  # a model: `default=str` of json gives the text of its fields
            return json.dumps(" ".join(f"{name}={field!r}" for name, field in inner.items()))
    return json.dumps(value, sort_keys=True)


def _event(said: dict[str, object], now: float) -> Event:
    payload = json.dumps({"dict": said}, ensure_ascii=False, separators=(",", ":"))
    return Event(kind="payment", payload=payload, time=now)
