"""Jobs, spans and agents in Koda's shapes, without a mesh."""

import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2
from google.protobuf import json_format, struct_pb2

from gateway.dialects.koda import trace, views
from tests.gateway import stage


def job(state: str = "RUNNING", **given: Any) -> job_pb2.Job:
    return stage.job("users/1", state, target="agents/1", **given)


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ({"Markdown": {"body": "# Done"}}, "# Done"),
        ({"Text": {"body": "done"}}, "done"),
        ({"dict": {"a": [1]}}, {"dict": {"a": [1]}}),
    ],
)
def test_an_output_is_text_or_json(result: dict[str, Any], shown: Any) -> None:
    """And null before there is any."""
    assert shown == views.output(job("SUCCEEDED", result_json=json.dumps(result)))
    assert views.output(job()) is None


@pytest.mark.parametrize(
    ("state", "reason", "code", "retryable"),
    [
        ("CANCELLED", "USER_STOP", "task.cancelled", False),
        ("CANCELLED", "TIMEOUT", "task.cancelled", False),
        ("FAILED", "ERROR", "task.failed", False),
        ("FAILED", "TIMEOUT", "task.timeout", True),
        ("FAILED", "BUDGET_EXCEEDED", "task.budget_exceeded", False),
        ("FAILED", "WORKER_LOST", "task.worker_lost", True),
    ],
)
def test_a_failure_says_what_may_be_done(state: str, reason: str, code: str, retryable: bool) -> None:
    """By its reason; one that was cancelled is told apart by its code alone."""
    failed = job(state, reason=job_pb2.JobReason.Value(f"JOB_REASON_{reason}"), error="why")
    shown = views.task(failed, "atlas")

    assert ("failed", None) == (shown["status"], shown["output"])
    assert (code, retryable, "why") == (shown["error"]["code"], shown["error"]["retryable"], shown["error"]["message"])


def span(kind: str, **attributes: Any) -> trace_pb2.Span:
    given = struct_pb2.Struct()
    json_format.ParseDict(attributes, given)
    return trace_pb2.Span(
        id="s",
        seq=7,
        kind=trace_pb2.SpanKind.Value(f"SPAN_KIND_{kind}"),
        display_name="name",
        status=trace_pb2.SPAN_STATUS_OK,
        start_time=stage.at(100.25),
        end_time=stage.at(101),
        attributes=given,
        usage=job_pb2.Usage(input_tokens=3, output_tokens=4, cost_micros=1500),
        redactions=["prompt.0.content"],
    )


@pytest.mark.parametrize(
    ("kind", "attributes", "shown"),
    [
        (
            "PROVIDER_CALL",
            {"provider": "openai", "model": "m", "prompt": [{"role": "user", "content": "x"}], "response": "y"},
            {"kind": "provider_call", "tokens": {"input": 3, "output": 4}, "cost_usd": 0.0015, "latency_ms": 750},
        ),
        (
            "TOOL_CALL",
            {"arguments": {"n": 1}, "result": "r", "approval": {"approve": True}},
            {"kind": "tool_call", "command": {"name": "name", "arguments": {"n": 1}}, "approval": {"approve": True}},
        ),
        (
            "MEMORY_HIT",
            {"memory": "memories/1", "content": "c", "score": 0.5, "type": "fact", "dense_rank": 2, "lexical_rank": 0},
            {"kind": "memory_hit", "score": 0.5, "type": "fact", "dense_rank": 2, "lexical_rank": None},
        ),
        (
            "RETRIEVAL_HIT",
            {"title": "t", "score": 1, "graph_rank": 1},
            {"kind": "retrieval_hit", "title": "t", "graph_rank": 1, "dense_rank": None},
        ),
        (
            "AUDIT",
            {"event": "security.approval_granted", "decision": {"approve": True}},
            {"kind": "audit_event", "event": "security.approval_granted", "decision": {"approve": True}},
        ),
    ],
)
def test_a_kind_of_span_is_a_kind_of_step(kind: str, attributes: dict[str, Any], shown: dict[str, Any]) -> None:
    """One to one, with what the page names of each."""
    step = trace.step(span(kind, **attributes))

    assert shown == {name: step[name] for name in shown}
    assert (7, 750, "ok") == (step["seq"], step["duration_ms"], step["status"])


def test_redactions_are_counted_and_found() -> None:
    """By their paths in the trace; a part says where the next begins."""
    shown = trace.trace(job(), [span("TOOL_CALL"), span("AUDIT")], trace_pb2.COMPLETENESS_OPEN, 7)

    fields = ["steps.0.prompt.0.content", "steps.1.prompt.0.content"]
    assert {"count": 2, "fields": fields} == shown["redactions"]
    assert ("open", 7, "running") == (shown["completeness"], shown["next_after_seq"], shown["status"])
