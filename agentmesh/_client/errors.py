"""What a call on the mesh can raise.

- MeshError: the base; `code` is a gRPC status name
  - Unreachable: nobody answered at that address
  - NotSignedIn: no token, or one that no longer holds
  - NotAllowed: this user may not do it
  - NotFound: there is no such thing, or this user may not see it
  - InvalidInputs: the request is wrong; `fields` says where
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


class MeshError(Exception):
    """A call on the mesh failed.  The message is for people."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        fields: Mapping[str, list[str]] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        """The gRPC status, such as `NOT_FOUND`."""
        self.fields = dict(fields or {})
        """For each wrong field what is wrong with it."""
        self.retry_after_s = retry_after_s
        """When trying again makes sense, in seconds; None if the mesh did not say."""


class Unreachable(MeshError):
    """Nobody answered at that address."""


class NotSignedIn(MeshError):
    """No token was sent, or it no longer holds: log in."""


class NotAllowed(MeshError):
    """The caller may not do this."""


class NotFound(MeshError):
    """There is no such thing, or the caller may not see it."""


class InvalidInputs(MeshError):
    """The request is wrong: `fields` says what is wrong with which field."""


_KINDS: dict[str, type[MeshError]] = {
    "UNAUTHENTICATED": NotSignedIn,
    "PERMISSION_DENIED": NotAllowed,
    "NOT_FOUND": NotFound,
    "INVALID_ARGUMENT": InvalidInputs,
}

# Statuses that a broken connection or a proxy makes up; a service's own carries an ErrorInfo (AIP-193).
_TRANSPORT = ("UNAVAILABLE", "INTERNAL", "CANCELLED", "UNKNOWN")


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise a `MeshError` for each failed gRPC call in the block."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error, url) from error


def from_rpc(error: grpc.aio.AioRpcError, url: str) -> MeshError:
    """Return what a failed call says."""
    code = str(error.code().name)
    known: dict[str, Any] = {"code": code, "fields": {}, "retry_after_s": None}
    ours = False
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            ours = True
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            for violation in bad.field_violations:
                known["fields"].setdefault(violation.field, []).append(violation.description)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            known["retry_after_s"] = retry.retry_delay.ToMilliseconds() / 1000
    text = error.details() or code.lower().replace("_", " ")
    if not ours and code == "UNAVAILABLE":
        return Unreachable(_unreachable(url, text), **known)
    return _KINDS.get(code, MeshError)(text, **known)


def is_transport(error: grpc.aio.AioRpcError) -> bool:
    """Return whether the connection broke, as opposed to a service that said no."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return True
    return error.code().name in _TRANSPORT and rpc_status.from_call(error) is None


def _unreachable(url: str, text: str) -> str:
    """Return why nobody answers, and what to do about it."""
    scheme, separator, rest = url.partition("://")
    address = rest if separator else scheme
    if "WRONG_VERSION_NUMBER" in text:
        return f"what answers at {url} speaks no TLS: write http://{address}"
    if "Hostname Verification" in text or "not match" in text:
        return f"the certificate that {url} shows is for another name: write that name, or give it as `tls_name`"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"the certificate that {url} shows is signed by nobody who is trusted here: {_CA}"
    if scheme != "https" and any(sign in text for sign in _NO_GRPC):
        return f"what answers at {url} speaks no gRPC: if it is a mesh with TLS, write https://{address}"
    return f"no mesh answers at {url}: is `agentmesh up` running there? ({_brief(text)})"


_CA = "name a PEM of who is in AGENTMESH_CA, or give it as `Client(ca=…)`"
_NO_GRPC = ("Failed parsing HTTP/2", "Connection reset", "Socket closed")
"""What a server of TLS, or of HTTP/1 only, makes of gRPC."""


def _brief(text: str) -> str:
    """Return the telling end of what gRPC says about a connection."""
    return text.rpartition("; last error: ")[2].strip()[:200]
