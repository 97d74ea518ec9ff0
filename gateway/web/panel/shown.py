"""How the panel puts what the mesh knows: states, times, lengths of time."""

import datetime
import re

import markupsafe
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import jobs, render, states
from gateway.core.files import BATCH
from meshkit import clock
from meshkit.secrets import MASK

_WORDS = {
    "PENDING": ("Pending", ""),
    "QUEUED": ("Queued", ""),
    "STARTING": ("Starting", "busy"),
    "RUNNING": ("Running", "busy"),
    "RETRYING": ("Retrying", "warn"),
    "PAUSED": ("Paused", "warn"),
    "AWAITING_INPUT": ("Awaiting input", "warn"),
    "AWAITING_PAYMENT": ("Awaiting payment", "warn"),
    "STOPPING": ("Stopping", "warn"),
    "SUCCEEDED": ("Succeeded", "good"),
    "FAILED": ("Failed", "bad"),
    "CANCELLED": ("Cancelled", ""),
}
_SHOWN = {number: _WORDS[name] for name, number in states.STATES.items()}
_KINDS = {"stderr": "bad", "error": "bad", "final": "good", "status": "status", "step": "step", "lock": "lock"}
_KINDS |= {"lease": "lock", "payment": "lock"}


_INPUT_CHARS_MAX = 60
_URGENT_S = 600.0
_HEADING = re.compile(r"<(/?)h([1-6])\b")


def written(fragment: str) -> markupsafe.Markup:
    """Return HTML of `gateway.core.render` for a page.

    Its headings come below the page's own, and skip no level; a table that is too wide can be scrolled by keyboard.
    """
    ranks = {level: 2 + rank for rank, level in enumerate(sorted({match[2] for match in _HEADING.finditer(fragment)}))}
    last = 1

    def ranked(match: re.Match[str]) -> str:
        nonlocal last
        if not match[1]:
            last = min(ranks[match[2]], last + 1, 6)
        return f"<{match[1]}h{last}"

    return render.safe(_HEADING.sub(ranked, fragment).replace("<table>", '<table tabindex="0">'))


def word(state: int) -> str:
    """Return a state's word for people."""
    return _of(state)[0]


def badge(state: int) -> str:
    """Return the class of a state's badge: good, bad, warn, busy or none."""
    return _of(state)[1]


def kind_class(kind: str) -> str:
    """Return the class of an event's kind."""
    return _KINDS.get(kind, "")


def _of(state: int) -> tuple[str, str]:
    return _SHOWN.get(state, ("Unknown", ""))  # of a newer runner


def duration(seconds: float) -> str:
    """Return a length of time in two units at most: `4.2 s`, `3 min 5 s`, `2 h 11 min`, `3 d 4 h`."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(time: Timestamp, now: float) -> str:
    """Return how long ago something was, in one unit."""
    seconds = max(0, int(now - clock.seconds_of(time)))
    return "just now" if seconds < 5 else f"{_length(seconds)} ago"


def ahead(time: Timestamp, now: float) -> str:
    """Return how long it is until something, in one unit; what is past is `ago`."""
    seconds = int(clock.seconds_of(time) - now)
    return f"in {_length(seconds)}" if seconds > 0 else ago(time, now)


def left(time: Timestamp, now: float) -> tuple[float, str, str]:
    """Return how many seconds are left until something, that in words, and the class of its badge."""
    seconds = max(0.0, clock.seconds_of(time) - now)
    return seconds, f"{duration(seconds)} left" if seconds else "Over", "bad" if seconds < _URGENT_S else "warn"


def _length(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def dated(time: Timestamp) -> str:
    """Return a moment for people, in UTC: `2026-11-26 21:02 UTC`."""
    return f"{clock.moment_of(time):%Y-%m-%d %H:%M} UTC"


def moment(time: Timestamp) -> str:
    """Return a moment as ISO 8601 in UTC, for `<time datetime>`."""
    return clock.moment_of(time).isoformat(timespec="seconds")


def at(seconds: float) -> str:
    """Return the time of day of an event, in UTC: `09:41:07.123`."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%H:%M:%S")


def short(text: str, chars_max: int) -> str:
    """Return a text of a few words as it is, a longer one without its end."""
    return text if len(text) <= chars_max else f"{text[: chars_max - 1].rstrip()}…"


def first_input(job: job_pb2.Job) -> str:
    """Return the first input of a job that is a text or a number, in a few words; empty if there is none.

    For jobs of a list, whose inputs are cut: others may be megabytes.
    """
    for value in jobs.json_object(job.inputs_json).values():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        text = " ".join(str(value)[: 4 * _INPUT_CHARS_MAX].split())
        if text and text != MASK and not text.startswith(BATCH):
            return short(text, _INPUT_CHARS_MAX)
    return ""


def runtime_s(job: job_pb2.Job, now: float) -> float:
    """Return for how many seconds a job has run, or did: waiting for its turn is not counted once it started."""
    begun = clock.seconds_of(job.start_time if job.HasField("start_time") else job.create_time)
    until = clock.seconds_of(job.finish_time) if job.HasField("finish_time") else now
    return max(0.0, until - begun)
