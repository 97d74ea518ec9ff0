"""The signing keys, and the tokens made with them.

Access tokens are ES256 JWTs (RFC 7519).  `iat` has a fraction, so that a token issued right after a revocation
is told from one issued right before.  The first key is made on first start; each is named by its thumbprint (RFC 7638).
A key that takes over lies beside it, and the microsecond from which it signs is in its name: it is there, and verifies,
some time before, so that everybody who verifies has heard of it.  What was signed before is verified by the key of its
time, for as long as a token may live.
Signatures are deterministic (RFC 6979): the token of a create that is repeated is signed again, and the same, so that
no store has to keep it.
"""

import asyncio
import base64
import contextlib
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import re
import secrets

import jwt
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import der_to_raw_signature

from meshkit import clock
from meshkit.verifier import ISSUER
from services.auth.config import ConfigError
from services.auth.domain import KEY_TTL_MAX_DAYS, User

log = structlog.get_logger()
_NAME = re.compile(r"signing_key(\.(?P<micros>[0-9]{1,18}))?\.pem")
_LOOK_S = 5.0
"""How often keys are looked for: much oftener than the time that a new one is there before it signs."""


class _Deterministic(jwt.algorithms.ECAlgorithm):
    """ES256 whose nonce comes from key and message, not from chance (RFC 6979)."""

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        signature = key.sign(msg, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return der_to_raw_signature(signature, key.curve)


class Key:
    """A key, and from when on it signs."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, signs_from: int = 0) -> None:
        self.private = private
        self.signs_from = signs_from
        """In microseconds since 1970."""
        public = jwt.algorithms.ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        members = {name: public[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
        self.kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")
        self.public = members | {"use": "sig", "alg": "ES256", "kid": self.kid}


class Signer:
    """Signs access tokens with the key of their time."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Load the keys in `folder`.  Raises `ConfigError` if a file there is not such a key."""
        self._folder = folder
        self._jws = jwt.PyJWS(algorithms=[])
        self._jws.register_algorithm("ES256", _Deterministic(jwt.algorithms.ECAlgorithm.SHA256))
        self._names: list[str] = []
        self._keys: list[Key] = []
        self.jwks_json = ""
        """The public key set (RFC 7517)."""
        self.reload()

    @property
    def kid(self) -> str:
        """The name of the key that signs last."""
        return self._keys[-1].kid

    def reload(self) -> bool:
        """Look for keys that have come; return whether there are any.  Raises `ConfigError`, and keeps what it has."""
        names = sorted(path.name for path in self._folder.glob("signing_key*.pem"))
        if names == self._names:
            return False
        keys = sorted((_load(self._folder / name) for name in names), key=lambda key: key.signs_from)
        longest_ago = clock.micros(clock.utc_now() - datetime.timedelta(days=KEY_TTL_MAX_DAYS))
        over = sum(following.signs_from < longest_ago for following in keys[1:])  # all that they signed has expired
        self._names, self._keys = names, keys[over:]
        self.jwks_json = json.dumps({"keys": [key.public for key in self._keys]})
        return True

    def sign(
        self, user: User, *, jti: str, session: str, issued_at: datetime.datetime, expires_at: datetime.datetime
    ) -> str:
        """Return an access token: the same for the same arguments.  `session` is empty for an API key."""
        at = clock.micros(issued_at)
        key = next((key for key in reversed(self._keys) if key.signs_from <= at), self._keys[0])
        claims = {
            "iss": ISSUER,
            "sub": user.user_id,
            "login": user.login,
            "operator": user.operator,
            "tier": user.tier.value,
            "iat": issued_at.timestamp(),
            "exp": int(expires_at.timestamp()),
            "jti": jti,
        }
        if session:
            claims["sid"] = session
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return self._jws.encode(payload, key.private, algorithm="ES256", headers={"kid": key.kid})


def new_id() -> str:
    """Return 128 random bits as text, for a `jti` or a session."""
    return secrets.token_urlsafe(16)


def new_refresh_token(session_id: str, secret: bytes) -> str:
    """Return a refresh token of a session: its id, to find the chain, 256 random bits, and our mark on both.

    Opaque to callers.
    """
    text = f"{session_id}.{secrets.token_urlsafe(32)}"
    return f"{text}.{_mark(text, secret)}"


def is_marked(refresh_token: str, secret: bytes) -> bool:
    """Return whether a refresh token was issued by us: of those that work no more no store knows that."""
    text, _, mark = refresh_token.rpartition(".")
    return hmac.compare_digest(mark.encode(), _mark(text, secret).encode())


def _mark(text: str, secret: bytes) -> str:
    mac = hmac.digest(secret, b"refresh token\0" + text.encode(), "sha256")[:16]
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def digest(refresh_token: str) -> str:
    """Return what a store keeps of a refresh token.  It is random, so a fast hash without salt is enough."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()


def load_signer(folder: pathlib.Path) -> Signer:
    """Return the signer of the keys in `folder`, making the first on first use; only its owner can read them.

    Raises `ConfigError` if a file there is not such a key.
    """
    path = folder / "signing_key.pem"
    if not path.exists():
        _make_key(path)
    return Signer(folder)


async def follow(signer: Signer) -> None:
    """Take up keys that come, for ever.  One that cannot be used is said in the log, and those before go on."""
    said = ""
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            if await asyncio.to_thread(signer.reload):
                log.info("signing keys have changed", kid=signer.kid)
            said = ""
        except ConfigError as error:
            if str(error) != said:
                log.error("a new signing key cannot be used", why=str(error))
            said = str(error)


def _load(path: pathlib.Path) -> Key:
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise ConfigError(f"agentmesh: auth/{path.name} is named like no signing key; move it away")
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            log.warning("signing key was readable by others; closed", mode=oct(mode))
            path.chmod(0o600)
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"agentmesh: cannot use auth/{path.name}: {error}; restore it or move it away") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"agentmesh: auth/{path.name} is not a P-256 key; restore it or move it away")
    return Key(key, int(name["micros"] or 0))


def _make_key(path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Aside, then linked: a crash leaves no half a key, and of two starts one wins.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
