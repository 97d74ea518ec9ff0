"""How Kasal says that something went wrong: `{"error": {"code", "message", "details": {"field", "reason"}}}`.

Its contract has the statuses 400, 401, 403, 404, 429, 500 and 503; a conflict is a 400, a time-out a 503.
"""

from collections.abc import Mapping
from typing import Any

from gateway.http.dialect import Rendered
from gateway.http.errors import envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import Exhausted, Invalid, MeshError, Unavailable

_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "MISDIRECTED_REQUEST",
    426: "UPGRADE_REQUIRED",
    429: "RATE_LIMIT",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
_FOLDED = {409: 400, 422: 400, 501: 500, 502: 503, 504: 503}
"""Statuses that Kasal does not have, and what stands for them."""


def status_of(error: MeshError) -> int:
    """Return the HTTP status of an error."""
    status = http_status(error)
    return _FOLDED.get(status, status)


def code_of(error: MeshError) -> str:
    """Return Kasal's code for an error, such as `NOT_FOUND`."""
    return _CODES.get(status_of(error), "INTERNAL_ERROR")


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as Kasal does."""
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Exhausted):
        headers = (("retry-after", str(max(1, round(error.retry_after_s)))),)
    elif isinstance(error, Unavailable):
        headers = (("retry-after", "1"),)
    return Rendered(status=status_of(error), body=_body(code_of(error), str(error), details(error)), headers=headers)


def details(error: MeshError) -> dict[str, Any]:
    """Return which field is wrong and why; with several, the first, and all of them in `errors`."""
    if not isinstance(error, Invalid) or not error.fields:
        field = error.metadata.get("field", "")
        return {"field": field, "reason": str(error)} if field else {}
    found = [{"field": field, "reason": text} for field, texts in error.fields.items() for text in texts]
    if not found:
        return {}
    return {**found[0], **({"errors": found} if len(found) > 1 else {})}


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return _body(_CODES.get(_FOLDED.get(status, status), "INTERNAL_ERROR"), envoy_detail(status), {})


def _body(code: str, message: str, about: Mapping[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "details": dict(about)}}
