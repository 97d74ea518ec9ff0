"""What the auth service does: sign-in, refresh, sign-out, API keys and the care of users.  No gRPC here."""

import asyncio
import dataclasses
import datetime
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from meshkit.errors import Exhausted, Invalid, NotFound, Unauthenticated
from services.auth import domain, tokens
from services.auth.config import DEFAULT_PASSWORD
from services.auth.domain import ApiKey, Revocation, Session, Tier, User, UserChange
from services.auth.passwords import Passwords
from services.auth.revocations import Feed
from services.auth.store import AuthStore, Issued, Reuse
from services.auth.throttle import Throttle

T = TypeVar("T")
ADMIN = "admin"
ADMIN_EMAIL = "admin@example.com"
audit = structlog.get_logger("audit")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a sign-in or a refresh gives."""

    user: User
    access_token: str
    refresh_token: str
    expires_at: datetime.datetime
    """Of the access token."""


class Unbroken:
    """Runs steps to their end although their caller goes away.

    A revocation that is stored must also be announced; a caller who cancels in between must not prevent that.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Return what the step returns; if the caller is cancelled, the step goes on."""
        task = asyncio.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for the steps that are under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Sessions:
    """Signs people in and out."""

    def __init__(
        self,
        store: AuthStore,
        signer: tokens.Signer,
        passwords: Passwords,
        throttle: Throttle,
        feed: Feed,
        unbroken: Unbroken,
    ) -> None:
        self._store = store
        self._signer = signer
        self._passwords = passwords
        self._throttle = throttle
        self._feed = feed
        self._unbroken = unbroken

    async def login(self, login: str, password: str, access_ttl_s: int) -> Grant:
        """Start a session.

        Raises `Invalid` if a field is missing, `Unauthenticated` (in the same words and the same time for a wrong
        name, a wrong password and an inactive user) and `Exhausted` after too many failures.
        """
        _check_present(login, password)
        ttl_s = domain.access_ttl_s(access_ttl_s)
        user = await self._authenticate(login[: domain.LOGIN_CHARS_MAX + 1], password)
        session_id = tokens.new_id()
        refresh_token = tokens.new_refresh_token(session_id)
        now = datetime.datetime.now(datetime.UTC)
        session = Session(
            session_id=session_id,
            user_id=user.user_id,
            token_hash=tokens.digest(refresh_token),
            access_ttl_s=ttl_s,
            issued_at=now,
            expires_at=now,
        )
        return self._grant(await self._store.add_session(session, user, tokens.new_id()), refresh_token)

    async def refresh(self, refresh_token: str) -> Grant:
        """Exchange a refresh token; one that has been used before ends its session.  Raises `Unauthenticated`."""
        if not refresh_token:
            raise Invalid("refresh_token: is required", {"refresh_token": ["is required"]})
        return await self._unbroken.run(self._refresh(refresh_token))

    async def _refresh(self, refresh_token: str) -> Grant:
        session_id = refresh_token.partition(".")[0]
        following = tokens.new_refresh_token(session_id)
        outcome = await self._store.rotate(
            session_id, tokens.digest(refresh_token), tokens.digest(following), tokens.new_id()
        )
        self._feed.add(outcome.revocations)
        if isinstance(outcome, Reuse):
            audit.warning("refresh token reused: session ended", user=f"users/{outcome.user_id}")
            raise Unauthenticated("refresh token was used before: sign in again")
        return self._grant(outcome, following)

    async def logout(self, access_token: str, jti: str, expires_at: datetime.datetime) -> None:
        """Revoke a verified access token, and end its session."""
        session_id = tokens.session_of(access_token)

        async def step() -> None:
            self._feed.add(await self._store.end_session(session_id, jti, expires_at))

        await self._unbroken.run(step())

    async def add_api_key(
        self, user_id: str, display_name: str, ttl_days: int, caller_issued_at: datetime.datetime
    ) -> tuple[ApiKey, str]:
        """Make an API key of the caller; return it with its token, which is kept nowhere."""
        domain.check_fields({"display_name": display_name})
        ttl = domain.key_ttl(ttl_days)
        user, key = await self._store.add_api_key(user_id, tokens.new_id(), display_name, ttl, caller_issued_at)
        token = self._signer.sign(user, jti=key.key_id, session="", issued_at=key.created_at, expires_at=key.expires_at)
        return key, token

    async def delete_api_key(self, user_id: str, key_id: str) -> None:
        """Revoke an API key, or raise `NotFound` if it is not this user's."""

        async def step() -> None:
            self._feed.add([await self._store.delete_api_key(user_id, key_id)])

        await self._unbroken.run(step())

    async def _authenticate(self, login: str, password: str) -> User:
        async with self._passwords.slot():
            # Asked with the slot held: attempts that wait together must not all pass before the first has failed.
            try:
                self._throttle.check(login)
            except Exhausted:
                _audit("throttled", await self._known(login))
                raise
            user = await self._known(login)
            matches = await self._passwords.verify(user.password_hash if user is not None else None, password)
            if user is None or not matches:
                self._throttle.failed(login)
                _audit("wrong password" if user is not None else "unknown user", user)
                raise Unauthenticated("Invalid name or password")
            if not user.active:
                self._throttle.failed(login)
                _audit("inactive", user)
                raise Unauthenticated("Invalid name or password")
            self._throttle.succeeded(login)
            _audit("ok", user)
            return user

    async def _known(self, login: str) -> User | None:
        try:
            return await self._store.find_user(login)
        except NotFound:
            return None

    def _grant(self, issued: Issued, refresh_token: str) -> Grant:
        jti, expires_at = issued.session.access[-1]
        access_token = self._signer.sign(
            issued.user,
            jti=jti,
            session=issued.session.session_id,
            issued_at=issued.session.issued_at,
            expires_at=expires_at,
        )
        return Grant(user=issued.user, access_token=access_token, refresh_token=refresh_token, expires_at=expires_at)


