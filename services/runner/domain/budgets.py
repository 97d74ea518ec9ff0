"""What a flow's job may consume; an agent's or crew's budget is kept to by its engine."""

import dataclasses
import json

from services.runner.domain.records import End, Job
from services.runner.domain.states import Reason, State


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """As `mesh.runner.v1.Budget`; 0 is no limit."""

    tokens: int = 0
    cost_micros: int = 0
    log_bytes: int = 0

    def dumped(self) -> str:
        """Return it as JSON; empty if nothing is limited."""
        limits = {name: limit for name, limit in dataclasses.asdict(self).items() if limit}
        return json.dumps(limits, separators=(",", ":")) if limits else ""


def spent(job: Job, log_bytes: int) -> End | None:
    """Return the end of a job that has consumed more than it may, with a log of that size; `None` if it has not."""
    if not job.budget_json:
        return None
    budget = Budget(**json.loads(job.budget_json))
    used = {
        "tokens": (budget.tokens, job.input_tokens + job.output_tokens, "tokens"),
        "cost": (budget.cost_micros, job.cost_micros, "millionths of the operator's currency"),
        "log": (budget.log_bytes, log_bytes, "bytes of its log"),
    }
    for limit, amount, unit in used.values():
        if limit and amount > limit:
            error = f"the job has used {amount} {unit}, its budget is {limit}"
            return End(state=State.FAILED, reason=Reason.BUDGET_EXCEEDED, error=error)
    return None
