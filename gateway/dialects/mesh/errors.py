"""How the typed API says in JSON that something went wrong: `google.rpc.Status`, as gRPC does (AIP-193).

Envoy renders what the services raise (`convert_grpc_status`); this is the same for what never reaches one.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from grpc import StatusCode

from gateway.http.dialect import Rendered
from gateway.http.errors import HttpError, envoy_detail, grpc_code
from gateway.http.exchange import Asked
from meshkit.errors import MeshError

_HTTP: Mapping[StatusCode, int] = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.ABORTED: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
"""Envoy's own table; what it does not name is 500."""
_ENVOY_DETAILS = {400: "request is not valid: %LOCAL_REPLY_BODY%"}
"""The gateway has looked at it (`gateway.http.checks`), and says so in words: no name of a filter is behind them."""


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as `{"code", "message", "details"}`, where the code is gRPC's number."""
    if isinstance(error, HttpError):
        return Rendered(status=error.status, body=_body(error.status, str(error)))
    body = json_format.MessageToDict(error.to_status())
    return Rendered(status=_HTTP.get(error.code, 500), body={"details": [], **body})


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return _body(status, _ENVOY_DETAILS.get(status) or envoy_detail(status))


def _body(status: int, message: str) -> Mapping[str, Any]:
    number: int = grpc_code(status).value[0]
    return {"code": number, "message": message, "details": []}
