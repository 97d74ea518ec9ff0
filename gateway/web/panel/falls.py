"""The timeline of an execution as a waterfall: its states, steps and questions, each from where it began to its end.

A step's event says when it ended; it began when the one before it ended, or the attempt did (ADR 32).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mesh.runner.v1 import job_pb2

from gateway.core import states
from gateway.web.panel import shown
from meshkit import clock

KINDS = frozenset({"status", "step", "lock", "lease"})
WIDTH = 1000
"""Of the picture; it is stretched to the page's."""
_LEAST = 4
_BARS_MAX = 300


def of(job: job_pb2.Job, events: Iterable[job_pb2.Event], now: float) -> dict[str, Any]:
    """Return the bars in order, and the scale below them."""
    begin = clock.seconds_of(job.create_time)
    end = clock.seconds_of(job.finish_time) if job.HasField("finish_time") else now
    total_s = max(end - begin, 1e-3)
    bars = []
    for name, kind, since, until in list(_pieces(events, end))[:_BARS_MAX]:
        left = min(WIDTH - _LEAST, max(0.0, (since - begin) / total_s * WIDTH))
        width = min(WIDTH - left, max(_LEAST, (until - since) / total_s * WIDTH))
        took = shown.duration(until - since)
        bars.append({"name": name, "class": kind, "x": round(left, 1), "width": round(width, 1), "took": took})
    marks = [shown.duration(total_s * part) for part in (0, 0.5, 1)] if total_s >= 0.01 else []
    return {"bars": bars, "marks": marks, "width": WIDTH}


def _pieces(events: Iterable[job_pb2.Event], end: float) -> Iterator[tuple[str, str, float, float]]:
    """Yield name, class, begin and end, in the order in which they began."""
    found: list[tuple[str, str, float, float]] = []
    state: tuple[int, float] | None = None
    step_from = 0.0
    asked: dict[str, tuple[str, float]] = {}
    for event in events:
        said = _said(event.payload)
        if event.kind == "status":
            if state is not None:
                found.append(_state(*state, event.time))
            number = states.STATES.get(event.payload.upper(), 0)
            state = (number, event.time) if number and number not in states.TERMINAL else None
            step_from = event.time
        elif event.kind == "step":
            found.append((str(said.get("name") or "step"), "good", step_from or event.time, event.time))
            step_from = event.time
        elif event.kind == "lock":
            asked[str(said.get("lid"))] = (str(said.get("name") or "question"), event.time)
        elif (question := asked.pop(str(said.get("lid")), None)) is not None:
            found.append((f"Question: {question[0]}", "warn", question[1], event.time))
    if state is not None:
        found.append(_state(*state, end))
    found += [(f"Question: {name}", "warn", since, end) for name, since in asked.values()]
    yield from sorted(found, key=lambda piece: (piece[2], -piece[3]))


def _state(state: int, since: float, until: float) -> tuple[str, str, float, float]:
    return shown.word(state), shown.badge(state), since, until


def _said(payload: str) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError:
        return {}
    value = value.get("dict", value) if isinstance(value, dict) else {}
    return value if isinstance(value, dict) else {}
