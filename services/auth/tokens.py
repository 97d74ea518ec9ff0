"""The signing key, and the tokens made with it.

Access tokens are ES256 JWTs (RFC 7519).  `iat` has a fraction, so that a token issued right after a revocation
is told from one issued right before.  The key is made on first start and named by its thumbprint (RFC 7638).
Signatures are deterministic (RFC 6979): the token of a create that is repeated is signed again, and the same, so that
no store has to keep it.
"""

import base64
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import secrets

import jwt
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import der_to_raw_signature

from meshkit.verifier import ISSUER
from services.auth.config import ConfigError
from services.auth.domain import User

log = structlog.get_logger()


class _Deterministic(jwt.algorithms.ECAlgorithm):
    """ES256 whose nonce comes from key and message, not from chance (RFC 6979)."""

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        signature = key.sign(msg, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        return der_to_raw_signature(signature, key.curve)


class Signer:
    """Signs access tokens with one key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._jws = jwt.PyJWS(algorithms=[])
        self._jws.register_algorithm("ES256", _Deterministic(jwt.algorithms.ECAlgorithm.SHA256))
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        members = {name: public[name] for name in ("crv", "kty", "x", "y")}
        canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
        self.kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")
        self.jwks_json = json.dumps({"keys": [members | {"use": "sig", "alg": "ES256", "kid": self.kid}]})
        """The public key set (RFC 7517)."""

    def sign(
        self, user: User, *, jti: str, session: str, issued_at: datetime.datetime, expires_at: datetime.datetime
    ) -> str:
        """Return an access token: the same for the same arguments.  `session` is empty for an API key."""
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
        return self._jws.encode(payload, self._key, algorithm="ES256", headers={"kid": self.kid})


def new_id() -> str:
    """Return 128 random bits as text, for a `jti` or a session."""
    return secrets.token_urlsafe(16)


def new_refresh_token(session_id: str) -> str:
    """Return a refresh token of a session: its id, to find the chain, and 256 random bits.  Opaque to callers."""
    return f"{session_id}.{secrets.token_urlsafe(32)}"


def digest(refresh_token: str) -> str:
    """Return what a store keeps of a refresh token.  It is random, so a fast hash without salt is enough."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()


def load_signer(folder: pathlib.Path) -> Signer:
    """Return the signer of the key in `folder`, making the key on first use; only its owner can read it.

    Raises `ConfigError` if the file there is not such a key.
    """
    path = folder / "signing_key.pem"
    if not path.exists():
        _make_key(path)
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
    return Signer(key)


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
