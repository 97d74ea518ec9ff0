"""Read request bodies by hand, where the transcoder's own complaints would not be the dialect's.

Wrong JSON, wrong types and a wrong content type all become `Invalid`, which names the field and what to do.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import pydantic
from google.api import httpbody_pb2

from gateway.edge.limits import BODY_BYTES_MAX
from gateway.http import multipart
from gateway.http.errors import TOO_LARGE, HttpError
from meshkit.errors import Invalid

FORM = "application/x-www-form-urlencoded"
_FIELDS_MAX = 1000
# What pydantic adds to "a valid dictionary": a class of ours, which is nothing to those who call.
_INSTANCE = re.compile(r" or instance of \w+$")
# A text that does not end is taken to the end: each character is looked at once, whatever is sent.
_TEXT_OR_COMMENT = re.compile(rb'("(?:\\.|[^"\\])*+"?)|//[^\r\n]*', re.DOTALL)
Model = TypeVar("Model", bound=pydantic.BaseModel)


def too_large() -> HttpError:
    """Return the error of a body that is larger than `BODY_BYTES_MAX`."""
    return HttpError(413, TOO_LARGE)


def check_size(body: httpbody_pb2.HttpBody) -> None:
    """Raise `HttpError` 413 if the body is too large."""
    if len(body.data) > BODY_BYTES_MAX:
        raise too_large()


def parse_json(body: httpbody_pb2.HttpBody) -> Any:
    """Return the JSON value in the body.  Raises `Invalid` if it is not JSON or says that it is something else."""
    check_size(body)
    kind = body.content_type.partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise Invalid(
            "body is not JSON",
            {"content-type": [f"send the body as application/json, not {kind[:80]}"]},
        )
    return json_of(body.data)


def json_of(data: bytes) -> Any:
    """Return the JSON value in a body, whatever that calls itself.  Raises `Invalid` if it is none."""
    try:
        value = strict_json(data)
        if b"\\ud" in data or b"\\uD" in data:  # half a surrogate pair is text that nobody can write down
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        reason = str(error)[:200] if data else "it is empty"
        raise Invalid("body is not JSON", {"body": [f"send a JSON document: {reason}"]}) from None


def strict_json(text: str | bytes) -> Any:
    """Return the JSON value in a text.  Raises `ValueError`, for NaN and infinities too, and `RecursionError`."""
    return json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_commented_json(body: httpbody_pb2.HttpBody) -> Any:
    """Return the body's JSON value, as documents print it: with `//` comments.  Raises `Invalid`."""
    try:
        return parse_json(body)
    except Invalid:
        if b"//" not in body.data:
            raise
        bare = _TEXT_OR_COMMENT.sub(lambda found: found[1] or b"", body.data)
        return parse_json(httpbody_pb2.HttpBody(content_type=body.content_type, data=bare))


def parse_model(body: httpbody_pb2.HttpBody, model: type[Model]) -> Model:
    """Return the body as a `model`.  Raises `Invalid` with a message per field."""
    return validate(parse_json(body), model)


def parse_form(body: httpbody_pb2.HttpBody) -> dict[str, str]:
    """Return the fields of a form, `application/x-www-form-urlencoded` or `multipart/form-data`.

    Of a repeated field, the last.  Raises `Invalid` for other bodies, and for a file.
    """
    check_size(body)
    kind = body.content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return multipart.fields(body.data, body.content_type)
    if kind != FORM:
        raise Invalid("body is not a form", {"content-type": [f"send the body as {FORM} or multipart/form-data"]})
    return parse_query(body.data)


def parse_sent(body: httpbody_pb2.HttpBody) -> tuple[dict[str, str], list[multipart.Sent]]:
    """Return the fields of a form, as `parse_form`, and its files.  Raises `Invalid`."""
    check_size(body)
    if body.content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return multipart.parts(body.data, body.content_type)
    return parse_form(body), []


def parse_fields(body: httpbody_pb2.HttpBody) -> dict[str, str | list[str]]:
    """Return the fields of a form whatever the body says that it is: all values, in order, of a repeated one.

    Raises `Invalid` for what is no UTF-8, and for too many fields.
    """
    check_size(body)
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(body.data.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict")
    except ValueError as error:
        raise Invalid(f"body is not valid {FORM}", {"body": [str(error)[:200]]}) from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: given[0] if len(given) == 1 else given for name, given in found.items()}


def parse_query(query: str | bytes) -> dict[str, str]:
    """Return the fields of a query or form; of a repeated field, the last.  Raises `Invalid` if there are too many."""
    try:
        text = query.decode("utf-8") if isinstance(query, bytes) else query
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    except ValueError as error:
        raise Invalid("form cannot be read", {"body": [str(error)[:200]]}) from None


def validate(value: Any, model: type[Model]) -> Model:
    """Return `value` as a `model`.  Raises `Invalid` with a message per field, as in pydantic's words."""
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        raise Invalid("request is not valid", _by_field(error.errors(include_url=False))) from None


def _by_field(problems: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for problem in problems:
        key = ".".join(str(part) for part in problem["loc"]) or "body"
        fields.setdefault(key, []).append(_INSTANCE.sub("", str(problem["msg"]).removeprefix("Value error, ")))
    return fields
