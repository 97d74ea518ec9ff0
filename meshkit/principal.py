"""Who is calling: set once per call by `meshkit.access.Auth`, asked for everywhere as `caller()`."""

import contextlib
import contextvars
import dataclasses
import uuid
from collections.abc import Iterator

from meshkit.errors import NotFound


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling: a user, a service, a host, a service on behalf of a user, or nobody."""

    user: str = ""
    """`users/{uuid}`, or empty."""
    operator: bool = False
    tier: str = "free"
    service: str = ""
    """`gateway`, `registry` and so on, or empty."""
    host: str = ""
    """The host's id, or empty."""
    token: str = dataclasses.field(default="", repr=False)
    """The user's access token, where it was sent to: it goes no further."""
    jti: str = ""
    """Of the user's access token; empty for who has none."""
    session: str = ""
    """The sign-in that the token is of; empty for an API key."""
    issued_at: float = 0.0
    expires_at: float = 0.0
    address: str = dataclasses.field(default="", compare=False)
    """From where the call comes (`meshkit.net.whence`), or empty; the same caller may call from several."""

    @property
    def is_key(self) -> bool:
        """Whether an API key calls, which somebody has given away perhaps: it may do nothing that outlives it."""
        return bool(self.jti) and not self.session

    @property
    def sees_all(self) -> bool:
        """Whether ownership does not narrow what the caller sees."""
        return self.operator or (bool(self.service) and not self.user)

    @property
    def is_guest(self) -> bool:
        """Whether somebody without a login calls, by a service that acts for them."""
        return self.user == GUEST.user


NOBODY = Principal()
GUEST = Principal(user=f"users/{uuid.UUID(int=0)}")
"""Who owns what callers without a login start: all are one user, with the nil UUID, that nobody can sign in as.

It may call what the contract marks with `guests`: nothing that lists.  What a guest may read is known by an
unguessable id alone.
"""
LOCAL = Principal(user=f"users/{uuid.UUID(int=1)}")
"""Who calls from this machine without a login, where the mesh lets them (`ACCESS_LOCAL`).

All are one ordinary user, as whom nobody can sign in, and who has what they make to itself.
"""
WITHOUT_TOKEN = {each.user: each for each in (GUEST, LOCAL)}
"""Whom a service may call for although they have no token, by their name."""
_caller: contextvars.ContextVar[Principal] = contextvars.ContextVar("caller", default=NOBODY)


def caller() -> Principal:
    """Return who makes the current call."""
    return _caller.get()


@contextlib.contextmanager
def acting(principal: Principal) -> Iterator[None]:
    """Make `principal` the caller for the block."""
    reset = _caller.set(principal)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a stream may be closed from another context
            _caller.reset(reset)


@contextlib.contextmanager
def on_own_behalf() -> Iterator[None]:
    """Calls to other services in the block carry this service's token only: it asks for itself, not for the user."""
    reset = _caller.set(NOBODY)
    try:
        yield
    finally:
        _caller.reset(reset)


def check_owner(owner: str, what: str) -> None:
    """Raise `NotFound` unless the caller owns it or sees all: the one place that compares owners."""
    principal = caller()
    if not principal.sees_all and principal.user != owner:
        raise NotFound(f"{what} not found", resource=what)
