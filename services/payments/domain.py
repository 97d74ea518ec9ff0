"""Payments: the records, what good terms look like, and where a payment stands by the provider's view of its escrow.

Everything here is pure; times are epoch milliseconds, as in the contract's datum (masumi.md §3.4).  A payment moves
only by `believe`, which is given a whole view of the escrow and not a step, so it does not matter how many on-chain
states went by between two looks.
"""

import dataclasses
import enum
import re

from meshkit.errors import AlreadyExists, FailedPrecondition, Invalid

NETWORKS = ("Preprod", "Mainnet")
IDENTIFIER_CHARS_MIN = 14
IDENTIFIER_CHARS_MAX = 26
AMOUNTS_MAX = 7
ERROR_CHARS_MAX = 1000
MINUTE_MS = 60_000

_JOB = re.compile(r"jobs/[0-9a-f]{24}")
_OWNER = re.compile(r"users/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGENT = re.compile(r"[0-9a-fA-F]{57,250}")
_HEX = re.compile(r"([0-9a-fA-F]{2})+")
_HASH = re.compile(r"[0-9a-f]{64}")
_HASH_CHARS_MAX = 250


class State(enum.StrEnum):
    """Where a payment stands."""

    CREATED = "created"
    REQUESTED = "requested"
    FUNDS_LOCKED = "funds_locked"
    RESULT_SUBMITTED = "result_submitted"
    REFUND_REQUESTED = "refund_requested"
    DISPUTED = "disputed"
    WITHDRAWN = "withdrawn"
    REFUNDED = "refunded"
    DISPUTE_SETTLED = "dispute_settled"
    FAILED = "failed"


ENDS = frozenset({State.WITHDRAWN, State.REFUNDED, State.DISPUTE_SETTLED, State.FAILED})
UNPAID = frozenset({State.CREATED, State.REQUESTED})

STATES: dict[str | None, State] = {
    None: State.REQUESTED,
    "FundsLocked": State.FUNDS_LOCKED,
    "FundsOrDatumInvalid": State.FAILED,
    "ResultSubmitted": State.RESULT_SUBMITTED,
    "RefundRequested": State.REFUND_REQUESTED,
    "RefundAuthorized": State.REFUND_REQUESTED,  # V2: the purchaser's next transaction takes the money back
    "Disputed": State.DISPUTED,
    "WithdrawAuthorized": State.RESULT_SUBMITTED,  # V2: the purchaser has given in; the seller's withdrawal follows
    "Withdrawn": State.WITHDRAWN,
    "RefundWithdrawn": State.REFUNDED,
    "DisputedWithdrawn": State.DISPUTE_SETTLED,
}
"""`onChainState` (masumi.md §3.6), all of them."""

Amount = tuple[int, str]
"""How much in the smallest denomination, and the unit: empty for lovelace, else policy id and asset name in hex."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a provider is asked for.  0 for one of the last two times takes the provider's: submit + 6 h and + 12 h."""

    job_id: str
    network: str
    agent_identifier: str
    purchaser_identifier: str
    input_hash: str
    pay_by_time: int
    submit_result_time: int
    unlock_time: int = 0
    external_dispute_unlock_time: int = 0
    amounts: tuple[Amount, ...] = ()
    """Only for agents with dynamic pricing; else empty, and the price is the registry's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Escrow:
    """The provider's view of one escrow (masumi.md §3.2, seller's side)."""

    id: str
    blockchain_identifier: str
    agent_identifier: str
    input_hash: str
    result_hash: str = ""
    """What the chain has; it may be cleared again (V2)."""
    on_chain_state: str | None = None
    next_action: str = "WaitingForExternalAction"
    error_type: str = ""
    error_note: str = ""
    pay_by_time: int
    submit_result_time: int
    unlock_time: int
    external_dispute_unlock_time: int
    amounts: tuple[Amount, ...] = ()
    seller_vkey: str = ""
    job_id: str = ""
    """The metadata it was asked for with."""
    changed_at: int = 0
    """When the next action, the state or the result last changed: what `changes` is ordered by."""
    updated_at: int = 0
    """The row's own version: what `recover` must name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The escrow of one job, as we keep it."""

    payment_id: str
    """The job's id: there is one payment for a job."""
    owner: str
    """`users/{uuid}` of the job's owner."""
    network: str
    provider: str
    state: State = State.CREATED
    agent_identifier: str
    purchaser_identifier: str
    input_hash: str
    pay_by_time: int
    submit_result_time: int
    unlock_time: int = 0
    external_dispute_unlock_time: int = 0
    asked_amounts: tuple[Amount, ...] = ()
    """What was asked for; empty for an agent with a fixed price."""
    amounts: tuple[Amount, ...] = ()
    blockchain_identifier: str = ""
    seller_vkey: str = ""
    locked_at: int = 0
    """When the money was first seen in escrow; 0 if never."""
    result_hash: str = ""
    refund_intended: bool = False
    error: str = ""
    on_chain_state: str | None = None
    next_action: str = ""
    error_type: str = ""
    chain_result_hash: str = ""
    changed_at: int = 0
    """The provider's; an older view than this one is not believed."""
    provider_updated_at: int = 0
    created_at: int
    updated_at: int

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen."""
        return self.state in ENDS

    @property
    def terms(self) -> Terms:
        """What the provider is asked for."""
        return Terms(
            job_id=self.payment_id,
            network=self.network,
            agent_identifier=self.agent_identifier,
            purchaser_identifier=self.purchaser_identifier,
            input_hash=self.input_hash,
            pay_by_time=self.pay_by_time,
            submit_result_time=self.submit_result_time,
            unlock_time=self.unlock_time,
            external_dispute_unlock_time=self.external_dispute_unlock_time,
            amounts=self.asked_amounts,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How long the purchaser may take to pay, and the job to deliver, where the caller does not say."""

    pay_ms: int = 1_200_000
    submit_ms: int = 3_600_000


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
    """Apply the rules of masumi.md §3.4, so that terms no provider takes are refused before they are kept."""
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


