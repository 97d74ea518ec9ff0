"""The waterfall of an execution."""

from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from gateway.web.panel import falls
from meshkit import clock


def event(kind: str, time: float, payload: str) -> job_pb2.Event:
    """Return an event of a log."""
    return job_pb2.Event(kind=kind, time=time, payload=payload)


def test_states_steps_and_questions_are_bars_from_begin_to_end() -> None:
    """A step begins where the one before it ended; a question that waits reaches to the end."""
    job = job_pb2.Job(create_time=clock.stamp(100.0))
    log = [
        event("status", 100.0, "queued"),
        event("status", 102.0, "running"),
        event("step", 104.0, '{"name":"fetch","result":1}'),
        event("step", 105.0, '{"name":"cook","result":1}'),
        event("lock", 106.0, '{"dict":{"name":"Salt?","lid":"a"}}'),
    ]
    shown = falls.of(job, log, now=110.0)

    assert [
        ("Queued", 0, 200),
        ("Running", 200, 800),
        ("fetch", 200, 200),
        ("cook", 400, 100),
        ("Salt?", 600, 400),
    ] == [(bar["name"], bar["x"], bar["width"]) for bar in shown["bars"]]


def test_nonsense_in_a_log_is_no_bar() -> None:
    """Payloads of other versions are read as far as they can be."""
    job = job_pb2.Job(create_time=clock.stamp(1.0), finish_time=clock.stamp(1.0))
    log = [event("status", 1.0, "dreaming"), event("lock", 1.0, "["), event("lease", 1.0, "7")]

    assert ["question"] == [bar["name"] for bar in falls.of(job, log, now=1.0)["bars"]]


def test_spans_stand_for_steps_each_below_what_it_is_a_part_of() -> None:
    """The job itself and its questions are spans, too, and not shown twice; one that goes on reaches to now."""
    job = job_pb2.Job(create_time=clock.stamp(100.0))
    task = trace_pb2.Span(
        id="t", parent="job", kind=trace_pb2.SPAN_KIND_TASK, display_name="Write", start_time=clock.stamp(101.0)
    )
    call = trace_pb2.Span(
        id="c",
        parent="t",
        kind=trace_pb2.SPAN_KIND_PROVIDER_CALL,
        status=trace_pb2.SPAN_STATUS_OK,
        display_name="gpt",
        start_time=clock.stamp(102.0),
        end_time=clock.stamp(104.0),
    )
    call.usage.input_tokens = 5
    log = [event("status", 100.0, "running"), event("step", 104.0, '{"name":"call"}')]
    around = [trace_pb2.Span(id="job"), trace_pb2.Span(id="lock.1", parent="job")]
    shown = falls.of(job, log, now=110.0, spans=[*around, task, call])

    assert [("Running", "", 0, 0), ("Write", "Task", 0, 0), ("gpt", "Model", 1, 5)] == [
        (bar["name"], bar["what"], bar["depth"], bar["tokens"]) for bar in shown["bars"]
    ]
    assert [(0, 1000), (100, 900), (200, 200)] == [(bar["x"], bar["width"]) for bar in shown["bars"]]
