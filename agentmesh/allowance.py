"""What jobs of a flow may take: how often they are started, how long they may last, what they may consume."""

import dataclasses
import math

from agentmesh.retries import Retries, policy


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a job may consume; 0 is no limit.  A job that goes beyond one fails as BUDGET_EXCEEDED.

    Raises `ValueError` for what is no limit.
    """

    tokens: int = 0
    """That it says it has used (`tracer.usage`)."""
    cost_micros: int = 0
    """The same, in millionths of the operator's currency."""
    log_bytes: int = 0
    """Of all that is kept of it: inputs, log, locks and result."""

    def __post_init__(self) -> None:
        for name, limit in dataclasses.asdict(self).items():
            if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit < 1 << 63:
                raise ValueError(f"budget: {name} must be a whole number, 0 (no limit) or more, not {limit!r}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What an author lets a flow's jobs take."""

    retries: Retries | None = None
    deadline_s: float = 0.0
    """0 is no limit."""
    budget: Budget = Budget()

    @classmethod
    def of(cls, retries: Retries | int | None, deadline_s: float, budget: Budget | None) -> "Allowance":
        """Return what an author has said.  Raises `ValueError` for what cannot be kept to."""
        if not math.isfinite(deadline_s) or deadline_s < 0:
            raise ValueError(f"deadline_s must be a number of seconds, 0 (no limit) or more, not {deadline_s!r}")
        return cls(retries=policy(retries), deadline_s=deadline_s, budget=budget or Budget())
