"""Reads the values that a request carries for a form."""

import json
import urllib.parse
from collections.abc import Iterable
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

FIELDS_MAX = 1_000
"""Most fields of a form-encoded body."""

BODY_BYTES_MAX = 8 * 1024 * 1024

_FORM = "application/x-www-form-urlencoded"
_PARTS = "multipart/form-data"


async def read(request: Request) -> tuple[dict[str, Any], bool]:
    """Return the body's values by name, and whether they came from an HTML form.

    JSON whatever the content type says, unless it says form-encoded; an empty body is an empty object.  Raises
    `ValueError` saying what is wrong with it.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"the request body has {len(body)} bytes, at most {BODY_BYTES_MAX} are taken")
    if content_type == _FORM:
        return _form(body), True
    if content_type == _PARTS:
        return await _parts(request), True
    if content_type.startswith("multipart/"):
        raise ValueError(f"a form takes a JSON object, {_FORM} or {_PARTS}, not {content_type}")
    if not body.strip():
        return {}, False
    return _object(body), False


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the request body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"the request body must be a JSON object of values by field name, not {_kind(value)}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the request body is not valid Unicode: it has half of a surrogate pair") from None
    return value


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:  # UnicodeDecodeError is one
        raise ValueError(f"the request body is not valid {_FORM}: {error}") from None
    return _joined(pairs)


async def _parts(request: Request) -> dict[str, Any]:
    """Return what a form with files says; a file control without a file says nothing."""
    try:
        form = await request.form(max_files=FIELDS_MAX, max_fields=FIELDS_MAX, max_part_size=BODY_BYTES_MAX)
    except HTTPException as error:
        raise ValueError(f"the request body is not valid {_PARTS}: {error.detail}") from None
    pairs = [
        (name, value if isinstance(value, str) else {"items": {value.filename: {"filename": value.filename}}})
        for name, value in form.multi_items()
        if isinstance(value, str) or value.filename
    ]
    await form.close()
    return _joined(pairs)


def _joined(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:  # a field that takes several values sends its name several times
            values[name] = [values[name], value]
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
