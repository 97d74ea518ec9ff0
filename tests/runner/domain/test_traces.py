"""Traces as a view of a job's log."""

import dataclasses
import json

import pytest
from agentmesh_protos.runner.v1 import trace_pb2
from google.protobuf import json_format

from services.runner.domain import Event, Job, State, traces
from services.runner.shapes import span_to_pb

JOB = Job(
    job_id="0" * 24, flow="flows/agents", target="agents/a", owner="users/u", state=State.RUNNING, created_at=1.0,
    updated_at=2.0,
)  # fmt: skip


def span(seq: int, **said: object) -> Event:
    """Return an event that tells of a span."""
    return Event(kind="span", payload=json.dumps(said), time=float(seq), seq=seq)


def test_an_end_completes_its_beginning() -> None:
    """Two events of one id are one span, in the place of the first."""
    events = [
        span(4, id="a", kind="task", name="T", start=4.0, attributes={"x": 1}),
        span(5, id="b", kind="tool_call", name="calc", parent="a", start=5.0),
        span(6, id="b", status="ok", end=6.0, attributes={"result": "42"}),
        span(7, id="a", status="ok", end=7.0, usage={"input_tokens": 3}),
    ]

    root, task, tool = traces.spans_of(JOB, events)

    assert ("job", "running") == (root.id, root.status)
    assert ("a", "job", 4.0, 7.0, {"input_tokens": 3}) == (task.id, task.parent, task.start, task.end, task.usage)
    assert ("b", "a", "ok", {"result": "42"}) == (tool.id, tool.parent, tool.status, tool.attributes)


def test_another_attempt_goes_on_with_a_span() -> None:
    """It keeps the time of its first beginning."""
    events = [span(4, id="a", start=4.0), span(9, id="a", start=9.0), span(10, id="a", status="ok", end=10.0)]

    (_, found) = traces.spans_of(JOB, events)

    assert (4.0, 10.0, "ok") == (found.start, found.end, found.status)


def test_a_trace_says_whether_it_is_complete() -> None:
    """Open while the job goes on, partial if a span never ended."""
    events = [span(4, id="a", start=4.0)]
    ended = dataclasses.replace(JOB, state=State.FAILED, finished_at=9.0)

    open_, lost = traces.spans_of(JOB, events), traces.spans_of(ended, events)

    assert "open" == traces.completeness(JOB, open_)
    assert "partial" == traces.completeness(ended, lost)
    assert "lost" == lost[1].status
    closed = traces.spans_of(ended, [*events, span(5, id="a", status="ok", end=5.0)])
    assert "complete" == traces.completeness(ended, closed)


def test_locks_are_spans() -> None:
    """What a human is asked begins with the question and ends with the answer."""
    asked = json.dumps({"dict": {"lid": "l1", "name": "gate", "data": {"q": 1}}})
    answered = json.dumps({"dict": {"lid": "l1", "name": "gate", "result": {"ok": True}}})
    events = [
        Event(kind="lock", payload=asked, time=4.0, seq=4),
        Event(kind="lease", payload=answered, time=6.0, seq=5),
    ]

    (_, lock) = traces.spans_of(JOB, events)

    assert ("gate", "ok", 4.0, 6.0) == (lock.name, lock.status, lock.start, lock.end)
    assert {"ok": True} == lock.attributes["result"]


def test_what_is_no_span_is_left_out() -> None:
    """A host may say anything; the trace is still one."""
    events = [
        Event(kind="span", payload=text, time=1.0, seq=2) for text in ("", "[]", "{}", '{"id": 3}', '{"id":"job"}')
    ]

    assert ["job"] == [one.id for one in traces.spans_of(JOB, events)]


@pytest.mark.parametrize(
    "said",
    [
        '{"id": "a", "attributes": ' + '{"x":' * 200 + "1" + "}" * 200 + "}",
        '{"id": "a", "attributes": ' + "[" * 100_000,
        '{"id": "a", "attributes": {"x": 1e999, "y": NaN, "z": -Infinity, "n": ' + "9" * 4000 + "}}",
        '{"id": "a", "attributes": {"\\ud800": "\\udfff"}, "redactions": ["\\ud800"], "name": "\\ud800"}',
        '{"id": "\\ud800", "parent": "\\ud800", "agent": "\\ud800"}',
        '{"id": "a", "usage": {"input_tokens": 1e999, "output_tokens": -1, "cost_micros": 99999999999999999999}}',
        '{"id": "a", "start": 1e999, "end": 1e300}',
        '{"id": "a", "start": NaN, "end": -1e300}',
    ],
)
def test_what_a_flow_says_of_a_span_can_be_told(said: str) -> None:
    """Whatever it is: a message, and JSON for a browser; one bad span hides none of the others."""
    good = span(2, id="good", status="ok", end=3.0)

    found = traces.spans_of(JOB, [Event(seq=1, time=1.0, kind="span", payload=said), good])

    told = [
        json_format.MessageToJson(trace_pb2.Span.FromString(span_to_pb(each).SerializeToString())) for each in found
    ]
    assert ["job", "good"] == [each.id for each in found if each.id in ("job", "good")]
    assert len(found) == len(told)


def test_a_lock_of_any_name_is_a_span() -> None:
    """Half of a surrogate pair in its name, its id or its data is nothing that a list of spans fails by."""
    events = [
        Event(
            seq=1, time=1.0, kind="lock", payload='{"dict": {"lid": "\\ud800", "name": "\\ud800", "data": ["\\udc00"]}}'
        ),
        Event(seq=2, time=2.0, kind="lease", payload='{"dict": {"lid": "\\ud800", "result": {"a": "\\ud800"}}}'),
    ]

    _, lock = traces.spans_of(JOB, events)

    assert "ok" == lock.status
    assert "lock.?" == span_to_pb(lock).id
