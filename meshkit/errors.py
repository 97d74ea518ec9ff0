"""Errors that cross the wire.

Domain code raises these, and nothing else that a caller should act on.  `meshkit.interceptors.Errors` turns one into
a `google.rpc.Status` with an `ErrorInfo` (AIP-193); any other exception becomes a bare INTERNAL.  On the calling
side, `from_rpc` turns the status back into the same class, so a `NotFound` survives any number of hops.

- MeshError
  - Invalid: the request is wrong; says which fields
  - Unauthenticated: no token, or one that does not hold
  - Denied: the caller may not do this
  - NotFound: there is no such thing, or the caller may not see it
  - AlreadyExists: the name is taken
  - FailedPrecondition: not in the state it is in now
  - Conflict: somebody else changed it first
  - Exhausted: too much, too often; says when to try again
  - Unavailable: not now; try again
  - DeadlineExceeded: it took too long
  - Internal: ours to mend
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "agentmesh"

# A status travels in HTTP/2 headers, of which gRPC takes 8 KiB by default: the message percent-encoded, and once more
# with the details in base64.  Beyond that a caller would see RESOURCE_EXHAUSTED in place of what went wrong.
_MESSAGE_BYTES_MAX = 1000
_FIELDS_BYTES_MAX = 2500
_METADATA_BYTES_MAX = 1000


class MeshError(Exception):
    """Base of the errors a caller may act on.  Facts go into metadata, not only into prose."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    reason: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, **metadata: str) -> None:
        super().__init__(message)
        self.metadata = metadata

    def to_status(self) -> status_pb2.Status:
        """Render as `google.rpc.Status`, following AIP-193."""
        status = status_pb2.Status(code=self.code.value[0], message=_clip(str(self), _MESSAGE_BYTES_MAX))
        each = _METADATA_BYTES_MAX // max(1, len(self.metadata))
        metadata = {key: _clip(value, each) for key, value in self.metadata.items()}
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=metadata))
        return status


def _clip(text: str, bytes_max: int) -> str:
    encoded = text.encode(errors="replace")  # a lone surrogate, from a flow's own text perhaps, is not UTF-8
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - 3].decode(errors="ignore") + "…"


class Invalid(MeshError):
    """The request is wrong.  `fields` maps a field to what is wrong with it, in order."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID"

    def __init__(self, message: str, fields: Mapping[str, Sequence[str]] | None = None, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.fields = {name: list(texts) for name, texts in (fields or {}).items()}

    def to_status(self) -> status_pb2.Status:
        """Add a `BadRequest` with one violation per message, as many as fit."""
        status = super().to_status()
        if self.fields:
            bad = error_details_pb2.BadRequest()
            for name, texts in self.fields.items():
                for text in texts:
                    bad.field_violations.add(field=_clip(name, 200), description=_clip(text, 500))
                    if bad.ByteSize() > _FIELDS_BYTES_MAX:
                        del bad.field_violations[-1]
                        break
            status.details.add().Pack(bad)
        return status


class Unauthenticated(MeshError):
    """There is no token, or it does not hold."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"


class Denied(MeshError):
    """The caller may not do this."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "DENIED"


class NotFound(MeshError):
    """A named resource does not exist, or the caller may not see it."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(MeshError):
    """The name is taken."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(MeshError):
    """The thing is not in a state that allows this."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Conflict(MeshError):
    """Somebody else changed it first: read it again, then retry."""

    code = grpc.StatusCode.ABORTED
    reason = "CONFLICT"


class Exhausted(MeshError):
    """Too much or too often; try again after `retry_after_s`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "EXHAUSTED"

    def __init__(self, message: str, retry_after_s: float = 1.0, **metadata: str) -> None:
        super().__init__(message, **metadata)
        self.retry_after_s = retry_after_s

    def to_status(self) -> status_pb2.Status:
        """Add a `RetryInfo`."""
        status = super().to_status()
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(self.retry_after_s * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return status


class Unavailable(MeshError):
    """Not now; trying again may help."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "UNAVAILABLE"


class DeadlineExceeded(MeshError):
    """It took too long."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class Internal(MeshError):
    """Ours to mend; the log has the rest."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL"


_BY_CODE: dict[grpc.StatusCode, type[MeshError]] = {
    kind.code: kind
    for kind in (
        Invalid,
        Unauthenticated,
        Denied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Conflict,
        Exhausted,
        Unavailable,
        DeadlineExceeded,
        Internal,
    )
}


def rebuild(error: grpc.aio.AioRpcError) -> MeshError:
    """Return the `MeshError` that a failed call carries; what cannot be told is `Internal`."""
    kind = _BY_CODE.get(error.code(), Internal)
    message = error.details() or error.code().name.lower().replace("_", " ")
    metadata: dict[str, str] = {}
    fields: dict[str, list[str]] = {}
    retry_after_s = 1.0
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # the details are of another status: a proxy has put its own in front
        status = None
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            metadata = dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            for violation in bad.field_violations:
                fields.setdefault(violation.field, []).append(violation.description)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    if kind is Invalid:
        return Invalid(message, fields, **metadata)
    if kind is Exhausted:
        return Exhausted(message, retry_after_s, **metadata)
    return kind(message, **metadata)


@contextlib.contextmanager
def from_rpc() -> Iterator[None]:
    """Around calls to another service: re-raise its error as the same `MeshError`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise rebuild(error) from error
