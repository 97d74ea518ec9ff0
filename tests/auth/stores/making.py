"""A clock for the tests of stores, and what is kept in them."""

import datetime
import itertools

from services.auth.domain import Revocation, Session, Tier, User
from services.auth.ports.store import AuthStore

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
numbers = itertools.count()


class Wall:
    """A clock on the wall that the test sets."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime.datetime:
        """Return what it shows."""
        return self.time


async def revoked_in(store: AuthStore) -> list[Revocation]:
    """Return what must fail now, in the order of the store."""
    return [revocation for _, revocation in await store.revocations(0, 1000)]


def user(login: str = "ada", *, operator: bool = False, email: str = "", active: bool = True) -> User:
    """Return a user with an id of their own."""
    return User(
        user_id=f"00000000-0000-4000-8000-{next(numbers):012}",
        login=login,
        email=email or f"{login}@example.com",
        password_hash="hash",
        active=active,
        operator=operator,
        tier=Tier.PRO,
        created_at=NOON + datetime.timedelta(microseconds=123_457),
    )


async def added(store: AuthStore, login: str = "ada", *, operator: bool = False) -> User:
    """Return a user that the store has."""
    who = user(login, operator=operator)
    await store.add_user(who)
    return who


def session(who: User, session_id: str = "s1", ttl_s: int = 900) -> Session:
    """Return a session to start; its refresh token's hash is `{session_id}-0`."""
    return Session(
        session_id=session_id,
        user_id=who.user_id,
        token_hash=f"{session_id}-0",
        access_ttl_s=ttl_s,
        created_at=NOON,
        issued_at=NOON,
        used_at=NOON,
        expires_at=NOON,
        client="curl/8",
        address="192.0.2.7",
    )