def mismatch(payment: Payment, escrow: Escrow) -> str:
    """Return in what the provider's escrow differs from what was agreed; empty if in nothing."""
    wanted: dict[str, object] = {
        "agent_identifier": payment.agent_identifier,
        "input_hash": payment.input_hash,
        "pay_by_time": payment.pay_by_time,
        "submit_result_time": payment.submit_result_time,
    }
    for field in ("blockchain_identifier", "seller_vkey", "unlock_time", "external_dispute_unlock_time"):
        if getattr(payment, field):  # else it was left to the provider, and this is the first answer
            wanted[field] = getattr(payment, field)
    differing = [field for field, value in wanted.items() if getattr(escrow, field) != value]
    known = payment.amounts or payment.asked_amounts
    if known and sorted(escrow.amounts) != sorted(known):
        differing.append("amounts")
    if not escrow.blockchain_identifier:
        differing.append("blockchain_identifier")
    times_ordered = escrow.submit_result_time < escrow.unlock_time < escrow.external_dispute_unlock_time
    if not times_ordered:
        differing.append("unlock_time")
    return ", ".join(dict.fromkeys(differing))


def believe(payment: Payment, escrow: Escrow, now: int) -> Payment:
    """Return the payment by this view of its escrow, or the very same object if it says nothing new.

    The view must have passed `mismatch`.  An older view than the last is ignored, and so is any after the end.
    """
    if payment.ended or escrow.changed_at < payment.changed_at:
        return payment
    state = STATES.get(escrow.on_chain_state, payment.state)
    locked_at = payment.locked_at
    if not locked_at and state not in UNPAID and state is not State.FAILED:
        locked_at = now  # also when FundsLocked went by unseen: what came after it cannot be without it
    seen = dataclasses.replace(
        payment,
        state=state,
        unlock_time=escrow.unlock_time,
        external_dispute_unlock_time=escrow.external_dispute_unlock_time,
        amounts=escrow.amounts,
        blockchain_identifier=escrow.blockchain_identifier,
        seller_vkey=escrow.seller_vkey,
        locked_at=locked_at,
        on_chain_state=escrow.on_chain_state,
        next_action=escrow.next_action,
        error_type=escrow.error_type,
        error=_error(escrow, state),
        chain_result_hash=escrow.result_hash,
        changed_at=escrow.changed_at,
        provider_updated_at=escrow.updated_at,
    )
    return payment if seen == payment else dataclasses.replace(seen, updated_at=now)


def _error(escrow: Escrow, state: State) -> str:
    if escrow.on_chain_state not in STATES:
        return f"the provider reports a state we do not know: {escrow.on_chain_state}"[:ERROR_CHARS_MAX]
    if state is State.FAILED:
        return (escrow.error_note or "the payment came too late or is not as agreed (FundsOrDatumInvalid)")[
            :ERROR_CHARS_MAX
        ]
    if escrow.next_action == "WaitingForManualAction" or escrow.error_type:
        note = escrow.error_note or escrow.error_type or "the provider waits for a person and does not say why"
        return note[:ERROR_CHARS_MAX]
    return ""


def failed(payment: Payment, error: str, now: int) -> Payment:
    """Return the payment ended without money; one that has ended or has money stays as it is."""
    if payment.state not in UNPAID:
        return payment
    return dataclasses.replace(payment, state=State.FAILED, error=error[:ERROR_CHARS_MAX], updated_at=now)


def troubled(payment: Payment, error: str, now: int) -> Payment:
    """Return the payment with what went wrong just now; the state stays."""
    error = error[:ERROR_CHARS_MAX]
    if payment.ended or payment.error == error:
        return payment
    return dataclasses.replace(payment, error=error, updated_at=now)


def with_result(payment: Payment, result_hash: str, now: int) -> Payment:
    """Return the payment with the hash of the job's result to submit.

    Raises `Invalid` for what is no hash, `AlreadyExists` if another is recorded, `FailedPrecondition` if no money was
    ever locked or a refund is intended.  One that comes after the end is kept, for the record.
    """
    if not _HASH.fullmatch(result_hash):
        text = "must be 64 lower-case hexadecimal digits"
        raise Invalid(f"result_hash {text}", {"result_hash": [text]})
    name = f"payments/{payment.payment_id}"
    if payment.result_hash == result_hash:
        return payment
    if payment.result_hash:
        raise AlreadyExists("the payment has another result hash: it cannot be changed", resource=name)
    if not payment.locked_at:
        raise FailedPrecondition(f"no money is in escrow (the payment is {payment.state})", resource=name)
    if payment.refund_intended:
        raise FailedPrecondition("a refund is intended: a result can no longer be submitted", resource=name)
    error = "the result came after the escrow had ended" if payment.ended else payment.error
    return dataclasses.replace(payment, result_hash=result_hash, error=error, updated_at=now)


def with_refund(payment: Payment, now: int) -> Payment:
    """Return the payment with the intent to authorise a refund; one that has it, or has ended, stays as it is."""
    if payment.refund_intended or payment.ended:
        return payment
    return dataclasses.replace(payment, refund_intended=True, updated_at=now)
