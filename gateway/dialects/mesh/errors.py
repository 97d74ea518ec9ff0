"""How the typed API says in JSON that something went wrong: `google.rpc.Status`, as gRPC does (AIP-193).

Envoy renders what the services raise (`convert_grpc_status`); this is the same for what never reaches one.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format

from gateway.http.dialect import Rendered
from gateway.http.errors import HttpError, envoy_detail
from gateway.http.exchange import Asked
from meshkit.errors import MeshError

_Code = grpc.StatusCode
_HTTP: Mapping[_Code, int] = {
    _Code.INVALID_ARGUMENT: 400,
    _Code.FAILED_PRECONDITION: 400,
    _Code.UNAUTHENTICATED: 401,
    _Code.PERMISSION_DENIED: 403,
    _Code.NOT_FOUND: 404,
    _Code.ALREADY_EXISTS: 409,
    _Code.ABORTED: 409,
    _Code.RESOURCE_EXHAUSTED: 429,
    _Code.UNIMPLEMENTED: 501,
    _Code.UNAVAILABLE: 503,
    _Code.DEADLINE_EXCEEDED: 504,
}
"""Envoy's own table; what it does not name is 500."""
_CODES: Mapping[int, _Code] = {
    400: _Code.INVALID_ARGUMENT,
    401: _Code.UNAUTHENTICATED,
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    405: _Code.UNIMPLEMENTED,
    408: _Code.DEADLINE_EXCEEDED,
    413: _Code.RESOURCE_EXHAUSTED,
    415: _Code.INVALID_ARGUMENT,
    426: _Code.FAILED_PRECONDITION,
    429: _Code.RESOURCE_EXHAUSTED,
    431: _Code.RESOURCE_EXHAUSTED,
    500: _Code.INTERNAL,
    501: _Code.UNIMPLEMENTED,
    502: _Code.UNAVAILABLE,
    503: _Code.UNAVAILABLE,
    504: _Code.DEADLINE_EXCEEDED,
}


def render(error: MeshError, asked: Asked) -> Rendered:
    """Render as `{"code", "message", "details"}`, where the code is gRPC's number."""
    if isinstance(error, HttpError):
        return Rendered(status=error.status, body=_body(error.status, str(error)))
    body = json_format.MessageToDict(error.to_status())
    return Rendered(status=_HTTP.get(error.code, 500), body={"details": [], **body})


def envoy_body(status: int) -> Mapping[str, Any]:
    """Return the same for Envoy's own replies."""
    return _body(status, envoy_detail(status))


def _body(status: int, message: str) -> Mapping[str, Any]:
    number: int = _CODES.get(status, _Code.UNKNOWN).value[0]
    return {"code": number, "message": message, "details": []}
