"""What the ledger says when it refuses, with the HTTP status and the words of a real Masumi payment service.

Each is also the `meshkit.errors` class of its kind.  The status travels in the metadata as `http`, so it survives an
RPC.
"""

from typing import ClassVar

from meshkit import errors
from meshkit.errors import MeshError


class LedgerError(MeshError):
    """The ledger refuses.  `status` is the HTTP status that the payment service would answer with."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, **metadata: str) -> None:
        # `errors.Invalid` takes fields and `errors.Exhausted` a delay in between: none of ours has any.
        super().__init__(message, **{"http": str(self.status), **metadata})


class BadRequest(LedgerError, errors.Invalid):
    """400: what was sent is wrong."""

    status = 400


class Unauthorized(LedgerError, errors.Unauthenticated):
    """401: no key, an unknown one, or one that may not do this (the service never says 403 for that)."""

    status = 401


class Forbidden(LedgerError, errors.Denied):
    """403: somebody else's record."""

    status = 403


class Missing(LedgerError, errors.NotFound):
    """404: there is no such thing, or it is not in the state that the call needs."""

    status = 404


class Exists(LedgerError, errors.AlreadyExists):
    """409: there is one already."""

    status = 409


class Malformed(LedgerError, errors.FailedPrecondition):
    """422: registry metadata that cannot be read."""

    status = 422


class Broken(LedgerError, errors.Internal):
    """500 and its like: an injected fault; `http` in the metadata has the exact status."""

    status = 500


class Lost(LedgerError, errors.DeadlineExceeded):
    """504: the answer did not come in time.  Whether the call was carried out, the caller cannot tell."""

    status = 504
