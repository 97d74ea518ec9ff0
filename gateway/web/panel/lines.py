"""Events as people read them: what each kind says in words, and beside it the JSON that it is.

Hosts of others may write any payload: what is not as it should be is shown as it is.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import states
from gateway.web.panel import shown

_SAID_CHARS_MAX = 600
_VALUE_CHARS_MAX = 160
_FACTS_MAX = 12
_RAW_CHARS_MAX = 4000
_TRACEBACK_CHARS_MAX = 20_000
_READ_CHARS_MAX = 16_000
"""Of a payload in words; of a longer one the beginning is shown: to read it would hold up everybody else."""
_KEPT_CHARS_MAX = 4_000
_KEPT = 2048
"""How many are remembered, if they are no longer than that: a log that is followed is read again and again."""
_MOST = 2.0**53
_BODIES = ("body", "raw", "output", "text", "title", "url")
"""What a value of the SDK says to people, the first that it has."""
_SPAN_BADGES = {"ok": "good", "error": "bad", "running": "busy", "lost": "warn"}
Facts = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an event says."""

    title: str = ""
    """What it is about: the name of a step, a question, a tool."""
    text: str = ""
    facts: Facts = ()
    """Names and values."""
    badge: tuple[str, str] | None = None
    """A word, and its class."""
    percent: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event of a list."""

    seq: int
    at: str
    kind: str
    kind_class: str
    said: Said
    raw: str
    """Its JSON, or the whole of a text that was cut; empty where that would say the same again."""
    traceback: str


def of(event: job_pb2.Event) -> Line:
    """Return an event as it is listed."""
    read = _remembered if len(event.payload) <= _KEPT_CHARS_MAX else _read
    said, raw = read(event.kind, event.payload)
    return Line(
        seq=event.seq,
        at=shown.at(event.time),
        kind=event.kind,
        kind_class=shown.kind_class(event.kind),
        said=said,
        raw=raw,
        traceback=event.detail[-_TRACEBACK_CHARS_MAX:],
    )


def _read(kind: str, payload: str) -> tuple[Said, str]:
    reader = _TEXTS.get(kind)
    if reader is not None:
        said = reader(payload)
        return said, shown.short(payload, _RAW_CHARS_MAX) if len(payload) > _SAID_CHARS_MAX else ""
    if len(payload) > _READ_CHARS_MAX:
        return Said(text=shown.short(payload, _SAID_CHARS_MAX)), _raw(payload, payload)
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return Said(text=shown.short(payload, _SAID_CHARS_MAX)), _raw(payload, payload)
    return _KINDS.get(kind, _typed)(value), _raw(payload, value)


_remembered = functools.lru_cache(maxsize=_KEPT)(_read)


def _raw(payload: str, value: Any) -> str:
    """Return a payload for people, indented unless it is long: then only its beginning is read."""
    if len(payload) > _RAW_CHARS_MAX:
        return shown.short(payload, _RAW_CHARS_MAX)
    return payload if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


# -- texts ----------------------------------------------------------------------------------------------------------


def _text(payload: str) -> Said:
    return Said(text=shown.short(payload, _SAID_CHARS_MAX))


def _status(payload: str) -> Said:
    state = states.STATES.get(payload.upper(), 0)
    return Said(badge=(shown.word(state), shown.badge(state))) if state else _text(payload)


_TEXTS: Mapping[str, Callable[[str], Said]] = {
    "status": _status,
    "stdout": _text,
    "stderr": _text,
    "debug": _text,
    "error": _text,
}


# -- JSON ----------------------------------------------------------------------------------------------------------


def _typed(value: Any) -> Said:
    """Return a value of the SDK, `{"Markdown": {"body": …}}`, or anything else."""
    kind, content = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else ("", value)
    title = "" if kind in ("dict", "Text", "Markdown", "HTML") or not isinstance(content, dict) else _words(kind)
    if kind == "__list__" and isinstance(content, list):
        parts = [part for part in (_typed(each).text for each in content[:_FACTS_MAX]) if part]
        return Said(text=shown.short("\n".join(parts), _SAID_CHARS_MAX))
    if not isinstance(content, dict):
        return Said(text=_value(content, _SAID_CHARS_MAX))
    body = next((content[name] for name in _BODIES if isinstance(content.get(name), str) and content[name]), "")
    if body:
        return Said(title=_string(content, "name") or title, text=shown.short(body, _SAID_CHARS_MAX))
    if len(content) == 1 and isinstance(inner := next(iter(content.values())), dict):  # {"agent": {"role": …}}
        title, content = _words(next(iter(content))), inner
    return Said(title=title, facts=_facts(content))


def _progress(value: Any) -> Said:
    said = _object(value)
    percent = _number(said.get("percent"))
    done, total = said.get("done"), said.get("total")
    counted = f"{_value(done)} of {_value(total)}" if done is not None and total is not None else ""
    text = " · ".join(part for part in (_string(said, "text"), counted) if part)
    return Said(text=text, percent=None if percent is None else min(100.0, max(0.0, percent)))


def _usage(value: Any) -> Said:
    said = _object(value)
    facts = [(word, str(count)) for name, word in _USAGE if (count := _count(said.get(name))) is not None]
    if cost := _count(said.get("cost_micros")):
        facts.append(("Cost", f"{cost / 1_000_000:.4f}"))
    return Said(facts=tuple(facts))


def _step(value: Any) -> Said:
    said = _object(value)
    result = _typed(said.get("result"))
    text = result.text or ", ".join(f"{name}: {each}" for name, each in result.facts)
    return Said(title=_string(said, "name") or "step", text=text)


def _span(value: Any) -> Said:
    said = _object(value)
    status = _string(said, "status")
    usage = _object(said.get("usage"))
    tokens = [count for name, _ in _USAGE if (count := _count(usage.get(name))) is not None]
    start, end = _number(said.get("start")), _number(said.get("end"))
    took = end - start if start is not None and end is not None else None
    facts = [
        ("Kind", _words(_string(said, "kind"))),
        ("Took", shown.duration(took) if took is not None else ""),
        ("Tokens", str(sum(tokens)) if tokens else ""),
    ]
    badge = (_words(status), _SPAN_BADGES.get(status, "")) if status else None
    title = _string(said, "name") or _string(said, "agent") or _words(_string(said, "kind")) or "span"
    return Said(title=title, facts=tuple(fact for fact in facts if fact[1]), badge=badge, text=_string(said, "error"))


def _lock(value: Any) -> Said:
    said = _object(value)
    return Said(
        title=_string(said, "name") or "question", facts=_facts(_object(said.get("data"))), badge=("Asked", "warn")
    )


def _lease(value: Any) -> Said:
    said = _object(value)
    result = said.get("result")
    answered = isinstance(result, dict)
    word = ("Answered", "good") if answered else ("Not answered", "")
    return Said(title=_string(said, "name") or "question", facts=_facts(_object(result)), badge=word)


def _token(value: Any) -> Said:
    said = _object(value)
    return Said(text=shown.short(_string(said, "text"), _SAID_CHARS_MAX))


def _memory(value: Any) -> Said:
    said = _object(value)
    content = _string(said, "content")
    return Said(text=shown.short(content, _SAID_CHARS_MAX)) if content else Said(facts=_facts(said))


_USAGE = (("input_tokens", "Tokens read"), ("output_tokens", "Tokens written"))
_KINDS: Mapping[str, Callable[[Any], Said]] = {
    "progress": _progress,
    "usage": _usage,
    "step": _step,
    "span": _span,
    "lock": _lock,
    "lease": _lease,
    "token": _token,
    "memory": _memory,
}


def _object(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, without the `dict` around it that says its type; empty for what is none."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("dict"), dict):
        value = value["dict"]
    return value if isinstance(value, dict) else {}


def _facts(said: Mapping[str, Any]) -> Facts:
    return tuple(itertools.islice(_pairs(said), _FACTS_MAX))


def _pairs(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in said.items():
        if value not in (None, "", [], {}):
            yield _words(str(name)), _value(value)


def _value(value: Any, chars_max: int = _VALUE_CHARS_MAX) -> str:
    """Return a value in a few words; what is nested as JSON."""
    if isinstance(value, str):
        return shown.short(value, chars_max)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return shown.short(", ".join(value), chars_max)
    return shown.short(json.dumps(value, ensure_ascii=False), chars_max)


def _string(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return shown.short(value, _SAID_CHARS_MAX) if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    """Return a number that can be reckoned with, None for what is none."""
    if isinstance(value, int | float) and -_MOST < value < _MOST:
        return float(value)
    return None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _words(name: str) -> str:
    """Return the name of a field as people write it: `expected_output` is `Expected output`."""
    text = shown.short(name.replace("_", " ").strip(), _VALUE_CHARS_MAX)
    return f"{text[:1].upper()}{text[1:]}"
