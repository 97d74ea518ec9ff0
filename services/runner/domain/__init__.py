"""Jobs, their logs, locks and payments: records, and the rules by which they change.

A rule is a pure function from the stored job to a `Change`; nothing here knows transport, storage or the clock.
"""

from services.runner.domain import locks, payments
from services.runner.domain.jobs import Stale, finish, first_events, lease, lose, move, report, stop
from services.runner.domain.records import (
    ALLOWED,
    HELD,
    TERMINAL,
    Change,
    End,
    Event,
    Job,
    Lock,
    LockEnd,
    LockState,
    OpenLock,
    PaymentStep,
    PlacedApp,
    Reason,
    Request,
    State,
    Terms,
)

__all__ = [
    "ALLOWED",
    "HELD",
    "TERMINAL",
    "Change",
    "End",
    "Event",
    "Job",
    "Lock",
    "LockEnd",
    "LockState",
    "OpenLock",
    "PaymentStep",
    "PlacedApp",
    "Reason",
    "Request",
    "Stale",
    "State",
    "Terms",
    "finish",
    "first_events",
    "lease",
    "locks",
    "lose",
    "move",
    "payments",
    "report",
    "stop",
]
