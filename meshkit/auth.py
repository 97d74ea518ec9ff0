"""Who is calling, and whether they may.

Every service verifies tokens itself: a user's ES256 access token against the key set of the auth service, a
peer's service token against the mesh's secret (`meshkit.identity`).  A token is verified once and then remembered by
its hash until it expires; revocations are checked on every call.  The `Auth` interceptor compares the caller with the
method's rule in the contract, so servicers check no roles; they ask `caller()` who it is.
"""

import asyncio
import contextlib
import contextvars
import dataclasses
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import jwt
from mesh.gateway.v1 import options_pb2

from meshkit import identity
from meshkit.errors import Denied, MeshError, NotFound, Unauthenticated, Unavailable
from meshkit.interceptors import AroundInterceptor, Context
from meshkit.rules import rule_of

ISSUER = "agentmesh"
SERVICE_HEADER = "x-mesh-service"
COOKIE = "kodosumi_jwt"
API_KEY_HEADER = "kodosumi_api_key"
_CACHE_MAX = 10_000
_ASK_AGAIN_S = 1.0
_READY_S = 5.0


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
    """The user's access token as it came, to pass on."""
    jti: str = ""
    issued_at: float = 0.0
    expires_at: float = 0.0

    @property
    def sees_all(self) -> bool:
        """Whether ownership does not narrow what the caller sees."""
        return self.operator or (bool(self.service) and not self.user)


NOBODY = Principal()
_caller: contextvars.ContextVar[Principal] = contextvars.ContextVar("caller", default=NOBODY)


def caller() -> Principal:
    """Return who makes the current call."""
    return _caller.get()


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


class Revocations:
    """Tokens that must fail although they are signed and not expired.

    With `complete=False` nobody is let in before `completed` is called: a service that has just started does not know
    yet what was revoked before.
    """

    def __init__(self, *, complete: bool = True) -> None:
        self._tokens: dict[str, float] = {}
        self._users: dict[str, tuple[float, float]] = {}
        self._forget_at = _CACHE_MAX
        self._complete = asyncio.Event()
        if complete:
            self._complete.set()

    def completed(self) -> None:
        """Everything that was revoked so far has been added."""
        self._complete.set()

    async def wait(self) -> None:
        """Wait until `completed`; raise `Unavailable` if that takes too long."""
        if not self._complete.is_set():
            try:
                await asyncio.wait_for(self._complete.wait(), _READY_S)
            except TimeoutError:
                raise Unavailable("the auth service does not answer: try again in a moment") from None

    def add_token(self, jti: str, expires_at: float) -> None:
        """Revoke one token."""
        self._forget_expired()
        self._tokens[jti] = expires_at

    def add_user(self, user: str, issued_at: float, expires_at: float) -> None:
        """Revoke every token of `user` that was issued at or before `issued_at`."""
        self._forget_expired()
        before = self._users.get(user, (0.0, 0.0))
        self._users[user] = (max(before[0], issued_at), max(before[1], expires_at))

    def hit(self, principal: Principal) -> bool:
        """Return whether the caller's token is revoked."""
        if principal.jti in self._tokens:
            return True
        by_user = self._users.get(principal.user)
        return by_user is not None and principal.issued_at <= by_user[0]

    def _forget_expired(self) -> None:
        if len(self._tokens) + len(self._users) < self._forget_at:
            return
        now = time.time()
        self._tokens = {jti: at for jti, at in self._tokens.items() if at > now}
        self._users = {user: times for user, times in self._users.items() if times[1] > now}
        # Not again before as many have come: or each would cost a sweep once that many are alive.
        self._forget_at = _CACHE_MAX + 2 * (len(self._tokens) + len(self._users))


