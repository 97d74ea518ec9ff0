"""The HTTP side of `meshkit.errors`: which status an error has, and what Envoy says in our place."""

from collections.abc import Mapping
from types import MappingProxyType

import grpc
from google.rpc import status_pb2

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

_CODES: Mapping[int, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    421: grpc.StatusCode.PERMISSION_DENIED,
    426: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    431: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def grpc_code(status: int) -> grpc.StatusCode:
    """Return the gRPC code that says what an HTTP status of an error says."""
    return _CODES.get(status, grpc.StatusCode.UNKNOWN)


class HttpError(MeshError):
    """For what must be answered with one certain HTTP status, such as 413 or 502."""

    reason = "HTTP"

    def __init__(self, status: int, message: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """`headers` belong to the status, whatever the dialect: they are sent where a passage answers."""
        super().__init__(message)
        self.status = status
        self.headers = headers

    def to_status(self) -> status_pb2.Status:
        """As `MeshError`, with the code of the status: who calls a dialect over gRPC is told the same."""
        status = super().to_status()
        status.code = grpc_code(self.status).value[0]
        return status


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


TOO_LARGE = "body is larger than 4 MiB: send less"
_ENVOY_DETAILS: Mapping[int, str] = {
    400: "request is not valid: %LOCAL_REPLY_BODY% (%RESPONSE_CODE_DETAILS%)",
    401: "Unauthorized",
    404: "Not Found",
    408: "the request did not arrive in time: send it faster, or less",
    413: TOO_LARGE,
    429: "too many requests: slow down",
    503: "the service is not available: try again",
    504: "the service took too long: try again",
}
ENVOY_PATH = "%REQ_WITHOUT_QUERY(X-MESH-PATH?:PATH)%"
"""The path a client sent, in Envoy's own replies: the transcoder moves it aside."""


def envoy_detail(status: int) -> str:
    """Return what Envoy says with a status of its own."""
    return _ENVOY_DETAILS.get(status, "%LOCAL_REPLY_BODY%")
