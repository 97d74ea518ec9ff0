"""Answers that are no message of the contract: JSON as it stands, and where to go instead."""

import json
from typing import Any

from google.api import httpbody_pb2

from gateway.http.exchange import exchange

JSON = "application/json"


def dumps(value: Any) -> str:
    """Return compact JSON; characters beyond ASCII stay as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_answer(value: Any, content_type: str = JSON) -> httpbody_pb2.HttpBody:
    """Return a value as JSON."""
    return json_text(dumps(value), content_type)


def json_text(text: str, content_type: str = JSON) -> httpbody_pb2.HttpBody:
    """Return what is JSON already."""
    return httpbody_pb2.HttpBody(content_type=content_type, data=text.encode())


def redirect(location: str) -> httpbody_pb2.HttpBody:
    """Answer 302 with an empty body."""
    call = exchange()
    call.status = 302
    call.body = ""
    call.add_header("location", location)
    return httpbody_pb2.HttpBody(content_type="text/html; charset=utf-8")
