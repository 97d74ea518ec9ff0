"""What a job may take: how often it is started, how long it may last, what it may consume.

Its flow's author says it, and who starts it: the caller has the last word about retries, and of two limits the lower
one holds.
"""

import dataclasses
import math

from agentmesh_protos.runner.v1 import app_pb2, job_pb2

from meshkit.errors import Internal, Invalid
from services.runner.domain.budgets import Budget
from services.runner.domain.retrying import Retries

DEADLINE_S_MAX = 366 * 86_400.0
_OF_A_FLOW = ("tokens", "cost_micros", "log_bytes")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a caller wants of a job."""

    retries: job_pb2.RetryPolicy = dataclasses.field(default_factory=job_pb2.RetryPolicy)
    deadline_s: float = 0.0
    budget: job_pb2.Budget = dataclasses.field(default_factory=job_pb2.Budget)
    """Of a flow: that of an agent or crew is its engine's to keep to."""

    def said(self) -> list[object]:
        """Return what makes two of them the same."""
        messages = (self.retries, self.budget)
        return [self.deadline_s, *(message.SerializeToString(deterministic=True).hex() for message in messages)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a job is born with."""

    retries: Retries | None = None
    """None: as its kind has it."""
    deadline_s: float = 0.0
    budget: Budget = Budget()  # noqa: RUF009  # frozen, and so shared


def allowed(info: app_pb2.FlowInfo | None, wanted: Wanted) -> Allowance:
    """Return what a job may take.  Raises `Invalid` for what the caller wants, and `Internal` for what the app says."""
    info = info or app_pb2.FlowInfo()
    try:
        own = Wanted(retries=info.retries, deadline_s=info.deadline_s, budget=info.budget)
        _check(own)
        _retries(own.retries, None)
    except Invalid as error:
        raise Internal(f"the app declares what cannot be kept to: {error}") from error
    _check(wanted)
    limits = {name: int(_lower(getattr(info.budget, name), getattr(wanted.budget, name))) for name in _OF_A_FLOW}
    return Allowance(
        retries=_retries(wanted.retries, _retries(own.retries, None)),
        deadline_s=_lower(info.deadline_s, wanted.deadline_s),
        budget=Budget(**limits),
    )


def _check(wanted: Wanted) -> None:
    if not (math.isfinite(wanted.deadline_s) and 0 <= wanted.deadline_s <= DEADLINE_S_MAX):
        raise Invalid("the deadline cannot be kept to", {"deadline_s": ["must be 0 (none) to a year, in seconds"]})
    wrong = {
        f"budget.{field.name}": ["must be 0 (no limit) or more" if field.name in _OF_A_FLOW else "not for a flow"]
        for field, value in wanted.budget.ListFields()
        if field.name not in _OF_A_FLOW or value < 0
    }
    if wrong:
        raise Invalid("the budget cannot be kept to", wrong)


def _retries(said: job_pb2.RetryPolicy, own: Retries | None) -> Retries | None:
    """Return a policy with what is said, else what its flow has, else what it takes where nobody says anything."""
    if not said.ListFields():
        return own
    own = own or Retries()
    pause_s = said.pause_s or own.pause_s
    policy = Retries(
        attempts=said.attempts or own.attempts,
        pause_s=pause_s,
        pause_s_max=said.pause_s_max or max(pause_s, own.pause_s_max),
        jitter=said.jitter or own.jitter,
        on=tuple(said.on) or own.on,
    )
    if wrong := policy.wrong():
        raise Invalid("the retries cannot be made", {f"retries.{name}": texts for name, texts in wrong.items()})
    return policy


def _lower(one: float, other: float) -> float:
    """Return the lower of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other
