"""Users, sessions, API keys and revocations: records, and the rules that need no clock, store or wire.

A *session* is what one sign-in starts: a chain of refresh tokens of which only the newest works.  Using an older one
again means that somebody has a copy, so it ends the whole chain (RFC 9700 §4.14.2).
"""

import dataclasses
import datetime
import enum
import re
import uuid
from collections.abc import Iterable, Mapping

from meshkit.errors import FailedPrecondition, Invalid

ACCESS_TTL_S = 15 * 60
ACCESS_TTL_MAX_S = 24 * 3600
REFRESH_TTL = datetime.timedelta(days=30)
KEY_TTL_DAYS = 365
KEY_TTL_MAX_DAYS = 3650
KEYS_PER_USER_MAX = 1000
SESSIONS_PER_USER_MAX = 1000
ACCESS_PER_SESSION_MAX = 64
LOGIN_CHARS_MAX = 64
EMAIL_CHARS_MAX = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
PASSWORD_BYTES_MAX = 1024
DISPLAY_NAME_CHARS_MAX = 128

# Simple on purpose: whether an address exists is known only by writing to it.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f.]+(\.[^@\s\x00-\x1f\x7f.]+)*")


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one sign-in started.  Of its chain of refresh tokens only the newest works, and only its hash is kept."""

    session_id: str
    """The access tokens' `sid` claim, and the first half of every refresh token of the chain."""
    user_id: str
    token_hash: str
    access_ttl_s: int
    """What the sign-in asked for; kept for the tokens that follow."""
    access: tuple[tuple[str, datetime.datetime], ...] = ()
    """Id and expiry of the access tokens that may be alive, oldest first; the last came with the refresh token."""
    issued_at: datetime.datetime
    """When the newest tokens were issued."""
    expires_at: datetime.datetime
    """When the refresh token stops working."""

    def issue(self, token_hash: str, jti: str, now: datetime.datetime) -> tuple["Session", list["Revocation"]]:
        """Return the session with new tokens, and what fails because it has too many access tokens alive."""
        access_expires_at = whole_second(now + datetime.timedelta(seconds=self.access_ttl_s))
        alive = [*((old, at) for old, at in self.access if at > now), (jti, access_expires_at)]
        surplus, kept = alive[:-ACCESS_PER_SESSION_MAX], alive[-ACCESS_PER_SESSION_MAX:]
        session = dataclasses.replace(
            self, token_hash=token_hash, access=tuple(kept), issued_at=now, expires_at=now + REFRESH_TTL
        )
        return session, [Revocation(jti=old, issued_at=now, expires_at=at) for old, at in surplus]

    def end(self, now: datetime.datetime) -> list["Revocation"]:
        """Return what fails when the session ends: its access tokens that have not expired."""
        return [Revocation(jti=jti, issued_at=now, expires_at=at) for jti, at in self.access if at > now]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A long-lived access token, by its `jti`."""

    key_id: str
    user_id: str
    display_name: str
    created_at: datetime.datetime
    """Unique in a store and increasing: the order of lists."""
    expires_at: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Either one token (`jti`), or every token of `user_id` issued at or before `issued_at`."""

    jti: str = ""
    user_id: str = ""
    issued_at: datetime.datetime
    expires_at: datetime.datetime
    """From here on the tokens have expired anyway, and the record may go."""


def whole_second(moment: datetime.datetime) -> datetime.datetime:
    """Return the next whole second: `exp` claims are integers, which every verifier reads the same."""
    if moment.microsecond == 0:
        return moment
    return moment.replace(microsecond=0) + datetime.timedelta(seconds=1)


def access_ttl_s(asked: int) -> int:
    """Return how long an access token lives; 0 means the default.  Raises `Invalid` outside 0..86400."""
    if not 0 <= asked <= ACCESS_TTL_MAX_S:
        raise Invalid("access_ttl_s is out of range", {"access_ttl_s": [f"must be 0 to {ACCESS_TTL_MAX_S} seconds"]})
    return asked or ACCESS_TTL_S


def key_ttl(days: int) -> datetime.timedelta:
    """Return how long an API key lives; 0 means the default.  Raises `Invalid` outside 0..3650."""
    if not 0 <= days <= KEY_TTL_MAX_DAYS:
        raise Invalid("ttl_days is out of range", {"ttl_days": [f"must be 0 to {KEY_TTL_MAX_DAYS} days"]})
    return datetime.timedelta(days=days or KEY_TTL_DAYS)


def check_fields(fields: Mapping[str, str]) -> None:
    """Raise `Invalid`, naming every wrong field at once.

    `fields` maps `login`, `email`, `password` or `display_name` to what was sent.
    """
    checks = {"login": _login, "email": _email, "password": _password, "display_name": _display_name}
    wrong = {name: list(checks[name](text)) for name, text in fields.items()}
    wrong = {name: texts for name, texts in wrong.items() if texts}
    if wrong:
        raise Invalid(f"{', '.join(wrong)}: {next(iter(wrong.values()))[0]}", wrong)


def _login(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text) > LOGIN_CHARS_MAX:
        yield f"must have at most {LOGIN_CHARS_MAX} characters"
    elif not text.isprintable() or text != text.strip() or "/" in text:
        yield "must have no control characters, no slash and no space at its ends"
    elif looks_like_id(text):
        # `users/{login}` and `users/{uuid}` share one name space.
        yield "must not look like a UUID"


def _email(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text) > EMAIL_CHARS_MAX or not _EMAIL.fullmatch(text):
        yield "must be an e-mail address, such as ada@example.com"


def _password(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text.encode()) > PASSWORD_BYTES_MAX:
        yield f"must have at most {PASSWORD_BYTES_MAX} bytes"


def _display_name(text: str) -> Iterable[str]:
    if not text.strip():
        yield "is required"
    elif len(text) > DISPLAY_NAME_CHARS_MAX or not text.isprintable():
        yield f"must have at most {DISPLAY_NAME_CHARS_MAX} printable characters"


def looks_like_id(text: str) -> bool:
    """Return whether the text is a UUID in its canonical form, in either case."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


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


def merge(old: Revocation | None, new: Revocation) -> Revocation:
    """Return the one revocation that stands for two of the same target.

    It lasts as long as the longer: an API key that the first one covers may outlive everything the second one covers.
    """
    if old is None:
        return new
    return dataclasses.replace(
        new, issued_at=max(old.issued_at, new.issued_at), expires_at=max(old.expires_at, new.expires_at)
    )
