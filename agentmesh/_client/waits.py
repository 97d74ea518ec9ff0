"""What jobs wait on: answers of people, and money.  Plain frozen records, made from the protos."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from agentmesh_protos.payments.v1 import payments_pb2
from agentmesh_protos.runner.v1 import lock_pb2

from agentmesh._client.records import moment, parsed, word

_PAYMENT_ENDED = frozenset({"withdrawn", "refunded", "dispute_settled", "failed"})
_ASKED = frozenset({"created", "requested"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A question to a human that a job waits on."""

    name: str
    """`jobs/{job}/locks/{lock}`."""
    state: str
    """`pending`, `answered`, `expired`, or `closed` when its job ended first."""
    title: str
    """What the flow calls it."""
    elements: tuple[dict[str, Any], ...]
    """Its form: objects with `type`, and `name` for those that take a value."""
    data: dict[str, Any]
    """What the flow handed to the form."""
    owner: str
    """`users/{uuid}`."""
    create_time: datetime.datetime | None
    expire_time: datetime.datetime | None
    answer_time: datetime.datetime | None
    answered_by: str
    """`users/{uuid}`; empty before."""
    result: Any
    """What the flow got; None before."""

    @property
    def id(self) -> str:
        """A UUID."""
        return self.name.rpartition("/")[2]

    @property
    def job(self) -> str:
        """`jobs/{job}`."""
        return self.name.partition("/locks/")[0]

    @property
    def pending(self) -> bool:
        """Whether it waits for an answer."""
        return self.state == "pending"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """The escrow of one job."""

    name: str
    """`payments/{id}`; the id is the job's."""
    job: str
    """`jobs/{job}`."""
    owner: str
    """`users/{uuid}`."""
    state: str
    """`created`, `requested`, `funds_locked`, `result_submitted`, `withdrawn`, `refunded`, `failed` and so on."""
    network: str
    """`Preprod` or `Mainnet`."""
    agent_identifier: str
    purchaser_identifier: str
    input_hash: str
    blockchain_identifier: str
    """The signed terms, in hex; empty until there are any."""
    seller_vkey: str
    amounts: tuple[tuple[int, str], ...]
    """Amount in the smallest denomination, and unit; the unit of lovelace is empty."""
    pay_by_time: datetime.datetime | None
    submit_result_time: datetime.datetime | None
    unlock_time: datetime.datetime | None
    external_dispute_unlock_time: datetime.datetime | None
    lock_time: datetime.datetime | None
    """When the money was first seen in escrow; None if never."""
    result_hash: str
    """Of the job's result; empty before there is one."""
    refund_intended: bool
    """Whether the job failed, so that the money goes back as soon as the escrow allows it."""
    error: str
    """What went wrong; empty if nothing did."""
    provider: str
    """`ledger` or `masumi`."""
    create_time: datetime.datetime | None

    @property
    def payable(self) -> bool:
        """Whether the purchaser is asked to pay."""
        return self.state == "requested" and bool(self.blockchain_identifier)

    @property
    def paid(self) -> bool:
        """Whether the money was in escrow at some time."""
        return self.lock_time is not None or self.state not in _PAYMENT_ENDED | _ASKED

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in _PAYMENT_ENDED

    def purchase(self) -> dict[str, Any]:
        """Return the body of Masumi's `POST /purchase` that pays this; times are strings of epoch milliseconds."""
        return {
            "identifierFromPurchaser": self.purchaser_identifier,
            "network": self.network,
            "sellerVkey": self.seller_vkey,
            "blockchainIdentifier": self.blockchain_identifier,
            "payByTime": _millis(self.pay_by_time),
            "submitResultTime": _millis(self.submit_result_time),
            "unlockTime": _millis(self.unlock_time),
            "externalDisputeUnlockTime": _millis(self.external_dispute_unlock_time),
            "agentIdentifier": self.agent_identifier,
            "inputHash": self.input_hash,
        }


def to_lock(message: lock_pb2.Lock) -> Lock:
    """Return the record of a lock."""
    elements = parsed(message.elements_json)
    data = parsed(message.data_json)
    return Lock(
        name=message.name,
        state=word(lock_pb2.LockState, message.state, "LOCK_STATE_"),
        title=message.title,
        elements=tuple(element for element in _list(elements) if isinstance(element, dict)),
        data=data if isinstance(data, dict) else {},
        owner=message.owner,
        create_time=moment(message, "create_time"),
        expire_time=moment(message, "expire_time"),
        answer_time=moment(message, "answer_time"),
        answered_by=message.answered_by,
        result=parsed(message.result_json),
    )


def to_payment(message: payments_pb2.Payment) -> Payment:
    """Return the record of a payment."""
    return Payment(
        name=message.name,
        job=message.job,
        owner=message.owner,
        state=word(payments_pb2.PaymentState, message.state, "PAYMENT_STATE_"),
        network=message.network,
        agent_identifier=message.agent_identifier,
        purchaser_identifier=message.purchaser_identifier,
        input_hash=message.input_hash,
        blockchain_identifier=message.blockchain_identifier,
        seller_vkey=message.seller_vkey,
        amounts=tuple((int(money.amount or 0), money.unit) for money in message.amounts),
        pay_by_time=moment(message, "pay_by_time"),
        submit_result_time=moment(message, "submit_result_time"),
        unlock_time=moment(message, "unlock_time"),
        external_dispute_unlock_time=moment(message, "external_dispute_unlock_time"),
        lock_time=moment(message, "lock_time"),
        result_hash=message.result_hash,
        refund_intended=message.refund_intended,
        error=message.error,
        provider=message.provider,
        create_time=moment(message, "create_time"),
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _millis(at: datetime.datetime | None) -> str:
    if at is None:
        return ""
    return str((at - datetime.datetime.fromtimestamp(0, datetime.UTC)) // datetime.timedelta(milliseconds=1))
