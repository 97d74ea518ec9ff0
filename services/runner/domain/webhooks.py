"""Webhooks: records, what they are told of a change of a job, and what becomes of what could not be told."""

import dataclasses
import datetime
import enum
import json
from collections.abc import Iterator, Sequence
from typing import Any

from meshkit.errors import Invalid
from services.runner.domain.records import Change, Job
from services.runner.domain.states import LockState, PaymentStep, Reason, State

_OF_STATES = {
    State.AWAITING_INPUT: "job.awaiting_input",
    State.AWAITING_PAYMENT: "job.awaiting_payment",
    State.RETRYING: "job.retrying",
    State.SUCCEEDED: "job.succeeded",
    State.FAILED: "job.failed",
    State.CANCELLED: "job.cancelled",
}
_OF_LOCKS = {
    LockState.ANSWERED: "lock.answered",
    LockState.EXPIRED: "lock.expired",
    LockState.CLOSED: "lock.closed",
}
_OF_STEPS = {
    PaymentStep.INITIALIZED: "payment.requested",
    PaymentStep.LOCKED: "payment.locked",
    PaymentStep.WITHDRAWN: "payment.withdrawn",
    PaymentStep.REFUNDED: "payment.refunded",
    PaymentStep.DISPUTE_SETTLED: "payment.dispute_settled",
}
TEST = "webhook.test"
KINDS = frozenset(
    (
        "job.created",
        "job.started",
        *_OF_STATES.values(),
        "lock.created",
        *_OF_LOCKS.values(),
        *_OF_STEPS.values(),
        "payment.failed",
    )
)
NAME_CHARS_MAX = 200
FILTERS_MAX = 32
ANSWER_BYTES_MAX = 1024
_ERROR_CHARS_MAX = 2000
_TITLE_CHARS_MAX = 200
TRIED_FOR_S = 24 * 3600.0
"""How long a delivery is tried."""
FAILING_FOR_S = 3 * 86400.0
"""A webhook of which every request has failed for so long is disabled."""
CLAIM_S = 60.0
"""For how long who sends a delivery has it."""
_FIRST_S, _LONGEST_S = 5.0, 3600.0
LONGEST_S = _LONGEST_S * 1.25
"""The longest wait, with what chance makes of it."""
GONE = 410
"""The status by which an address says that it wants no more (Standard Webhooks)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of jobs.  Times are seconds since 1970, 0.0 where there is none."""

    webhook_id: str
    owner: str
    """`users/{uuid}`."""
    display_name: str
    url: str
    kinds: tuple[str, ...]
    targets: tuple[str, ...]
    enabled: bool = True
    message: str = ""
    sealed: bytes = b""
    """The secret."""
    sealed_before: bytes = b""
    """The one before."""
    before_until: float = 0.0
    """Until when requests are signed with that, too."""
    key_json: str = ""
    """The API key that made it, if one did: the webhook ends with it."""
    created_at: float
    updated_at: float
    failing_since: float = 0.0

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"webhooks/{self.webhook_id}"

    def wants(self, notice: "Notice") -> bool:
        """Return whether it is told of something."""
        kind = notice.kind
        return (
            self.enabled
            and (not self.kinds or kind in self.kinds or f"{kind.partition('.')[0]}.*" in self.kinds)
            and (not self.targets or notice.target in self.targets)
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that has happened to a job."""

    kind: str
    job_id: str
    target: str
    at: float
    data: dict[str, Any]

    def payload(self) -> str:
        """Return what is sent, as JSON."""
        return payload(self.kind, self.at, self.data)


class DeliveryState(enum.StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that a webhook is told."""

    delivery_id: str
    """What requests have as `webhook-id`: it sorts by when it was made."""
    webhook_id: str
    owner: str
    kind: str
    job_id: str
    state: DeliveryState = DeliveryState.PENDING
    payload: str
    attempt_count: int = 0
    status_code: int = 0
    latency_ms: int = 0
    answer: str = ""
    error: str = ""
    created_at: float
    attempted_at: float = 0.0
    next_at: float
    """When it is sent; who sends it sets this on to when another may, should he fall silent."""
    tried_until: float
    """When it is given up."""
    claim: str = ""
    """Another each time that it is claimed: times are changed when the clock is set back.  Empty when sent anew."""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"webhooks/{self.webhook_id}/deliveries/{self.delivery_id}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request."""

    status_code: int = 0
    latency_ms: int = 0
    text: str = ""
    error: str = ""

    @property
    def taken(self) -> bool:
        """Whether the address has taken it."""
        return 200 <= self.status_code < 300 and not self.error


def notices(before: Job | None, job: Job, change: Change) -> Iterator[Notice]:
    """Yield what a change of a job is to those who are told; `before` is `None` for a birth."""
    at = job.updated_at
    if before is None:
        yield _of_job("job.created", job, at)
    # A report may say that a job has begun and ended: then its state was never RUNNING between two writes.
    if before is not None and job.attempt != before.attempt:
        yield _of_job("job.started", job, at)
    if (kind := _OF_STATES.get(job.state)) is not None and (before is None or before.state != job.state):
        yield _of_job(kind, job, at)
    if before is not None and before.payment_step != job.payment_step and job.payment_step in _OF_STEPS:
        yield _of_job(_OF_STEPS[job.payment_step], job, at)
    if job.ended and job.reason == Reason.PAYMENT_TIMEOUT and before is not None and not before.ended:
        yield _of_job("payment.failed", job, at)
    for lock in change.opened:
        more = {"title": lock.title[:_TITLE_CHARS_MAX], "expire_time": _time(lock.expires_at)}
        opened = lock.state == LockState.PENDING
        yield _of_job("lock.created" if opened else "lock.closed", job, at, {"lock": lock.name, **more})
    for end in change.ended:
        yield _of_job(_OF_LOCKS[end.state], job, at, {"lock": f"jobs/{job.job_id}/locks/{end.lock_id}"})


def _of_job(kind: str, job: Job, at: float, more: dict[str, Any] | None = None) -> Notice:
    data = {
        "job": f"jobs/{job.job_id}",
        "target": job.target or job.flow,
        "flow": job.flow,
        "owner": job.owner,
        "state": job.state.value,
        "reason": job.reason.value,
        "error": job.error[:_ERROR_CHARS_MAX],
        "attempt": job.attempt,
        # The number of the last event when this was written: what came later has a larger one.
        "last_seq": job.last_seq,
        "labels": json.loads(job.labels_json or "{}"),
        **(more or {}),
    }
    return Notice(kind=kind, job_id=job.job_id, target=job.target or job.flow, at=at, data=data)


def payload(kind: str, at: float, data: dict[str, Any]) -> str:
    """Return a body as Standard Webhooks has it."""
    said = {"type": kind, "timestamp": _time(at), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def deliveries(
    webhooks: Sequence[Webhook], told: Sequence[Notice], ids: Iterator[str], now: float | None = None
) -> Iterator[Delivery]:
    """Yield what webhooks are to be sent of what has happened."""
    for notice in told:
        at = notice.at if now is None else now
        for webhook in webhooks:
            if webhook.wants(notice):
                yield Delivery(
                    delivery_id=next(ids),
                    webhook_id=webhook.webhook_id,
                    owner=webhook.owner,
                    kind=notice.kind,
                    job_id=notice.job_id,
                    payload=notice.payload(),
                    created_at=at,
                    next_at=at,
                    tried_until=at + TRIED_FOR_S,
                )


def settled(
    webhook: Webhook, delivery: Delivery, answer: Answer, now: float, chance: float, *, claimed: Delivery
) -> tuple[Webhook, Delivery]:
    """Take in what came of a request; `chance`, 0 to 1, moves the next one a little.

    `claimed` is the delivery as who sent it has claimed it.  If another has claimed it since, or it is to be sent once
    more, the answer is late and nothing changes: whoever has it now says what comes of it.
    """
    if (delivery.attempt_count, delivery.claim) != (claimed.attempt_count, claimed.claim):
        return webhook, delivery
    sent = dataclasses.replace(
        delivery,
        attempt_count=delivery.attempt_count + 1,
        status_code=answer.status_code,
        latency_ms=answer.latency_ms,
        answer=answer.text,
        error=answer.error,
        attempted_at=now,
    )
    if answer.taken:
        done = dataclasses.replace(sent, state=DeliveryState.DELIVERED, next_at=0.0)
        return dataclasses.replace(webhook, failing_since=0.0), done
    since = webhook.failing_since or now
    webhook = dataclasses.replace(webhook, failing_since=since)
    if answer.status_code == GONE:
        webhook = disabled(webhook, "the address answered 410: it wants no more", now)
    elif now - since >= FAILING_FOR_S:
        webhook = disabled(webhook, f"every request has failed since {_time(since)}", now)
    wait_s = min(_FIRST_S * 2.0 ** min(delivery.attempt_count, 20), _LONGEST_S) * (0.75 + chance / 2)
    if delivery.kind == TEST or not webhook.enabled or now + wait_s >= delivery.tried_until:
        return webhook, dataclasses.replace(sent, state=DeliveryState.FAILED, next_at=0.0)
    return webhook, dataclasses.replace(sent, next_at=now + wait_s)


def disabled(webhook: Webhook, why: str, now: float) -> Webhook:
    """Return a webhook that is told nothing any more."""
    return dataclasses.replace(webhook, enabled=False, message=why, updated_at=now)


def check(webhook: Webhook) -> None:
    """Raise `Invalid`, naming the fields, for a webhook that cannot be kept; its address is checked elsewhere."""
    wrong: dict[str, list[str]] = {}
    if len(webhook.display_name) > NAME_CHARS_MAX:
        wrong["display_name"] = [f"at most {NAME_CHARS_MAX} characters"]
    known = KINDS | {f"{kind.partition('.')[0]}.*" for kind in KINDS}
    if unknown := [kind[:80] for kind in webhook.kinds if kind not in known]:
        wrong["kinds"] = [f"{unknown[0]!r} is none: {', '.join(sorted(known))}"]
    if max(len(webhook.kinds), len(webhook.targets)) > FILTERS_MAX:
        wrong["kinds" if len(webhook.kinds) > FILTERS_MAX else "targets"] = [f"at most {FILTERS_MAX}"]
    if any(not 0 < len(target) <= 300 for target in webhook.targets):
        wrong["targets"] = ["names such as flows/demo, of at most 300 characters"]
    if wrong:
        raise Invalid("the webhook cannot be kept", wrong)
