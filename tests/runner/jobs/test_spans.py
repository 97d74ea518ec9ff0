"""What OpenTelemetry hears of a job is read off its log."""

import asyncio
import dataclasses
import json

import pytest

from meshkit.telemetry import Observe, Place, Span
from services.runner.domain import Birth, Event, Job, State
from services.runner.jobs.spans import Spans, handed
from services.runner.stores.memory import MemoryStore

BORN_IN = Place("1" * 32, "2" * 16)


class Heard:
    """Takes spans, and nothing else."""

    traces = True

    def __init__(self) -> None:
        self.spans: asyncio.Queue[Span] = asyncio.Queue()

    def span(self, span: Span) -> None:
        """Keep it."""
        self.spans.put_nowait(span)

    def called(self, method: str, code: str, seconds: float) -> None:
        """Not here."""

    def log(self, line: object) -> None:
        """Not here."""

    def gauge(self, name: str, what: str, observe: Observe, *, total: bool = False) -> None:
        """Not here."""

    def exposition(self) -> str:
        """Nothing."""
        return ""

    def close(self) -> None:
        """Nothing is left."""


def said(span_id: str, at: float, **more: object) -> Event:
    """Return what an agent's flow tells of a step that took a second."""
    payload = {"id": span_id, "name": span_id, "status": "ok", "start": at - 1, "end": at, **more}
    return Event(kind="span", payload=json.dumps(payload), time=at)


@pytest.mark.parametrize("heard_from", [0, 4])
async def test_steps_of_agents_are_told_without_what_was_said(heard_from: int) -> None:
    """Each in the attempt in which it ended; names and counts go out, prompts and answers stay.

    Whoever has written the whole log needs no store for that; who has not reads it.
    """
    store, heard = MemoryStore(), Heard()
    job = Job(
        job_id="a" * 24,
        flow="flows/agents",
        owner="users/a",
        state=State.SUCCEEDED,
        created_at=1.0,
        updated_at=30.0,
        finished_at=30.0,
        attempt=2,
        traceparent=BORN_IN.traceparent,
    )
    states = {2.0: State.RUNNING, 10.0: State.RETRYING, 11.0: State.QUEUED, 12.0: State.RUNNING, 30.0: State.SUCCEEDED}
    attributes = {"model": "offline", "prompt": "the secret recipe"}
    log = [
        *(Event(kind="status", payload=state, time=at) for at, state in states.items()),
        said("first", 5.0),
        said("model", 20.0, kind="provider_call", usage={"input_tokens": 7}, attributes=attributes),
        said("tool", 19.0, kind="tool_call", parent="model"),
    ]
    ((kept, events),) = await store.create([Birth(job=job, events=tuple(log))], None)
    spans = Spans(MemoryStore() if heard_from == 0 else store, heard)
    for written in (events[heard_from:5], events[5:-1]):
        spans.written(dataclasses.replace(kept, state=State.RUNNING), written)
    spans.written(kept, events[-1:])
    telling = asyncio.create_task(spans.run())
    async with asyncio.timeout(30):
        found = [await heard.spans.get() for _ in range(6)]
    telling.cancel()

    root, one, two, first, model, tool = found
    assert [BORN_IN.span_id, *[root.place.span_id] * 2] == [root.parent, one.parent, two.parent]
    assert [one, two] == [span for span in found if span.name == "run flows/agents"]
    assert [one.place.span_id, two.place.span_id, model.place.span_id] == [first.parent, model.parent, tool.parent]
    assert ("offline", 7) == (model.attributes["model"], model.attributes["gen_ai.usage.input_tokens"])
    assert "secret" not in str(found)
    assert BORN_IN.inner(two.place.span_id).traceparent == handed(dataclasses.replace(job, attempt=1))
