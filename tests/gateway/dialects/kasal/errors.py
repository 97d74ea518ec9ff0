"""Kasal's errors, as tests compare them."""

from typing import Any


def error_of(answer: Any) -> tuple[int, str, str]:
    """Return status, code and field."""
    assert {"error"} == answer.json().keys()
    error = answer.json()["error"]
    assert {"code", "message", "details"} == error.keys()
    return answer.status_code, error["code"], error["details"].get("field", "")
