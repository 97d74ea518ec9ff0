"""Who a service of this mesh is, to its peers, and for whom it calls.

All services of one mesh share a secret (a file that only their user can read).  A *badge* is an HS256 JWT over it,
which says who calls, and whom (its audience): caught by one service, it is good for no other.  It lives two minutes; no
service has to be up for another to be recognised.  A service that acts for a user says so in its badge, as the user's
token said it: the token itself goes no further than to the service that it was sent to.  A host gets a badge of the
same make, which names the host, from the runner.
"""

import dataclasses
import math
import pathlib
import secrets
from typing import Any

import jwt
from jwt.types import Options

from meshkit import clock
from meshkit.errors import Unauthenticated
from meshkit.principal import NOBODY, WITHOUT_TOKEN, Principal
from meshkit.secrets import write_once

SERVICE_HEADER = "x-mesh-service"
"""Where a badge is sent."""
TTL_S = 120
_ISSUER = "agentmesh-service"
_SECRET_BYTES_MIN = 32  # RFC 7518 §3.2
_CACHE_MAX = 4096
_SERVICE, _HOST = "service:", "host:"


def load_secret(path: pathlib.Path) -> bytes:
    """Return the mesh's secret, making it on first use.  The file is readable by its owner only.

    Raises `ValueError` if what is there is too short to be one.
    """
    if not path.exists():
        write_once(path, secrets.token_hex(32).encode())
    secret = path.read_bytes().strip()
    if len(secret) < _SECRET_BYTES_MIN:
        raise ValueError(f"{path.name} has fewer than {_SECRET_BYTES_MIN} bytes: delete it, and a new one is made")
    return secret


class Expired(Unauthenticated):
    """A badge was good, and is no more: or its bearer has yet to hear what time it is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Badge:
    """A badge that was verified."""

    caller: Principal
    """The service, with the user for whom it calls if there is one; or the host."""
    expires_at: float


def sign(
    secret: bytes,
    subject: str,
    audience: str,
    ttl_s: float = TTL_S,
    *,
    user: Principal = NOBODY,
    now: float | None = None,
) -> str:
    """Return a badge of `subject`, `service:runner` or `host:{id}`, for the service `audience`.

    `user` is for whom a service calls; `now` is the time, if not the machine's.
    """
    now = clock.now() if now is None else now
    claims: dict[str, Any] = {"iss": _ISSUER, "sub": subject, "aud": audience, "iat": now, "exp": now + ttl_s}
    if user.user:
        claims["for"] = _claims_of(user)
    return jwt.encode(claims, secret, algorithm="HS256")


def verify(secret: bytes, badge: str, audience: str) -> Badge:
    """Return what a badge says, expired or not; raise `Unauthenticated` if it is forged or not for us."""
    try:
        # `iat` is not checked: clocks of two machines differ a little.
        options: Options = {"require": ["exp", "sub", "aud"], "verify_iat": False, "verify_exp": False}
        claims = jwt.decode(badge, secret, algorithms=["HS256"], issuer=_ISSUER, audience=audience, options=options)
    except jwt.InvalidAudienceError as error:
        raise Unauthenticated(f"the badge is not for this service, {audience}") from error
    except jwt.PyJWTError as error:
        raise Unauthenticated("the badge is not valid") from error
    subject = str(claims["sub"])
    expires_at = float(claims["exp"])
    if subject.startswith(_HOST):
        return Badge(Principal(host=subject.removeprefix(_HOST)), expires_at)
    if not subject.startswith(_SERVICE):
        raise Unauthenticated("the badge is of nobody that is known here")
    user = _user_of(claims.get("for") or {})
    return Badge(dataclasses.replace(user, service=subject.removeprefix(_SERVICE)), expires_at)


class Badges:
    """Verifies the badges that are shown to one service, each once, and then remembers it until it expires."""

    def __init__(self, secret: bytes, audience: str, now: clock.Now = clock.now) -> None:
        self._secret = secret
        self._audience = audience
        self._now = now
        self._known: dict[str, Badge] = {}

    def verify(self, badge: str) -> Principal:
        """Return who shows a badge; raise `Unauthenticated` if it is forged, for another service, or has expired."""
        known = self._known.get(badge)
        if known is None:
            known = verify(self._secret, badge, self._audience)
            if len(self._known) >= _CACHE_MAX:
                self._known.clear()
            self._known[badge] = known
        if known.expires_at <= self._now():
            raise Expired("the badge has expired")
        return known.caller


class ServiceIdentity:
    """Signs for one service; a badge is used for half its life, as the clock has it by which it is verified."""

    def __init__(self, secret: bytes, service: str, now: clock.Now = clock.now) -> None:
        self._secret = secret
        self._subject = f"{_SERVICE}{service}"
        self._now = now
        self._signed: dict[tuple[str, Principal], tuple[str, float]] = {}

    def badge(self, audience: str, user: Principal = NOBODY) -> str:
        """Return a badge that is good for at least half its life, though the clock was set a moment ago."""
        now = self._now()
        badge, signed_at = self._signed.get((audience, user), ("", -math.inf))
        if not signed_at <= now < signed_at + TTL_S / 2:
            badge = sign(self._secret, self._subject, audience, user=user, now=now)
            if len(self._signed) >= _CACHE_MAX:
                self._signed.clear()
            self._signed[audience, user] = (badge, now)
        return badge


def _claims_of(user: Principal) -> dict[str, Any]:
    if user.user in WITHOUT_TOKEN:
        return {"user": user.user}
    return {
        "user": user.user,
        "operator": user.operator,
        "tier": user.tier,
        "jti": user.jti,
        "session": user.session,
        "issued_at": user.issued_at,
        "expires_at": user.expires_at,
    }


def _user_of(claims: dict[str, Any]) -> Principal:
    return WITHOUT_TOKEN.get(claims.get("user", "")) or Principal(**claims)
