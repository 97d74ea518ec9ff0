"""Traces: the spans of a job, as its log tells them.

A flow tells of a span by events of kind `span`: one when it begins, one when it ends, of the same id; the second
completes the first.  Ids are the flow's to choose, so that another attempt which takes up a span goes on with it.
Locks are spans of their own.  Nothing here is stored: a trace is a view of the log.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from services.runner.domain import pages, readings
from services.runner.domain.records import Event, Job
from services.runner.domain.states import State

KINDS = ("span", "lock", "lease")
"""The kinds of events that tell of spans."""
SPAN_BYTES_MAX = 8 * 1024 * 1024
"""Of the events that one span is made of: what those behind say of its attributes is left out."""
ROOT = "job"
"""The id of the span that is the job itself."""
_TEXTS = ("parent", "kind", "name", "status", "agent", "agent_name", "task_def")
_TIMES = ("start", "end")
_USAGE = ("input_tokens", "output_tokens", "cost_micros")
_COUNT_MAX = 2**63
_TIME_MAX = 253_402_300_800
"""The year 10000: a `Timestamp` ends before it."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Span:
    """One step.  Times are seconds since 1970, 0.0 where there is none yet."""

    id: str
    seq: int
    parent: str = ROOT
    kind: str = "system"
    """provider_call, tool_call, memory_hit, retrieval_hit, audit, agent_step, task or system."""
    name: str = ""
    status: str = "running"
    """running, ok, error or lost."""
    agent: str = ""
    agent_name: str = ""
    task_def: str = ""
    start: float = 0.0
    end: float = 0.0
    usage: dict[str, int] = dataclasses.field(default_factory=dict)
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    redactions: list[str] = dataclasses.field(default_factory=list)
    heard_bytes: int = 0
    """Of the events that it is made of."""


def spans_of(job: Job, events: Iterable[Event]) -> list[Span]:
    """Return the spans of a job in the order in which they began; `events` are those of `KINDS`, in order."""
    spans = {ROOT: _root(job)}
    for event in events:
        said = _object(event.payload)
        if event.kind != "span":
            _add_lock(spans, event, said.get("dict"))
            continue
        span_id = said.get("id")
        if not isinstance(span_id, str) or not span_id or span_id == ROOT:
            continue
        span_id = readings.readable(span_id)
        span = spans.setdefault(span_id, Span(id=span_id, seq=event.seq, start=event.time))
        span.heard_bytes += pages.bytes_of_event(event)
        if span.heard_bytes > SPAN_BYTES_MAX:
            said = {**said, "attributes": {"cut": "there was more than can be shown"}, "redactions": None}
        _merge(span, said)
    if job.ended:
        for span in spans.values():
            if span.status == "running":
                span.status = "lost"
    return sorted(spans.values(), key=lambda span: span.seq)


def completeness(job: Job, spans: Iterable[Span], *, cut: bool = False) -> str:
    """Return `open`, `partial` or `complete`; `cut` is whether there were more events than were looked at."""
    if not job.ended:
        return "open"
    return "partial" if cut or any(span.status == "lost" for span in spans) else "complete"


def _root(job: Job) -> Span:
    status = "running" if not job.ended else "ok" if job.state == State.SUCCEEDED else "error"
    usage = {name: count for name in _USAGE if (count := getattr(job, name))}
    attributes = {"state": str(job.state), "attempt": job.attempt, **({"error": job.error} if job.error else {})}
    return Span(
        id=ROOT,
        seq=1,
        parent="",
        name=job.target or job.flow,
        status=status,
        start=job.created_at,
        end=job.finished_at,
        usage=usage,
        attributes=attributes,
    )


def _merge(span: Span, said: Mapping[str, Any]) -> None:
    for name in _TEXTS:
        if isinstance(value := said.get(name), str) and value:
            setattr(span, name, readings.readable(value))
    for name in _TIMES:
        value = said.get(name)
        # Of two beginnings the first counts: the second is another attempt's.
        if (
            isinstance(value, int | float)
            and 0 < value < _TIME_MAX
            and not (name == "start" and 0 < span.start <= value)
        ):
            setattr(span, name, float(value))
    if isinstance(usage := said.get("usage"), dict):
        span.usage = {name: usage[name] for name in _USAGE if _is_count(usage.get(name))}
    if isinstance(attributes := said.get("attributes"), dict):
        span.attributes = {**span.attributes, **attributes}
    if isinstance(redactions := said.get("redactions"), list):
        span.redactions = sorted({*span.redactions, *map(readings.readable, map(str, redactions))})


def _add_lock(spans: dict[str, Span], event: Event, said: Any) -> None:
    if not isinstance(said, dict) or not isinstance(lock_id := said.get("lid"), str):
        return
    lock_id = readings.readable(lock_id)
    span_id = f"lock.{lock_id}"
    if event.kind == "lock":
        attributes = {"lock": lock_id, "data": said.get("data")}
        spans[span_id] = Span(
            id=span_id,
            seq=event.seq,
            name=readings.readable(str(said.get("name"))),
            start=event.time,
            attributes=attributes,
        )
    elif (span := spans.get(span_id)) is not None:
        span.status, span.end = "ok", event.time
        span.attributes["result"] = said.get("result")


def _object(payload: str) -> dict[str, Any]:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _is_count(value: Any) -> bool:
    """Return whether this is a number of something, and one that can be told."""
    return isinstance(value, int) and 0 <= value < _COUNT_MAX
