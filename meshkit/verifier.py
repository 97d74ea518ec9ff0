"""Verifies users' access tokens, and remembers which are revoked.

A user's ES256 access token is verified against the key set of the auth service once, and then remembered by its hash
until it expires; revocations are checked on every call, and tell of themselves to what is open for longer than a call.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import NoReturn

import jwt

from meshkit import clock
from meshkit.errors import MeshError, Unauthenticated, Unavailable
from meshkit.principal import Principal

ISSUER = "agentmesh"
COOKIE = "kodosumi_jwt"
API_KEY_HEADER = "kodosumi_api_key"
MISSING, REFUSED = "missing", "refused"
"""What the metadata `token` of an `Unauthenticated` says of the access token."""
_CACHE_MAX = 10_000
_ASK_AGAIN_S = 1.0
_READY_S = 5.0
_LOOK_AGAIN_S = 30.0
"""How long a timer for a token's end may run: the machine may sleep, and its clock be set, meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Where a caller's access token may be.  The first place that has one counts, in the order of the fields."""

    headers: tuple[str, ...] = ()
    """Headers that hold nothing but a token; names in lower case."""
    bearer: bool = True
    """Whether `Authorization: Bearer` is one."""
    cookies: tuple[str, ...] = ()

    def find(self, metadata: Mapping[str, str]) -> str:
        """Return the access token a caller sent, or an empty string."""
        return self.in_headers(metadata) or self.in_cookies(metadata)

    def in_headers(self, metadata: Mapping[str, str]) -> str:
        """Return the token that the caller sent on purpose, or an empty string."""
        for name in self.headers:
            if token := metadata.get(name):
                return token
        scheme, _, token = metadata.get("authorization", "").partition(" ")
        return token.strip() if self.bearer and scheme.lower() == "bearer" else ""

    def in_cookies(self, metadata: Mapping[str, str]) -> str:
        """Return the token that a browser sends along whoever made the page, or an empty string."""
        # By hand, as browsers send it: `http.cookies` gives up at the first cookie of somebody else that it dislikes,
        # and on localhost the cookies of every port come along.
        for pair in metadata.get("cookie", "").split(";"):
            name, _, value = pair.strip().partition("=")
            if name in self.cookies and value:
                return value.strip('"')
        return ""


MESH = Credentials(headers=(API_KEY_HEADER,), cookies=(COOKIE,))
"""Of the mesh's own services, which a browser that is signed in may call too (gRPC-Web)."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    principal: Principal
    call: Callable[[], None]


class Revocations:
    """Tokens that must fail although they are signed and not expired.

    With `complete=False` nobody is let in before `completed` is called: a service that has just started does not know
    yet what was revoked before.
    """

    def __init__(self, *, complete: bool = True, now: clock.Now = clock.now) -> None:
        self._now = now
        self._tokens: dict[str, float] = {}
        self._users: dict[str, tuple[float, float]] = {}
        self._forget_at = _CACHE_MAX
        self._complete = asyncio.Event()
        self._by_token: dict[str, set[_Listener]] = {}
        self._by_user: dict[str, set[_Listener]] = {}
        if complete:
            self._complete.set()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._tokens) + len(self._users)

    def completed(self) -> None:
        """Everything that was revoked so far has been added."""
        self._complete.set()

    async def wait(self) -> None:
        """Wait until `completed`; raise `Unavailable` if that takes too long."""
        if not self._complete.is_set():
            try:
                async with asyncio.timeout(_READY_S):
                    await self._complete.wait()
            except TimeoutError:
                raise Unavailable("the auth service does not answer: try again in a moment") from None

    def add_token(self, jti: str, expires_at: float) -> None:
        """Revoke one token."""
        self._forget_expired()
        self._tokens[jti] = expires_at
        self._tell(self._by_token.get(jti, ()))

    def add_user(self, user: str, issued_at: float, expires_at: float) -> None:
        """Revoke every token of `user` that was issued at or before `issued_at`."""
        self._forget_expired()
        before = self._users.get(user, (0.0, 0.0))
        self._users[user] = (max(before[0], issued_at), max(before[1], expires_at))
        self._tell(self._by_user.get(user, ()))

    def hit(self, principal: Principal) -> bool:
        """Return whether the caller's token is revoked."""
        if principal.jti in self._tokens:
            return True
        by_user = self._users.get(principal.user)
        return by_user is not None and principal.issued_at <= by_user[0]

    @contextlib.contextmanager
    def listening(self, principal: Principal, call: Callable[[], None]) -> Iterator[None]:
        """For the block, call `call` when the caller's token is revoked: at once if it is, perhaps more than once."""
        listener = _Listener(principal, call)
        places = ((self._by_token, principal.jti), (self._by_user, principal.user))
        for index, key in places:
            index.setdefault(key, set()).add(listener)
        try:
            self._tell((listener,))
            yield
        finally:
            for index, key in places:
                index[key].discard(listener)
                if not index[key]:
                    del index[key]

    def _tell(self, listeners: Iterable["_Listener"]) -> None:
        for listener in tuple(listeners):
            if self.hit(listener.principal):
                listener.call()

    def _forget_expired(self) -> None:
        if len(self) < self._forget_at:
            return
        now = self._now()
        self._tokens = {jti: at for jti, at in self._tokens.items() if at > now}
        self._users = {user: times for user, times in self._users.items() if times[1] > now}
        # Not again before as many have come: or each would cost a sweep once that many are alive.
        self._forget_at = _CACHE_MAX + 2 * len(self)


