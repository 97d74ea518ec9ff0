"""Users: who may sign in, and what a change of one brings with it."""

import dataclasses
import datetime
import enum

from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound, Unauthenticated
from services.auth.domain.fields import LOGIN_CHARS_MAX
from services.auth.domain.revocations import Revocation, whole_second
from services.auth.domain.sessions import ACCESS_TTL_MAX_S


class Tier(enum.StrEnum):
    """What a user pays for; the text is the token's `tier` claim."""

    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"
    SANDBOX = "sandbox"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who may sign in."""

    user_id: str
    """A UUID in its canonical form: the `sub` of the user's tokens."""
    login: str
    email: str
    password_hash: str = dataclasses.field(repr=False)
    """argon2id, encoded with its parameters (PHC string)."""
    active: bool = True
    operator: bool = False
    tier: Tier = Tier.FREE
    created_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What to change of a user; `None` leaves a field as it is."""

    login: str | None = None
    email: str | None = None
    password_hash: str | None = dataclasses.field(default=None, repr=False)
    active: bool | None = None
    operator: bool | None = None
    tier: Tier | None = None

    def applied_to(self, user: User) -> User:
        """Return the user with the changes made."""
        changes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return dataclasses.replace(user, **{name: value for name, value in changes.items() if value is not None})


def revokes(before: User, after: User | None) -> bool:
    """Return whether a change (`after`), or a deletion (`None`), makes the user's tokens fail.

    Tokens say `operator` themselves, so taking the role away must end them.  A changed tier or login does not: it
    counts from the next token on.
    """
    if after is None:
        return True
    return (
        before.password_hash != after.password_hash
        or (before.active and not after.active)
        or (before.operator and not after.operator)
    )


def check_operator_stays(before: User, after: User | None, others: int) -> None:
    """Raise `FailedPrecondition` if this takes the mesh's last active operator away.

    `others` counts the other active operators; `after` is `None` for a deletion.
    """
    was = before.active and before.operator
    stays = after is not None and after.active and after.operator
    if was and not stays and others == 0:
        raise FailedPrecondition(
            "this is the last active operator: make another user an operator first", user=f"users/{before.user_id}"
        )


def user_revocation(user_id: str, at: datetime.datetime, keys_expire: datetime.datetime | None) -> Revocation:
    """Return the revocation of everything `user_id` holds, given when the last of the user's API keys expires."""
    longest = whole_second(at + datetime.timedelta(seconds=ACCESS_TTL_MAX_S))
    return Revocation(user_id=user_id, issued_at=at, expires_at=max(longest, keys_expire or longest))


def check_unchanged(seen: User, now: User | None) -> User:
    """Return the user as they are now; raise `Unauthenticated` if the password that was verified is theirs no more."""
    if now is None or not now.active or now.password_hash != seen.password_hash:
        raise Unauthenticated("Invalid name or password")
    return now


def no_user(who: str) -> NotFound:
    """Return the error for a user who does not exist."""
    return NotFound(f"user {who[:LOGIN_CHARS_MAX]} not found", resource=f"users/{who[:64]}")


def taken(field: str) -> AlreadyExists:
    """Return the error for a login or e-mail that somebody has."""
    return AlreadyExists(f"{field} is taken: choose another", field=field)
