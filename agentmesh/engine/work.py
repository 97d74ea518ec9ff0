"""One job of the engine: what it was handed, what it may consume, and where it tells of itself."""

import dataclasses
import json
from typing import Any

from agentmesh_protos.registry.v1 import tool_pb2
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from agentmesh._job.redaction import Redactor
from agentmesh.engine.trace import Trace
from agentmesh.errors import BudgetExceeded
from agentmesh.tracer import Tracer

CONTENT_CHARS_MAX = 2_000
"""Of what is remembered of one result."""


class Purse:
    """What a job may still consume; what earlier attempts have consumed counts."""

    def __init__(self, budget: job_pb2.Budget) -> None:
        self._budget = budget
        self.tokens = 0
        self.cost_micros = 0
        self.steps = 0

    def check(self) -> None:
        """Raise `BudgetExceeded` if the next call of a model or tool is not in it any more."""
        spent = {"tokens": self.tokens, "cost_micros": self.cost_micros, "steps": self.steps}
        for name, count in spent.items():
            limit = getattr(self._budget, name)
            if limit and count >= limit:
                raise BudgetExceeded(f"the budget of {limit} {name} is spent ({count})")

    def spend(self, tokens: int = 0, cost_micros: int = 0) -> None:
        """Know of one call."""
        self.tokens += tokens
        self.cost_micros += cost_micros
        self.steps += 1


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """One job of the engine."""

    tracer: Tracer
    run: host_pb2.Run
    inputs: dict[str, Any]
    trace: Trace
    purse: Purse
    redactor: Redactor
    """Knows the keys and tokens that the job was handed."""

    @classmethod
    def of(cls, inputs: dict[str, Any], tracer: Tracer, run: host_pb2.Run) -> "Work":
        """Return the work of an assignment."""
        redactor = Redactor(run.secrets.values())
        return cls(tracer, run, inputs, Trace(tracer, redactor), Purse(run.budget), redactor)

    @property
    def tools(self) -> dict[str, tool_pb2.Tool]:
        """The tools of the definition, by name."""
        return {tool.name: tool for tool in self.run.definition.tools}

    def remember(self, layer: str, content: str, *, type: str, category: str = "", importance: float = 0.5) -> None:
        """Write something to the memory of the job's target: with the log, once."""
        said = {
            "layer": layer,
            "content": content[:CONTENT_CHARS_MAX],
            "type": type,
            "category": category[:100],
            "importance": importance,
        }
        self.tracer.emit("memory", json.dumps(said, ensure_ascii=False))