class TokenVerifier:
    """Verifies users' access tokens.

    `fetch_jwks` returns the key set as JSON (RFC 7517); it is asked again when a token names a key that is not known,
    at most once a second, by `ticks`.
    """

    def __init__(
        self,
        fetch_jwks: Callable[[], Awaitable[str]],
        revocations: Revocations,
        now: clock.Now = clock.now,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch_jwks
        self._now = now
        self._ticks = ticks
        self._fetching = asyncio.Lock()
        self._asked_at = -_ASK_AGAIN_S
        self._failed = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._known: dict[bytes, Principal] = {}
        self.revocations = revocations

    async def verify(self, token: str) -> Principal:
        """Return the token's user; raise `Unauthenticated` if it is forged, expired or revoked."""
        digest = hashlib.sha256(token.encode()).digest()
        principal = self._known.get(digest)
        if principal is None:
            await self.revocations.wait()
            principal = await self._decode(token)
            if len(self._known) >= _CACHE_MAX:
                self._known.clear()
            self._known[digest] = principal
        if (problem := self._problem(principal)) is not None:
            raise problem
        return principal

    async def admit(self, principal: Principal) -> None:
        """Raise `Unauthenticated` if the token of a caller for whom a service vouches does not hold any more."""
        if principal.jti:
            await self.revocations.wait()
            if (problem := self._problem(principal)) is not None:
                raise problem

    @contextlib.contextmanager
    def holding(self, principal: Principal, bar: Callable[[Unauthenticated], None]) -> Iterator[None]:
        """For the block, call `bar`, once, when the token of a verified caller does not hold any more, saying why.

        A caller who has none, such as a service that asks for itself, is never barred.
        """
        if not principal.jti:
            yield
            return
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        over = False

        def look() -> None:
            nonlocal timer, over
            if timer is not None:
                timer.cancel()
            if over:
                return
            if (problem := self._problem(principal)) is not None:
                over = True
                bar(problem)
                return
            left_s = principal.expires_at - self._now()
            timer = loop.call_later(max(0.0, min(left_s, _LOOK_AGAIN_S)), look)

        look()
        try:
            with self.revocations.listening(principal, look):
                yield
        finally:
            over = True
            if timer is not None:
                timer.cancel()

    async def until_barred(self, principal: Principal) -> NoReturn:
        """Raise `Unauthenticated` when the token of a verified caller does not hold any more."""
        barred: asyncio.Future[Unauthenticated] = asyncio.get_running_loop().create_future()

        def bar(problem: Unauthenticated) -> None:
            if not barred.done():  # who waits may have been cancelled this very moment
                barred.set_result(problem)

        with self.holding(principal, bar):
            raise await barred

    def _problem(self, principal: Principal) -> Unauthenticated | None:
        if principal.expires_at <= self._now():
            return Unauthenticated("token has expired: sign in again", token=REFUSED)
        if self.revocations.hit(principal):
            return Unauthenticated("token has been revoked: sign in again", token=REFUSED)
        return None

    async def _decode(self, token: str) -> Principal:
        try:
            kid = str(jwt.get_unverified_header(token).get("kid", ""))
            key = await self._key(kid)
            claims = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                issuer=ISSUER,
                # `iat` is compared with revocations only: a clock that is a little behind must not refuse new tokens.
                # `exp` is compared by `_problem`, with the time that the mesh has and not this machine.
                options={"require": ["exp", "iat", "sub", "jti"], "verify_iat": False, "verify_exp": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("token is not valid: sign in again", token=REFUSED) from error
        return Principal(
            user=f"users/{claims['sub']}",
            operator=bool(claims.get("operator", False)),
            tier=str(claims.get("tier", "free")),
            token=token,
            jti=str(claims["jti"]),
            session=str(claims.get("sid", "")),
            issued_at=float(claims["iat"]),
            expires_at=float(claims["exp"]),
        )

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys:
            async with self._fetching:  # one asks; the others wait for its answer, and do not ask again
                if kid not in self._keys:
                    await self._refetch()
        try:
            return self._keys[kid]
        except KeyError:
            raise Unauthenticated("token is signed with an unknown key: sign in again", token=REFUSED) from None

    async def _refetch(self) -> None:
        if self._ticks() - self._asked_at < _ASK_AGAIN_S:
            if self._failed:
                raise Unavailable(self._failed)
            return
        try:
            keys = json.loads(await self._fetch())["keys"]
        except MeshError as error:
            self._failed = f"cannot get the keys that verify tokens: {error}"
            self._asked_at = self._ticks()
            raise Unavailable(self._failed) from error
        # Not in a `finally`: a caller who hangs up while it asks must not leave the others with "unknown key".
        self._keys = {key["kid"]: jwt.PyJWK(key) for key in keys}
        self._failed = ""
        self._asked_at = self._ticks()
