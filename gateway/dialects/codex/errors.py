"""How Codex says that something went wrong: problem details (RFC 9457), as ASP.NET Core writes them."""

import http
import re
import secrets
from collections.abc import Mapping
from typing import Any

from gateway.http.dialect import Rendered
from gateway.http.errors import HttpError, envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    Invalid,
    MeshError,
    Unauthenticated,
    Unavailable,
)

PROBLEM = "application/problem+json"
_VALIDATION = "One or more validation errors occurred."
_RFC = "https://www.rfc-editor.org/rfc"
_TYPES = {
    400: f"{_RFC}/rfc9110#section-15.5.1",
    401: f"{_RFC}/rfc9110#section-15.5.2",
    403: f"{_RFC}/rfc9110#section-15.5.4",
    404: f"{_RFC}/rfc9110#section-15.5.5",
    405: f"{_RFC}/rfc9110#section-15.5.6",
    413: f"{_RFC}/rfc9110#section-15.5.14",
    415: f"{_RFC}/rfc9110#section-15.5.16",
    421: f"{_RFC}/rfc9110#section-15.5.20",
    429: f"{_RFC}/rfc6585#section-4",
    500: f"{_RFC}/rfc9110#section-15.6.1",
}
_TITLES = {413: "Content Too Large"}
"""Where Python's own phrases are older than RFC 9110, or became so between its versions."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _problem(status: int, trace_id: str, *, title: str = "", detail: str = "") -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": _TYPES.get(status, "about:blank"),
        "title": title or _TITLES.get(status) or http.HTTPStatus(status).phrase,
        "status": status,
    }
    if detail:
        body["detail"] = detail
    return {**body, "traceId": trace_id}


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as problem details.  409 and 503 are not in the API: they are 400 and 500 here."""
    if isinstance(error, AlreadyExists | Conflict | FailedPrecondition):
        status = 400
    elif isinstance(error, Unavailable | DeadlineExceeded):
        status = 500
    else:
        status = http_status(error)
    told = status < 500 or isinstance(error, Unavailable | DeadlineExceeded | HttpError)
    title = _VALIDATION if status == 400 else ""
    body = _problem(status, _trace_id(asked), title=title, detail=str(error) if told else "")
    if isinstance(error, Invalid) and error.fields:
        body["errors"] = error.fields
    headers: list[tuple[str, str]] = []
    if isinstance(error, Exhausted):
        headers.append(("retry-after", str(max(1, round(error.retry_after_s)))))
    if isinstance(error, Unauthenticated):
        headers.append(("www-authenticate", "Bearer"))
    return Rendered(status=status, body=body, headers=tuple(headers))


def _trace_id(asked: Asked) -> str:
    """Return the caller's W3C trace context, or one of our own."""
    sent = asked.headers.get("traceparent", "")
    return sent if _TRACEPARENT.fullmatch(sent) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return _problem(status, "%UNIQUE_ID%", detail=envoy_detail(status))
