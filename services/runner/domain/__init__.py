"""Jobs, their logs, locks and payments: records, and the rules by which they change.

A rule is a pure function from the stored job to a `Change`; nothing here knows transport, storage or the clock.
"""

from services.runner.domain import locks, pages, payments
from services.runner.domain.jobs import SHUT_DOWN, Gap, Stale, born, end, finish, lease, lost, move, report, stop
from services.runner.domain.records import (
    ALLOWED,
    HELD,
    TERMINAL,
    Birth,
    Change,
    End,
    Event,
    Isolation,
    Job,
    Lock,
    LockEnd,
    LockState,
    OpenLock,
    PaymentStep,
    PlacedApp,
    Reason,
    State,
    Terms,
)

__all__ = [
    "ALLOWED",
    "HELD",
    "SHUT_DOWN",
    "TERMINAL",
    "Birth",
    "Change",
    "End",
    "Event",
    "Gap",
    "Isolation",
    "Job",
    "Lock",
    "LockEnd",
    "LockState",
    "OpenLock",
    "PaymentStep",
    "PlacedApp",
    "Reason",
    "Stale",
    "State",
    "Terms",
    "born",
    "end",
    "finish",
    "lease",
    "locks",
    "lost",
    "move",
    "pages",
    "payments",
    "report",
    "stop",
]
