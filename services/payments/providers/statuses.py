"""HTTP statuses of a payment service, as the errors that callers go by."""

from meshkit.errors import (
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

_KINDS: dict[int, type[MeshError]] = {
    400: Invalid,
    401: Unauthenticated,
    402: FailedPrecondition,
    403: Denied,
    404: NotFound,
    405: FailedPrecondition,
    408: DeadlineExceeded,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: Exhausted,
    504: DeadlineExceeded,
}


def kind_of(status: int) -> type[MeshError]:
    """Return the error for an HTTP status that is not a success."""
    return _KINDS.get(status, Unavailable if status >= 500 else FailedPrecondition)
