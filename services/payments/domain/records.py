"""The records: what is asked for, the provider's view of it, and the payment as we keep it.

Times are epoch milliseconds, as in the contract's datum.
"""

import dataclasses
import enum

from meshkit.errors import NotFound

NETWORKS = ("Preprod", "Mainnet")
MINUTE_MS = 60_000


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
"""`onChainState` of Masumi's escrow contracts, all of them."""

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
    """The provider's view of one escrow, as the seller."""

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


def no_payment(payment_id: str) -> NotFound:
    """Return the error for a payment that does not exist."""
    name = f"payments/{payment_id[:64]}"
    return NotFound(f"{name} not found", resource=name)
