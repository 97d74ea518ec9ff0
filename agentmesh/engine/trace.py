"""Spans: what the engine tells of its steps, as events of kind `span`.

A span is told of when it begins and when it ends; its id says where in the job it is, so that another attempt which
takes it up goes on with the same span.  Secrets are taken out before anything is written, and their places named.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2

from agentmesh._job.redaction import Redactor
from agentmesh.tracer import Tracer

TEXT_CHARS_MAX = 50_000
"""Of one text in a span; a longer one loses its end."""
_TEXTS_MAX = 400


class Trace:
    """Tells of the spans of one job."""

    def __init__(self, tracer: Tracer, redactor: Redactor) -> None:
        self._tracer = tracer
        self._redactor = redactor

    def begin(
        self,
        span_id: str,
        kind: str,
        name: str,
        *,
        parent: str = "",
        agent: agent_pb2.Agent | None = None,
        task_def: str = "",
        **attributes: Any,
    ) -> None:
        """Tell that a span begins."""
        said = {"id": span_id, "kind": kind, "name": name, "status": "running", "start": time.time()}
        said |= {"parent": parent, "task_def": task_def}
        if agent is not None:
            said |= {"agent": agent.name, "agent_name": called(agent)}
        self._tell(said, attributes)

    def end(
        self,
        span_id: str,
        *,
        error: str = "",
        usage: Mapping[str, int] | None = None,
        agent: agent_pb2.Agent | None = None,
        task_def: str = "",
        **attributes: Any,
    ) -> None:
        """Tell that a span has ended; `agent` did it, if that was not known when it began.

        The end of a task names its `task_def` again: who has not heard the beginning needs to ask nobody.
        """
        said: dict[str, Any] = {"id": span_id, "status": "error" if error else "ok", "end": time.time()}
        said["task_def"] = task_def
        if agent is not None:
            said |= {"agent": agent.name, "agent_name": called(agent)}
        if usage:
            said["usage"] = dict(usage)
        self._tell(said, {**attributes, **({"error": error} if error else {})})

    def mark(self, span_id: str, kind: str, name: str, **more: Any) -> None:
        """Tell of a span that takes no time."""
        self.begin(span_id, kind, name, **more)
        self.end(span_id)

    def _tell(self, said: dict[str, Any], attributes: Mapping[str, Any]) -> None:
        redactions: list[str] = []
        left = [_TEXTS_MAX]
        said["attributes"] = {name: self._clean(value, name, redactions, left) for name, value in attributes.items()}
        if redactions:
            said["redactions"] = redactions
        self._tracer.emit("span", json.dumps({key: value for key, value in said.items() if value != ""}, default=str))

    def _clean(self, value: Any, path: str, redactions: list[str], left: list[int]) -> Any:
        """Return a value without secrets, and not too much of it; name the places where there were any."""
        if isinstance(value, str):
            left[0] -= 1
            clean = self._redactor.text(value)
            if clean != value:
                redactions.append(path)
            return clean if len(clean) <= TEXT_CHARS_MAX else clean[:TEXT_CHARS_MAX] + "…"
        if left[0] <= 0 and isinstance(value, Mapping | list | tuple):
            return "…"
        if isinstance(value, Mapping):
            return {str(key): self._clean(inner, f"{path}.{key}", redactions, left) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(inner, f"{path}.{number}", redactions, left) for number, inner in enumerate(value)]
        return value


def called(agent: agent_pb2.Agent) -> str:
    """Return how people call an agent."""
    return agent.display_name or agent.role or agent.slug or agent.name
