"""Who a service of this mesh is, to its peers.

All services of one mesh share a secret (a file that only their user can read).  A service token is an HS256 JWT over it
that names the service and lives a few minutes; no service has to be up for another to be recognised.  A host gets
a token of the same make that names the host, from the runner.
"""

import functools
import math
import pathlib
import secrets

import jwt
from jwt.types import Options

from meshkit import clock
from meshkit.errors import Unauthenticated
from meshkit.secrets import write_once

SERVICE_HEADER = "x-mesh-service"
GUEST_HEADER = "x-mesh-guest"
"""Beside a service token: for whom without a login the service calls (`meshkit.principal.WITHOUT_TOKEN`)."""
TTL_S = 300
_ISSUER = "agentmesh-service"
_SECRET_BYTES_MIN = 32  # RFC 7518 §3.2


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


def sign(secret: bytes, subject: str, ttl_s: float = TTL_S, *, now: float | None = None) -> str:
    """Return a token for `subject`: `service:runner` or `host:{id}`; `now` is the time, if not the machine's."""
    now = clock.now() if now is None else now
    return jwt.encode({"iss": _ISSUER, "sub": subject, "iat": now, "exp": now + ttl_s}, secret, algorithm="HS256")


def verify(secret: bytes, token: str) -> str:
    """Return the subject, or raise `Unauthenticated`."""
    try:
        # `iat` is not checked: clocks of two machines differ a little.
        options: Options = {"require": ["exp", "sub"], "verify_iat": False}
        return str(jwt.decode(token, secret, algorithms=["HS256"], issuer=_ISSUER, options=options)["sub"])
    except jwt.PyJWTError as error:
        raise Unauthenticated("service token is not valid") from error


class ServiceIdentity:
    """Signs for one service; a token is used for half its life, as the clock has it by which it is verified."""

    def __init__(self, secret: bytes, service: str, now: clock.Now = clock.now) -> None:
        self._secret = secret
        self._subject = f"service:{service}"
        self._now = now
        self._token = ""
        self._signed_at = -math.inf

    def token(self) -> str:
        """Return a token that is good for at least half its life, though the clock was set a moment ago."""
        now = self._now()
        if not self._signed_at <= now < self._signed_at + TTL_S / 2:
            self._token = sign(self._secret, self._subject, now=now)
            self._signed_at = now
        return self._token


@functools.lru_cache(maxsize=256)
def _verified(secret: bytes, token: str, _minute: int) -> str:
    return verify(secret, token)


def verify_cached(secret: bytes, token: str) -> str:
    """As `verify`, at most once a minute for each token."""
    return _verified(secret, token, int(clock.now() // 60))
