"""The two shapes of Sumi's answers: the notebook's, and the later MIP-003 text's for who asks for it."""

from typing import Any

from google.api import httpbody_pb2

from gateway.http.answers import JSON, json_answer
from gateway.http.exchange import exchange

LATER = "application/vnd.mip-003+json"
"""Ask for this, and the shapes are the later MIP-003 text's."""


def wants_later() -> bool:
    """Return whether the client asks for the shapes of the later MIP-003 text."""
    return LATER in exchange().headers.get("accept", "").lower()


def answer(body: Any, *, later: bool = False) -> httpbody_pb2.HttpBody:
    """Return an answer in JSON."""
    return json_answer(body, LATER if later else JSON)


def failed(error: str) -> httpbody_pb2.HttpBody:
    """Return that there is no job, and why."""
    return answer({"status": "failed", "error": error})


def availability(status: str, message: str) -> httpbody_pb2.HttpBody:
    """Return whether a service takes jobs."""
    return answer({"status": status, "type": "masumi-agent", "message": message})