class Users:
    """Keeps the people who may sign in."""

    def __init__(
        self,
        store: AuthStore,
        passwords: Passwords,
        feed: Feed,
        unbroken: Unbroken,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._feed = feed
        self._unbroken = unbroken
        self._now = now

    async def find(self, key: str) -> User:
        """Return a user by id or by login, or raise `NotFound`."""
        if domain.looks_like_id(key):
            return await self._store.get_user(key.lower())
        return await self._store.find_user(key)

    async def add(self, *, login: str, email: str, password: str, operator: bool, tier: Tier) -> User:
        """Add an active user.  Raises `Invalid`, or `AlreadyExists` if the login or e-mail is taken."""
        domain.check_fields({"login": login, "email": email, "password": password})
        user = User(
            user_id=str(uuid.uuid4()),
            login=login,
            email=email,
            password_hash=await self._passwords.hash(password),
            operator=operator,
            tier=tier,
            created_at=self._now(),
        )
        await self._store.add_user(user)
        audit.info("user added", user=f"users/{user.user_id}", operator=operator)
        return user

    async def update(self, key: str, change: UserChange, password: str | None = None) -> User:
        """Change a user, by id or login; see `AuthStore.update_user`.  `password` is hashed here."""
        texts = {"login": change.login, "email": change.email, "password": password}
        domain.check_fields({name: text for name, text in texts.items() if text is not None})
        user = await self.find(key)
        if password is not None:
            change = dataclasses.replace(change, password_hash=await self._passwords.hash(password))

        async def step() -> User:
            changed, revocation = await self._store.update_user(user.user_id, change)
            self._announce(changed, revocation)
            return changed

        return await self._unbroken.run(step())

    async def delete(self, key: str) -> None:
        """Delete a user, by id or login; see `AuthStore.delete_user`."""
        user = await self.find(key)

        async def step() -> None:
            self._announce(user, await self._store.delete_user(user.user_id))

        await self._unbroken.run(step())

    async def ensure_admin(self, password: str) -> None:
        """See that somebody can sign in, and that `admin` has `password` if one is given.

        Without one, an empty store gets the account admin / admin, and nothing else changes.  With one, the account
        is made unless others operate the mesh already.
        """
        try:
            admin = await self._store.find_user(ADMIN)
        except NotFound:
            if not await self._store.has_users():
                await self.add(
                    login=ADMIN,
                    email=ADMIN_EMAIL,
                    password=password or DEFAULT_PASSWORD,
                    operator=True,
                    tier=Tier.ENTERPRISE,
                )
            return
        if not password:
            return
        async with self._passwords.slot():
            same = await self._passwords.verify(admin.password_hash, password)
        if not same:
            await self.update(admin.user_id, UserChange(), password)
            audit.warning("password of admin replaced from AGENTMESH_ADMIN_PASSWORD")

    def _announce(self, user: User, revocation: Revocation | None) -> None:
        if revocation is not None:
            self._feed.add([revocation])
            audit.info("tokens revoked", user=f"users/{user.user_id}")


def _check_present(login: str, password: str) -> None:
    wrong = {name: ["is required"] for name, text in (("login", login), ("password", password)) if not text}
    if len(password.encode()) > domain.PASSWORD_BYTES_MAX:
        wrong["password"] = [f"must have at most {domain.PASSWORD_BYTES_MAX} bytes"]
    if wrong:
        raise Invalid(f"{', '.join(wrong)}: {next(iter(wrong.values()))[0]}", wrong)


def _audit(outcome: str, user: User | None) -> None:
    # Of names that are not ours nothing is logged: people type passwords into the wrong field.
    emit = audit.info if outcome == "ok" else audit.warning
    emit("sign-in", outcome=outcome, user=f"users/{user.user_id}" if user is not None else "")
