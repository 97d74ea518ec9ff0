"""Errors as Connect has them: a code, a message, details; of gRPC's that of its own words."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, json_format, message
from google.rpc import status_pb2

from meshkit.errors import MeshError

Metadata = Sequence[tuple[str, str | bytes]]

_DETAILS = "grpc-status-details-bin"
_STATUS = {
    "canceled": 499,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "unavailable": 503,
    "unauthenticated": 401,
}
"""HTTP statuses by code (https://connectrpc.com/docs/protocol#error-codes); others are 500."""


class CallError(Exception):
    """Why a call failed.  `status` and `headers` are of an answer that is no stream; 0 is the status of the code."""

    def __init__(
        self,
        code: grpc.StatusCode,
        text: str,
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        details: Sequence[any_pb2.Any] = (),
        heads: Metadata = (),
        trailers: Metadata = (),
    ) -> None:
        super().__init__(text)
        self.code = "canceled" if code is grpc.StatusCode.CANCELLED else str(code.name).lower()
        self.status = status or _STATUS.get(self.code, 500)
        self.headers = headers or {}
        self.details = details
        self.heads = heads
        """What a service said before."""
        self.trailers = trailers

    def body(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        said: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.details:
            said["details"] = [_detail(each) for each in self.details]
        return said

    def text(self) -> bytes:
        """Return it as the body of an answer."""
        return json.dumps(self.body(), separators=(",", ":")).encode()


def invalid(text: str) -> CallError:
    """Return what is said of a request that cannot be read."""
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, text)


def too_large(bytes_max: int) -> CallError:
    """Return what is said of a message that is larger than one may be."""
    text = f"message is larger than {bytes_max // 1024**2} MiB: send less"
    return CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, text, status=413)


def of_rpc(error: grpc.aio.AioRpcError) -> CallError:
    """Return what a service has said."""
    trailers = tuple(error.trailing_metadata() or ())
    status = status_pb2.Status()
    for name, value in trailers:
        if name == _DETAILS:
            status.ParseFromString(value)
    heads = tuple(error.initial_metadata() or ())
    text = error.details() or ""
    return CallError(error.code(), text, details=status.details, heads=heads, trailers=trailers)


def of_mesh(error: MeshError) -> CallError:
    """Return one of our own errors."""
    return CallError(error.code, str(error), details=error.to_status().details)


def _detail(detail: any_pb2.Any) -> dict[str, Any]:
    name = detail.type_url.rpartition("/")[2]
    said: dict[str, Any] = {"type": name, "value": base64.b64encode(detail.value).decode().rstrip("=")}
    try:
        said["debug"] = json_format.MessageToDict(detail)
        said["debug"].pop("@type", None)
    except (TypeError, ValueError, message.DecodeError, json_format.SerializeToJsonError):
        pass  # of a type that we do not know
    return said


def shown(metadata: Metadata, prefix: str = "") -> list[tuple[str, str]]:
    """Return metadata of gRPC as headers: without those of gRPC itself, and bytes in base64."""
    return [
        (prefix + name, value.decode("ascii", "replace") if isinstance(value, bytes) else value)
        if not name.endswith("-bin")
        else (prefix + name, base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode())
        for name, value in metadata
        if not name.startswith(("grpc-", ":", "x-http-")) and name not in _OF_GRPC
    ]


_OF_GRPC = frozenset({"content-type", "content-length", "date", "server", "connection", "transfer-encoding"})
