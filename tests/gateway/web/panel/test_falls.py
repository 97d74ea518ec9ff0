"""The waterfall of an execution."""

from mesh.runner.v1 import job_pb2

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
        ("Question: Salt?", 600, 400),
    ] == [(bar["name"], bar["x"], bar["width"]) for bar in shown["bars"]]


def test_nonsense_in_a_log_is_no_bar() -> None:
    """Payloads of other versions are read as far as they can be."""
    job = job_pb2.Job(create_time=clock.stamp(1.0), finish_time=clock.stamp(1.0))
    log = [event("status", 1.0, "dreaming"), event("lock", 1.0, "["), event("lease", 1.0, "7")]

    assert ["Question: question"] == [bar["name"] for bar in falls.of(job, log, now=1.0)["bars"]]
