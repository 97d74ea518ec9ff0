"""Signing in, staying signed in, signing out."""

import contextlib
import dataclasses
import datetime

import structlog

from meshkit.clock import utc_now
from meshkit.errors import Exhausted, Invalid, NotFound, Unauthenticated
from meshkit.tasks import Tasks
from services.auth import domain, tokens
from services.auth.config import DEFAULT_PASSWORD
from services.auth.domain import Session, User, UserChange
from services.auth.passwords import Passwords
from services.auth.ports.store import AuthStore, Issued, Reuse
from services.auth.revocations import Feed
from services.auth.shared_throttle import SharedThrottle

audit = structlog.get_logger("audit")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a sign-in or a refresh gives."""

    user: User
    access_token: str
    refresh_token: str
    expires_at: datetime.datetime
    """Of the access token."""
    refresh_expires_at: datetime.datetime


class Sessions:
    """Signs people in and out.

    Once others than this machine reach the mesh (`exposed`), nobody signs in with the default password, whoever has it.
    Steps that revoke run to their end though their caller goes away: what is stored must also be announced.
    """

    def __init__(
        self,
        store: AuthStore,
        signer: tokens.Signer,
        passwords: Passwords,
        throttle: SharedThrottle,
        feed: Feed,
        tasks: Tasks,
        secret: bytes,
        *,
        exposed: bool = False,
    ) -> None:
        """`secret` marks refresh tokens."""
        self._store = store
        self._signer = signer
        self._passwords = passwords
        self._throttle = throttle
        self._exposed = exposed
        self._feed = feed
        self._tasks = tasks
        self._secret = secret

    async def login(
        self, login: str, password: str, access_ttl_s: int, address: str = "", *, refresh: bool = True, client: str = ""
    ) -> Grant:
        """Start a session of the user with this login or, if there is none, this e-mail address.

        `address` is from where they sign in and `client` with what, if it is known.  Without `refresh` there is no
        refresh token, and the session ends with its access token.

        Raises `Invalid` if a field is missing, `Unauthenticated` (in the same words and the same time for a wrong
        name, a wrong password and an inactive user) and `Exhausted` after too many failures.
        """
        _check_present(login, password)
        ttl_s = domain.access_ttl_s(access_ttl_s)
        user = await self._authenticate(login[: domain.LOGIN_CHARS_MAX + 1], password, address)
        start = self._start(user, ttl_s, address, refresh=refresh, client=client)
        return await self._tasks.complete(start, "sign-in")

    async def change_password(
        self,
        user_id: str,
        old_password: str,
        new_password: str,
        access_ttl_s: int,
        address: str = "",
        *,
        refresh: bool = True,
        client: str = "",
    ) -> Grant:
        """Give a user who knows their password another one, and start a session as `login` does: all else ends.

        Raises `Invalid`, for an `old_password` that is not right too, and `Exhausted` after too many of those.
        """
        user = await self._store.get_user(user_id)
        ttl_s = domain.access_ttl_s(access_ttl_s)
        domain.check_fields({"new_password": new_password}, names=(user.login, user.email))
        if not await self._matches(user, old_password, address):
            _audit("wrong password", user)
            raise Invalid("old_password: is not right", {"old_password": ["is not right"]})
        password_hash = await self._passwords.hash(new_password)

        async def step() -> Grant:
            changed, revocation = await self._store.update_user(user_id, UserChange(password_hash=password_hash))
            if revocation is not None:
                await self._feed.announce([revocation])
            audit.info("password changed", user=f"users/{user_id}")
            return await self._start(changed, ttl_s, address, refresh=refresh, client=client)

        return await self._tasks.complete(step(), "change-password")

    async def vouch(self, login: str, service: str, access_ttl_s: int) -> Grant:
        """Start a session on the word of a service, which cannot be refreshed.

        Raises `Unauthenticated` for a user who may not sign in.
        """
        ttl_s = domain.access_ttl_s(access_ttl_s)
        user = await self._known(login)
        if user is None or not user.active:
            raise Unauthenticated(f"{service} vouches for a user who may not sign in: {login[:80]}")
        audit.info("sign-in", outcome="vouched for", by=service, user=f"users/{user.user_id}")
        return await self._tasks.complete(self._start(user, ttl_s, refresh=False, client=service), "vouch")

    async def _start(self, user: User, ttl_s: int, address: str = "", *, refresh: bool, client: str) -> Grant:
        session_id = tokens.new_id()
        refresh_token = tokens.new_refresh_token(session_id, self._secret) if refresh else ""
        now = utc_now()
        session = Session(
            session_id=session_id,
            user_id=user.user_id,
            token_hash=tokens.digest(refresh_token) if refresh_token else "",
            access_ttl_s=ttl_s,
            created_at=now,
            issued_at=now,
            used_at=now,
            expires_at=now,
            client=domain.client_of(client),
            address=address,
        )
        issued = await self._store.add_session(session, user, tokens.new_id())
        await self._feed.announce(issued.revocations)
        return self._grant(issued, refresh_token)

    async def refresh(self, refresh_token: str) -> Grant:
        """Exchange a refresh token; one that has been used before ends its session.  Raises `Unauthenticated`."""
        if not refresh_token:
            raise Invalid("refresh_token: is required", {"refresh_token": ["is required"]})
        return await self._tasks.complete(self._refresh(refresh_token), "refresh")

    async def _refresh(self, refresh_token: str) -> Grant:
        session_id = refresh_token.partition(".")[0]
        following = tokens.new_refresh_token(session_id, self._secret)
        outcome = await self._store.rotate(
            session_id,
            tokens.digest(refresh_token),
            tokens.digest(following),
            tokens.new_id(),
            was_issued=tokens.is_marked(refresh_token, self._secret),
        )
        await self._feed.announce(outcome.revocations)
        if isinstance(outcome, Reuse):
            audit.warning("refresh token reused: session ended", user=f"users/{outcome.user_id}")
            raise Unauthenticated("refresh token was used before: sign in again")
        return self._grant(outcome, following)

    async def logout(self, session_id: str, jti: str, expires_at: datetime.datetime) -> None:
        """Revoke a verified access token, and end its session, if it has one."""

        async def step() -> None:
            await self._feed.announce(await self._store.end_session(session_id, jti, expires_at))

        await self._tasks.complete(step(), "logout")

    async def logout_everywhere(self, user_id: str) -> None:
        """End all that a user holds: every session, and API keys too."""

        async def step() -> None:
            await self._feed.announce([await self._store.revoke_all(user_id)])

        await self._tasks.complete(step(), "logout everywhere")
        audit.info("all sessions and keys ended", user=user_id)

    async def _matches(self, user: User, password: str, address: str) -> bool:
        async with self._passwords.slot():
            await self._throttle.check(user.login, address)
            matches = await self._passwords.verify(user.password_hash, password[: domain.PASSWORD_BYTES_MAX + 1])
            count = self._throttle.succeeded if matches else self._throttle.failed
            await count(user.login, address)
            return matches

    async def _authenticate(self, login: str, password: str, address: str) -> User:
        async with self._passwords.slot():
            user = await self._known(login)
            if user is not None:
                login = user.login  # who guesses by the e-mail address has no more attempts
            # Asked with the slot held: attempts that wait together must not all pass before the first has failed.
            try:
                await self._throttle.check(login, address)
            except Exhausted:
                _audit("throttled", user)
                raise
            matches = await self._passwords.verify(user.password_hash if user is not None else None, password)
            matches = matches and not (self._exposed and password == DEFAULT_PASSWORD)
            if user is None or not matches:
                await self._throttle.failed(login, address)
                _audit("wrong password" if user is not None else "unknown user", user)
                raise Unauthenticated("Invalid name or password")
            if not user.active:
                await self._throttle.failed(login, address)
                _audit("inactive", user)
                raise Unauthenticated("Invalid name or password")
            await self._throttle.succeeded(login, address)
            _audit("ok", user)
            return user

    async def _known(self, login: str) -> User | None:
        for find in (self._store.find_user, self._store.find_user_by_email):
            with contextlib.suppress(NotFound):
                return await find(login)
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
        return Grant(
            user=issued.user,
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=expires_at,
            refresh_expires_at=issued.session.expires_at,
        )


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
