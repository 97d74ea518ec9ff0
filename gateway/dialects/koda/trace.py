"""A task's trace as Koda shows it: the spans of the job's log, in order, each kind with what is its own."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2, trace_pb2
from google.protobuf import json_format

from gateway.dialects.koda import views
from gateway.dialects.koda.words import WORDS
from meshkit.clock import seconds_of

SCHEMA = "trace.v1"


def _provider_call(span: trace_pb2.Span, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "provider": said.get("provider"),
        "model": said.get("model") or span.display_name or None,
        "prompt": said.get("prompt"),
        "response": said.get("response"),
        "tool_calls": said.get("tool_calls") or [],
        "attempts": int(said.get("attempts") or 1),
        "tokens": {"input": span.usage.input_tokens, "output": span.usage.output_tokens},
        "cost_usd": views.usd(span.usage.cost_micros),
        "latency_ms": _duration_ms(span),
        "offline": bool(said.get("offline", False)),
    }


def _tool_call(span: trace_pb2.Span, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tool": span.display_name,
        "command": {"name": span.display_name, "arguments": said.get("arguments")},
        "result": said.get("result"),
        "approval": said.get("approval"),
    }


def _memory_hit(span: trace_pb2.Span, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "memory_id": _text(said.get("memory")),
        "content": said.get("content"),
        "score": said.get("score"),
        "type": said.get("type"),
        "layer": said.get("layer"),
        "category": said.get("category"),
        **_ranks(said),
    }


def _retrieval_hit(span: trace_pb2.Span, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": said.get("title") or span.display_name or None,
        "content": said.get("content"),
        "source": said.get("source"),
        "score": said.get("score"),
        **_ranks(said),
    }


def _audit_event(span: trace_pb2.Span, said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "event": said.get("event") or span.display_name,
        "decision": said.get("decision"),
        "by": said.get("by"),
    }


_Shown = Callable[[trace_pb2.Span, Mapping[str, Any]], dict[str, Any]]
KINDS: Mapping[int, tuple[str, _Shown]] = {
    trace_pb2.SPAN_KIND_PROVIDER_CALL: ("provider_call", _provider_call),
    trace_pb2.SPAN_KIND_TOOL_CALL: ("tool_call", _tool_call),
    trace_pb2.SPAN_KIND_MEMORY_HIT: ("memory_hit", _memory_hit),
    trace_pb2.SPAN_KIND_RETRIEVAL_HIT: ("retrieval_hit", _retrieval_hit),
    trace_pb2.SPAN_KIND_AUDIT: ("audit_event", _audit_event),
}
"""The kinds that Koda knows.  What frames them (a turn, a task of a crew, the job) it shows as their parents only."""


def trace(
    job: job_pb2.Job, spans: Iterable[trace_pb2.Span], completeness: int, next_after_seq: int | None
) -> dict[str, Any]:
    """Return a trace, or a part of it; `next_after_seq` is where the next part begins, None if this is the last."""
    steps = [step(span) for span in spans]
    fields = [f"steps.{number}.{field}" for number, each in enumerate(steps) for field in each["redactions"]]
    return {
        "task_id": views.task_id_of(job),
        "status": WORDS.word(job.state),
        "schema": SCHEMA,
        "completeness": _word(trace_pb2.Completeness.Name(completeness), "COMPLETENESS_"),  # type: ignore[arg-type]
        "steps": steps,
        "redactions": {"count": len(fields), "fields": fields},
        "next_after_seq": next_after_seq,
    }


def step(span: trace_pb2.Span) -> dict[str, Any]:
    """Return one step."""
    kind, shown = KINDS[span.kind]
    said = _numbers(json_format.MessageToDict(span.attributes))
    return {
        "seq": span.seq,
        "id": span.id,
        "parent_id": span.parent or None,
        "kind": kind,
        "name": span.display_name,
        "at": views.moment(span.start_time),
        "duration_ms": _duration_ms(span),
        "status": _word(trace_pb2.SpanStatus.Name(span.status), "SPAN_STATUS_"),
        "agent": span.agent_display_name or None,
        **shown(span, said),
        "error": said.get("error"),
        "redactions": list(span.redactions),
    }


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _duration_ms(span: trace_pb2.Span) -> int | None:
    if not span.HasField("end_time"):
        return None
    return max(0, round(1000 * (seconds_of(span.end_time) - seconds_of(span.start_time))))


def _ranks(said: Mapping[str, Any]) -> dict[str, Any]:
    # 0 is a list in which it is not.
    return {name: said.get(name) or None for name in ("lexical_rank", "dense_rank", "graph_rank")}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _numbers(value: Any) -> Any:
    """Return a JSON value whose whole numbers are integers again; a `Struct` has floats only."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return value
