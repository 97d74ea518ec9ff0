"""Jobs as they are in lists whose items must not be long: what is too long in them is cut, with a mark."""

import dataclasses
import json

from services.runner.domain import talk
from services.runner.domain.records import Job

_PARSED_CHARS_MAX = 256 * 1024
"""What is longer is not looked into: a list of many such jobs would keep the runner busy for seconds."""


def cut(job: Job, bytes_max: int) -> Job:
    """Return a job whose texts have about `bytes_max` bytes each at most; what is JSON stays JSON."""
    fields = {
        "inputs_json": _object(job.inputs_json, bytes_max),
        "meta_json": _object(job.meta_json, bytes_max),
        "extra_json": _object(job.extra_json, bytes_max),
        "result_json": _result(job.result_json, bytes_max),
        "error": _text(job.error, bytes_max),
        "inputs_blob": b"",
    }
    changed = {name: value for name, value in fields.items() if value is not getattr(job, name)}
    return dataclasses.replace(job, **changed) if changed else job  # type: ignore[arg-type]


def _text(text: str, bytes_max: int) -> str:
    """Return a text, or its beginning and how long it is."""
    if len(text) <= bytes_max and (text.isascii() or len(text.encode("utf-8", "replace")) <= bytes_max):
        return text
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    head = text[:bytes_max].encode("utf-8", "replace")[:bytes_max].decode(errors="ignore")
    return f"{head}… (cut off here: it has {size} bytes, ask for it alone)"


def _result(result_json: str, bytes_max: int) -> str:
    if _text(result_json, bytes_max) is result_json:
        return result_json
    text = talk.text_of(result_json) if len(result_json) <= _PARSED_CHARS_MAX else result_json
    return _dumps({"Text": {"body": _text(text, bytes_max // 2)}})


def _object(text: str, bytes_max: int) -> str:
    """Return a JSON object, each of whose values is cut by itself if it is too long as a whole."""
    if _text(text, bytes_max) is text:
        return text
    if len(text) > _PARSED_CHARS_MAX:
        return _dumps({"…": _text(text, bytes_max // 2)})
    values = json.loads(text)
    each = bytes_max // (2 * max(1, len(values)))
    short = {name: _value(value, each) for name, value in values.items()}
    shown = _dumps(short)
    return shown if _text(shown, 4 * bytes_max) is shown else _dumps({"…": _text(text, bytes_max // 2)})


def _value(value: object, bytes_max: int) -> object:
    whole = _dumps(value)
    if _text(whole, bytes_max) is whole:
        return value
    return _text(value if isinstance(value, str) else whole, bytes_max)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
