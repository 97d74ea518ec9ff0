"""How the kodosumi panel says that something went wrong."""

from collections.abc import Mapping
from typing import Any

from gateway.http import cookies
from gateway.http.accept import prefers_html
from gateway.http.dialect import Rendered
from gateway.http.errors import ENVOY_PATH, envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import Denied, Exhausted, Invalid, MeshError, Unauthenticated
from meshkit.verifier import MISSING, REFUSED

_NAMES = {
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


def body_of(status: int, detail: str, path: str) -> dict[str, Any]:
    """Return the envelope of every error of the panel, without the stack trace that the original leaks."""
    return {
        "error": _NAMES.get(status, "HTTPException"),
        "path": path,
        "detail": detail if status in _PLAIN else f"{status}: {detail}",
        "status_code": status,
    }


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as the kodosumi panel does; operators-only calls answer 401 to users, as its document says."""
    status, detail = http_status(error), str(error)
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Denied):
        status, detail = 401, "User not authorized"
    elif isinstance(error, Unauthenticated):
        if asked.method == "GET" and prefers_html(asked.headers.get("accept", "")):  # a browser is sent to sign in
            return Rendered(status=302, body={}, headers=(("location", "/"), ("set-cookie", cookies.DELETED)))
        detail = _unauthenticated(error)
    elif isinstance(error, Invalid) and error.fields:
        detail = _validation(error, asked)
    elif isinstance(error, Exhausted):
        headers = (("retry-after", str(max(1, round(error.retry_after_s)))),)
    return Rendered(status=status, body=body_of(status, detail, asked.path), headers=headers)


def _unauthenticated(error: Unauthenticated) -> str:
    # `meshkit.verifier` says what to do; the panel's clients look for the panel's words.
    words = {MISSING: "Unauthorized", REFUSED: "Invalid token"}
    return words.get(error.metadata.get("token", ""), str(error))


def _validation(error: Invalid, asked: Asked) -> str:
    problems = [{"message": text, "key": key} for key, texts in error.fields.items() for text in texts]
    # A password in a query (GET /login) is not repeated.
    target = asked.path if "password" in asked.query else asked.target
    return f"Validation failed for {asked.method} {target}: {problems}"


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return {**body_of(status, envoy_detail(status), ENVOY_PATH), "status_code": "%RESPONSE_CODE%"}
