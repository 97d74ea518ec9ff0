"""Traces: the spans of a job as Kasal shows them, one line for each, two for a task."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from agentmesh_protos.dialects.kasal.v1 import execution_pb2 as pb
from agentmesh_protos.runner.v1 import trace_pb2
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.dialects.kasal import ids
from gateway.dialects.kasal.asking import time_of

RESULT_CHARS_MAX = 2_000
_ACTIONS = {
    trace_pb2.SPAN_KIND_PROVIDER_CALL: "llm_call",
    trace_pb2.SPAN_KIND_TOOL_CALL: "",  # its tool's name
    trace_pb2.SPAN_KIND_MEMORY_HIT: "memory_retrieval",
    trace_pb2.SPAN_KIND_RETRIEVAL_HIT: "knowledge_retrieval",
    trace_pb2.SPAN_KIND_AGENT_STEP: "agent_step",
}
_RESULTS = {
    trace_pb2.SPAN_KIND_PROVIDER_CALL: "response",
    trace_pb2.SPAN_KIND_MEMORY_HIT: "content",
    trace_pb2.SPAN_KIND_RETRIEVAL_HIT: "content",
}
"""Which attribute tells what came of it, where it is not `result`."""


def of_spans(spans: Iterable[trace_pb2.Span]) -> list[pb.Trace]:
    """Return what a job did, in the order in which it happened; what is no agent's doing is left out."""
    lines = [line for span in spans for line in _lines(span)]
    lines.sort(key=lambda line: line[0])
    return [trace for _, trace in lines]


def _lines(span: trace_pb2.Span) -> Iterator[tuple[int, pb.Trace]]:
    """Yield the lines of a span, each with its time in microseconds."""
    if span.kind == trace_pb2.SPAN_KIND_TASK:
        yield _line(span, span.start_time, "task_started", _text(span, "description"))
        if span.HasField("end_time"):
            failed = span.status != trace_pb2.SPAN_STATUS_OK
            yield _line(span, span.end_time, "task_failed" if failed else "task_completed", _result(span))
    elif span.kind in _ACTIONS:
        yield _line(span, span.start_time, _ACTIONS[span.kind] or span.display_name, _result(span))


def _line(span: trace_pb2.Span, when: Timestamp, action: str, result: str) -> tuple[int, pb.Trace]:
    trace = pb.Trace(
        timestamp=time_of(when),
        agent=span.agent_display_name,
        action=action,
        result=result,
        agent_id=ids.AGENT.of_optional(span.agent),
        task_id=ids.TASK.of_optional(span.task_def),
        span_id=span.id,
        seq=span.seq,
    )
    return when.ToMicroseconds(), trace


def _result(span: trace_pb2.Span) -> str:
    return _text(span, "error") or _text(span, _RESULTS.get(span.kind, "result"))


def _text(span: trace_pb2.Span, attribute: str) -> str:
    if attribute not in span.attributes.fields:
        return ""
    said: Any = json_format.MessageToDict(span.attributes.fields[attribute])
    return shortened(said if isinstance(said, str) else json.dumps(said, ensure_ascii=False))


def shortened(text: str) -> str:
    """Return a text of at most `RESULT_CHARS_MAX` characters."""
    return text if len(text) <= RESULT_CHARS_MAX else f"{text[: RESULT_CHARS_MAX - 1]}…"
