"""Where jobs and locks stand, why, and where they may go from there."""

import enum


class State(enum.StrEnum):
    """Where a job stands; the value is the payload of its status event."""

    PENDING = "pending"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    PAUSED = "paused"
    AWAITING_INPUT = "awaiting_input"
    AWAITING_PAYMENT = "awaiting_payment"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(enum.StrEnum):
    """Why a job waits or ended."""

    NONE = ""
    ERROR = "error"
    USER_STOP = "user_stop"
    OPERATOR_CANCEL = "operator_cancel"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    APPROVAL_REJECTED = "approval_rejected"
    INPUT_TIMEOUT = "input_timeout"
    PAYMENT_TIMEOUT = "payment_timeout"
    SHUTDOWN = "shutdown"
    BUDGET_EXCEEDED = "budget_exceeded"
    POLICY_DENIED = "policy_denied"
    RETRIES_EXHAUSTED = "retries_exhausted"


class PaymentStep(enum.StrEnum):
    """How far a job's payment has come, as far as the job is concerned."""

    NONE = ""
    INITIALIZED = "initialized"
    """The purchaser has been asked to pay."""
    LOCKED = "locked"
    """The money is in escrow."""
    WITHDRAWN = "withdrawn"
    """The sale has ended: the seller has the money."""
    REFUNDED = "refunded"
    """The sale has ended: the purchaser has the money back."""
    DISPUTE_SETTLED = "dispute_settled"
    """The sale has ended by a dispute that was settled."""
    OVER = "over"
    """The sale has ended: it was never paid, or nobody knows of it any more."""


SELLING = frozenset({PaymentStep.INITIALIZED, PaymentStep.LOCKED})
"""Steps of a sale that may need its job still: a buyer compares its result, a dispute is about it."""


class Isolation(enum.StrEnum):
    """What separates the jobs of an app from each other."""

    PROCESS = "process"
    """Each is a process of its own."""
    SHARED = "shared"
    """They are tasks in one worker process."""


class LockState(enum.StrEnum):
    """Where a lock stands."""

    PENDING = "pending"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CLOSED = "closed"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

# Where a job may go; CONTRIBUTING.md names the table that maps the states to every dialect's words.
ALLOWED: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.QUEUED, State.AWAITING_PAYMENT, State.CANCELLED, State.FAILED}),
    State.AWAITING_PAYMENT: frozenset({State.QUEUED, State.RUNNING, State.CANCELLED, State.FAILED}),
    State.QUEUED: frozenset({State.STARTING, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.RETRYING, State.STOPPING, State.FAILED}),
    State.RUNNING: frozenset(
        {
            State.SUCCEEDED,
            State.FAILED,
            State.RETRYING,
            State.PAUSED,
            State.AWAITING_INPUT,
            State.AWAITING_PAYMENT,
            State.STOPPING,
        }
    ),
    State.RETRYING: frozenset({State.QUEUED, State.PAUSED, State.STOPPING, State.FAILED, State.CANCELLED}),
    # What ran has said some more before it heard of the pause.
    State.PAUSED: frozenset(
        {
            State.QUEUED,
            State.RUNNING,
            State.AWAITING_INPUT,
            State.RETRYING,
            State.STOPPING,
            State.SUCCEEDED,
            State.FAILED,
            State.CANCELLED,
        }
    ),
    State.AWAITING_INPUT: frozenset({State.RUNNING, State.QUEUED, State.STOPPING, State.FAILED, State.CANCELLED}),
    State.STOPPING: frozenset({State.CANCELLED, State.FAILED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
# States in which a host holds the job, unless it is parked.
HELD = frozenset({State.STARTING, State.RUNNING, State.PAUSED, State.AWAITING_INPUT, State.STOPPING})