class TokenVerifier:
    """Verifies users' access tokens.

    `fetch_jwks` returns the key set as JSON (RFC 7517); it is asked again when a token names a key that is not known,
    at most once a second.
    """

    def __init__(self, fetch_jwks: Callable[[], Awaitable[str]], revocations: Revocations) -> None:
        self._fetch = fetch_jwks
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
        if principal.expires_at <= time.time():
            raise Unauthenticated("token has expired: sign in again")
        if self.revocations.hit(principal):
            raise Unauthenticated("token has been revoked: sign in again")
        return principal

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
                options={"require": ["exp", "iat", "sub", "jti"], "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated("token is not valid: sign in again") from error
        return Principal(
            user=f"users/{claims['sub']}",
            operator=bool(claims.get("operator", False)),
            tier=str(claims.get("tier", "free")),
            token=token,
            jti=str(claims["jti"]),
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
            raise Unauthenticated("token is signed with an unknown key: sign in again") from None

    async def _refetch(self) -> None:
        if time.monotonic() - self._asked_at < _ASK_AGAIN_S:
            if self._failed:
                raise Unavailable(self._failed)
            return
        try:
            keys = json.loads(await self._fetch())["keys"]
            self._keys = {key["kid"]: jwt.PyJWK(key) for key in keys}
            self._failed = ""
        except MeshError as error:
            self._failed = f"cannot get the keys that verify tokens: {error}"
            raise Unavailable(self._failed) from error
        finally:
            self._asked_at = time.monotonic()


def credential(metadata: Mapping[str, str]) -> str:
    """Return the access token a caller sent, or an empty string.

    Looked for in the header `KODOSUMI_API_KEY`, then `Authorization: Bearer`, then the cookie `kodosumi_jwt`
    (seed: panel API, "Authentication").
    """
    if token := metadata.get(API_KEY_HEADER):
        return token
    scheme, _, token = metadata.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    # By hand, as browsers send it: `http.cookies` gives up at the first cookie of somebody else that it dislikes,
    # and on localhost the cookies of every port come along.
    for pair in metadata.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE and value:
            return value.strip('"')
    return ""


class Auth(AroundInterceptor):
    """Let a call through if its caller satisfies the method's rule, and tell the servicer who it is."""

    def __init__(self, verifier: TokenVerifier, secret: bytes) -> None:
        super().__init__()
        self._verifier = verifier
        self._secret = secret
        self._access: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Raise `Unauthenticated` or `Denied`, or set `caller()` for the call."""
        access = self._access.get(method)
        if access is None:
            access = self._access[method] = rule_of(method).access
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        principal = await self._principal(metadata, optional=access == options_pb2.ACCESS_PUBLIC)
        check_access(principal, access)
        reset = _caller.set(principal)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # a stream may be closed from another context
                _caller.reset(reset)

    async def _principal(self, metadata: Mapping[str, str], *, optional: bool) -> Principal:
        principal = NOBODY
        if token := credential(metadata):
            try:
                principal = await self._verifier.verify(token)
            except Unauthenticated:
                if not optional:
                    raise
        if badge := metadata.get(SERVICE_HEADER):
            kind, _, name = identity.verify_cached(self._secret, badge).partition(":")
            if kind == "service":
                principal = dataclasses.replace(principal, service=name)
            elif kind == "host":
                principal = dataclasses.replace(principal, host=name)
        return principal


def check_access(principal: Principal, access: int) -> None:
    """Raise `Unauthenticated` or `Denied` unless `principal` may call a method with this `Access`."""
    if access == options_pb2.ACCESS_PUBLIC:
        return
    if access == options_pb2.ACCESS_SERVICE:
        if not principal.service:
            raise Denied("only services of this mesh may call this")
    elif access == options_pb2.ACCESS_HOST:
        if not principal.host:
            raise Denied("only hosts of this mesh may call this")
    elif not principal.user and not principal.service:
        raise Unauthenticated("sign in first: no token was sent")
    elif access == options_pb2.ACCESS_OPERATOR and not principal.sees_all:
        raise Denied("only operators may call this")
