"""The timeline of an execution as a waterfall: its states, steps, spans and questions, each from beginning to end.

A step's event says when it ended; it began when the one before it ended, or the attempt did (ADR 32).  An agent's or
crew's steps are shown as its spans, which know both: tasks, calls of models and tools, each below what it is a part of.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from gateway.core import states
from gateway.web.panel import shown
from meshkit import clock

KINDS = frozenset({"status", "step", "lock", "lease"})
WIDTH = 1000
"""Of the picture; it is stretched to the page's."""
_LEAST = 4
_BARS_MAX = 300


_DEPTH_MAX = 6
_ROOT = "job"
_SPANS: dict[int, str] = {
    trace_pb2.SPAN_KIND_PROVIDER_CALL: "Model",
    trace_pb2.SPAN_KIND_TOOL_CALL: "Tool",
    trace_pb2.SPAN_KIND_MEMORY_HIT: "Remembered",
    trace_pb2.SPAN_KIND_RETRIEVAL_HIT: "Looked up",
    trace_pb2.SPAN_KIND_AUDIT: "Approval",
    trace_pb2.SPAN_KIND_AGENT_STEP: "Agent",
    trace_pb2.SPAN_KIND_TASK: "Task",
}
_STATUSES: dict[int, str] = {
    trace_pb2.SPAN_STATUS_RUNNING: "busy",
    trace_pb2.SPAN_STATUS_OK: "good",
    trace_pb2.SPAN_STATUS_ERROR: "bad",
    trace_pb2.SPAN_STATUS_LOST: "warn",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    name: str
    kind: str
    since: float
    until: float
    what: str = ""
    depth: int = 0
    tokens: int = 0


def of(
    job: job_pb2.Job, events: Iterable[job_pb2.Event], now: float, spans: Sequence[trace_pb2.Span] = ()
) -> dict[str, Any]:
    """Return the bars in order, and the scale below them."""
    begin = clock.seconds_of(job.create_time)
    end = clock.seconds_of(job.finish_time) if job.HasField("finish_time") else now
    total_s = max(end - begin, 1e-3)
    told = [span for span in spans if span.id != _ROOT and not span.id.startswith("lock.")]
    pieces = [*_pieces(events, end, steps=not any(span.kind in _SPANS for span in told)), *_spans(told, end)]
    pieces.sort(key=lambda piece: (piece.since, -piece.until))
    bars = []
    for piece in pieces[:_BARS_MAX]:
        left = min(WIDTH - _LEAST, max(0.0, (piece.since - begin) / total_s * WIDTH))
        width = min(WIDTH - left, max(_LEAST, (piece.until - piece.since) / total_s * WIDTH))
        bars.append(
            {
                "name": piece.name,
                "what": piece.what,
                "depth": piece.depth,
                "tokens": piece.tokens,
                "class": piece.kind,
                "x": round(left, 1),
                "width": round(width, 1),
                "took": shown.duration(piece.until - piece.since),
            }
        )
    marks = [shown.duration(total_s * part) for part in (0, 0.5, 1)] if total_s >= 0.01 else []
    return {"bars": bars, "marks": marks, "width": WIDTH, "cut": max(0, len(pieces) - _BARS_MAX)}


def _spans(spans: Sequence[trace_pb2.Span], end: float) -> Iterator[_Piece]:
    parents = {span.id: span.parent for span in spans}
    for span in spans:
        depth, above = 0, span.parent
        while above in parents and depth < _DEPTH_MAX:
            depth, above = depth + 1, parents[above]
        since = clock.seconds_of(span.start_time)
        yield _Piece(
            name=span.display_name or span.agent_display_name or "Step",
            what=_SPANS.get(span.kind, ""),
            kind=_STATUSES.get(span.status, ""),
            since=since,
            until=max(since, clock.seconds_of(span.end_time) if span.HasField("end_time") else end),
            depth=depth,
            tokens=span.usage.input_tokens + span.usage.output_tokens,
        )


def _pieces(events: Iterable[job_pb2.Event], end: float, *, steps: bool) -> Iterator[_Piece]:
    """Yield states, questions and, if wanted, steps."""
    state: tuple[int, float] | None = None
    step_from = 0.0
    asked: dict[str, tuple[str, float]] = {}
    for event in events:
        said = _said(event.payload)
        if event.kind == "status":
            if state is not None:
                yield _state(*state, event.time)
            number = states.STATES.get(event.payload.upper(), 0)
            state = (number, event.time) if number and number not in states.TERMINAL else None
            step_from = event.time
        elif event.kind == "step":
            if steps:
                name = str(said.get("name") or "step")
                yield _Piece(name=name, kind="good", since=step_from or event.time, until=event.time, what="Step")
            step_from = event.time
        elif event.kind == "lock":
            asked[str(said.get("lid"))] = (str(said.get("name") or "question"), event.time)
        elif (question := asked.pop(str(said.get("lid")), None)) is not None:
            yield _question(*question, event.time)
    if state is not None:
        yield _state(*state, end)
    for question in asked.values():
        yield _question(*question, end)


def _state(state: int, since: float, until: float) -> _Piece:
    return _Piece(name=shown.word(state), kind=shown.badge(state), since=since, until=until)


def _question(name: str, since: float, until: float) -> _Piece:
    return _Piece(name=name, what="Question", kind="warn", since=since, until=until)


def _said(payload: str) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):  # nested too deeply
        return {}
    value = value.get("dict", value) if isinstance(value, dict) else {}
    return value if isinstance(value, dict) else {}
