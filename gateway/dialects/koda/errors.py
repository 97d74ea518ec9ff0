"""How Koda says that something went wrong: an envelope with a dotted code, and what may be done about it."""

from collections.abc import Mapping
from typing import Any

from gateway.http.dialect import Rendered
from gateway.http.errors import envoy_detail, http_status
from gateway.http.exchange import Asked
from meshkit.errors import DeadlineExceeded, Exhausted, Invalid, MeshError, Unavailable

CODE = "koda_code"
"""In the metadata of an error: the code that it has, where its kind does not say it."""
_RETRY_AFTER_S = 1
_KINDS: Mapping[int, tuple[str, str, str]] = {
    400: ("request.invalid", "validation", "Correct the fields that are named, and send it again."),
    401: ("auth.required", "permission", "Sign in, or send a token that holds."),
    403: ("auth.forbidden", "permission", "Ask an operator for access."),
    404: ("resource.not_found", "validation", "Check the id."),
    405: ("request.method_not_allowed", "validation", "Use a method that the header Allow names."),
    409: ("task.conflict", "validation", "Read the task again: it is not in a state that allows this."),
    413: ("request.too_large", "validation", "Send less."),
    415: ("request.unsupported_media_type", "validation", "Send application/json, not encoded."),
    421: ("request.misdirected", "validation", "Use a name that this mesh answers to, or have it added."),
    429: ("rate_limited", "retryable", "Wait as long as Retry-After says, then try again."),
    500: ("internal", "internal", "Try again later; if it stays, tell an operator."),
    503: ("runtime.not_ready", "dependency_unavailable", "Look at /api/runtime/ready, and try again."),
}
"""By status: code, category and what a user may do."""
_TIMEOUT = ("runtime.dependency_timeout", "timeout", "Try again.")
_ACTIONS = {
    "agent.not_active": ("policy_denied", "Activate the agent first."),
    "agent.not_found": ("validation", "Look at /api/runtime/agents for the ids there are."),
    "session.not_found": ("validation", "Leave session_id out, or make a conversation first."),
    "task.not_found": ("validation", "Look at /api/runtime/tasks for the ids there are."),
    "auth.invalid_credentials": ("permission", "Check identifier and password."),
}
"""By code: category and what a user may do."""
_RETRYABLE = (429, 503, 504)


def body_of(status: int, message: str, code: str = "", fields: Mapping[str, list[str]] | None = None) -> dict[str, Any]:
    """Return the envelope of every error."""
    usual, category, action = _TIMEOUT if status == 504 else _KINDS.get(status, _KINDS[500 if status >= 500 else 400])
    code = code or usual
    category, action = _ACTIONS.get(code, (category, action))
    return {
        "error": {
            "code": code,
            "category": category,
            "message": message,
            "retryable": status in _RETRYABLE,
            "user_action": action,
            "fields": dict(fields or {}),
        }
    }


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as Koda does; what took too long is 503, as its documents know no 504."""
    status = http_status(error)
    fields = error.fields if isinstance(error, Invalid) else {}
    body = body_of(status, str(error), error.metadata.get(CODE, ""), fields)
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, Exhausted):
        headers = (("retry-after", str(max(1, round(error.retry_after_s)))),)
    elif isinstance(error, Unavailable | DeadlineExceeded):
        headers = (("retry-after", str(_RETRY_AFTER_S)),)
    return Rendered(status=503 if status == 504 else status, body=body, headers=headers)


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return body_of(status, envoy_detail(status))
