"""How each dialect says that something went wrong.

A servicer raises a `meshkit.errors.MeshError`, as everywhere; a `Dialect` renders it into an HTTP status and a JSON
body.  Envoy's own replies (unknown path, body too large, bad JSON, rate limit) get the same shape from
`Dialect.envoy_body`.
"""

import dataclasses
import http
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from gateway.http import cookies
from gateway.http.accept import prefers_html
from gateway.http.exchange import Asked
from meshkit.errors import (
    AlreadyExists,
    Conflict,
    DeadlineExceeded,
    Denied,
    Exhausted,
    FailedPrecondition,
    Invalid,
    MeshError,
    NotFound,
    Unauthenticated,
    Unavailable,
)


class HttpError(MeshError):
    """For a dialect that must answer with one certain HTTP status, such as 413 or 502."""

    code = grpc.StatusCode.UNKNOWN
    reason = "HTTP"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """An error as the dialect shows it."""

    status: int
    body: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One foreign API: how it renders errors, and which paths are its."""

    package: str
    """Of its proto files: `mesh.dialects.kodosumi.v1`."""
    prefixes: tuple[str, ...]
    """Its paths begin so.  Empty: it answers for every path that is nobody else's."""
    render: Callable[[MeshError, Asked], Rendered]
    envoy_body: Callable[[int], Mapping[str, Any]]
    """The JSON of Envoy's own reply with this HTTP status, with Envoy's `%COMMAND%`s in it."""


_STATUS: dict[type[MeshError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Denied: 403,
    NotFound: 404,
    AlreadyExists: 409,
    Conflict: 409,
    FailedPrecondition: 409,
    Exhausted: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
}


def http_status(error: MeshError) -> int:
    """Return the HTTP status that most dialects give this error."""
    if isinstance(error, HttpError):
        return error.status
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


# -- kodosumi (and sumi): spec §0 ------------------------------------------------------------------------------------

_KODOSUMI_NAMES = {
    400: "ValidationException",
    401: "NotAuthorizedException",
    403: "PermissionDeniedException",
    404: "NotFoundException",
    405: "MethodNotAllowedException",
    429: "TooManyRequestsException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_PLAIN = (400, 401, 404)  # the others have their status in front of the detail
_ENVOY_DETAILS = {
    400: "request is not valid: %LOCAL_REPLY_BODY% (%RESPONSE_CODE_DETAILS%)",
    404: "Not Found",
    413: "body is larger than 4 MiB: send less",
    429: "too many requests: slow down",
    503: "the service is not available: try again",
    504: "the service took too long: try again",
}
# The path a client sent: the transcoder moves it aside.
_ENVOY_PATH = "%REQ_WITHOUT_QUERY(X-MESH-PATH?:PATH)%"


def kodosumi_body(status: int, detail: str, path: str) -> dict[str, Any]:
    """Return the envelope of every error (spec: kodosumi §0), without the stack trace that the original leaks."""
    return {
        "error": _KODOSUMI_NAMES.get(status, "HTTPException"),
        "path": path,
        "detail": detail if status in _PLAIN else f"{status}: {detail}",
        "status_code": status,
    }


def render_kodosumi(error: MeshError, asked: Asked) -> Rendered:
    """Render as the kodosumi panel does; operators-only calls answer 401 to users (seed, spec §1.4)."""
    status, detail = http_status(error), str(error)
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Denied):
        status, detail = 401, "User not authorized"
    elif isinstance(error, Unauthenticated):
        if asked.method == "GET" and prefers_html(asked.headers.get("accept", "")):  # a browser is sent to sign in
            return Rendered(status=302, body={}, headers=(("location", "/"), ("set-cookie", cookies.DELETED)))
        detail = _unauthenticated(detail)
    elif isinstance(error, Invalid) and error.fields:
        detail = _validation(error, asked)
    elif isinstance(error, Exhausted):
        headers = (("retry-after", str(max(1, round(error.retry_after_s)))),)
    return Rendered(status=status, body=kodosumi_body(status, detail, asked.path), headers=headers)


def _unauthenticated(detail: str) -> str:
    # `meshkit.verifier` says what to do; the panel's clients look for the panel's words.
    if detail.startswith("sign in first"):
        return "Unauthorized"
    return "Invalid token" if detail.startswith("token ") else detail


def _validation(error: Invalid, asked: Asked) -> str:
    problems = [{"message": text, "key": key} for key, texts in error.fields.items() for text in texts]
    # A password in a query (GET /login) is not repeated.
    target = asked.path if "password" in asked.query else asked.target
    return f"Validation failed for {asked.method} {target}: {problems}"


def _kodosumi_envoy(status: int) -> Mapping[str, Any]:
    body = kodosumi_body(status, _ENVOY_DETAILS.get(status, "%LOCAL_REPLY_BODY%"), _ENVOY_PATH)
    return {**body, "status_code": "%RESPONSE_CODE%"}


KODOSUMI = Dialect(
    package="mesh.dialects.kodosumi.v1",
    prefixes=(),
    render=render_kodosumi,
    envoy_body=_kodosumi_envoy,
)
SUMI = dataclasses.replace(KODOSUMI, package="mesh.dialects.sumi.v1")
"""The sumi API is part of the panel: the same envelope."""


# -- masumi: spec §3.1 -------------------------------------------------------------------------------------------------


class ObjectExists(AlreadyExists):
    """409 with the record that there is."""

    def __init__(self, message: str, record_id: str, record: Mapping[str, Any]) -> None:
        super().__init__(message, http="409")
        self.extra = {"id": record_id, "object": record}


def masumi_body(message: str) -> dict[str, Any]:
    """Return the envelope of every error (spec: masumi §3.1)."""
    return {"status": "error", "error": {"message": message}}


def render_masumi(error: MeshError, asked: Asked) -> Rendered:
    """Render as the payment service does; the ledger has noted the HTTP status that goes with its words."""
    noted = error.metadata.get("http", "")
    status = int(noted) if noted.isdigit() and 400 <= int(noted) <= 599 else http_status(error)
    message = str(error)
    if isinstance(error, Invalid) and error.fields and not message.startswith(f"{next(iter(error.fields))}: "):
        message = "; ".join(f"{field}: {text}" for field, texts in error.fields.items() for text in texts)
    if status >= 500:
        message = http.HTTPStatus(status).phrase if status in _REASONS else "Internal Server Error"
    body = masumi_body(message)
    return Rendered(status=status, body={**body, **error.extra} if isinstance(error, ObjectExists) else body)


_REASONS = {status.value for status in http.HTTPStatus}
MASUMI = Dialect(
    package="mesh.dialects.masumi.v1",
    # Each by itself: other dialects live under /api too.
    prefixes=(
        "/api/v1/health",
        "/api/v1/api-key-status",
        "/api/v1/payment",
        "/api/v1/purchase",
        "/api/v1/registry",
        "/api/v1/dev/",
    ),
    render=render_masumi,
    envoy_body=lambda status: masumi_body(_ENVOY_DETAILS.get(status, "%LOCAL_REPLY_BODY%")),
)

DIALECTS = (KODOSUMI, SUMI, MASUMI)
"""Every dialect; the first one's shape is for paths that are nobody else's."""
