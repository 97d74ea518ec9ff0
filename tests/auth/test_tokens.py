"""Keys stay secret and stay the same."""

import concurrent.futures
import datetime
import json
import pathlib
import stat

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.auth import tokens
from services.auth.config import ConfigError
from services.auth.domain import User
from tests.auth.helpers import claims

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
_MICRO = datetime.timedelta(microseconds=1)


def test_the_key_is_made_once(tmp_path: pathlib.Path) -> None:
    """However many start at once, all sign with the same; only its owner can read it."""
    folder = tmp_path / "auth"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        kids = {signer.kid for signer in pool.map(tokens.load_signer, [folder] * 16)}

    assert len(kids) == 1
    assert [path.name for path in folder.iterdir()] == ["signing_key.pem"]
    assert stat.S_IMODE((folder / "signing_key.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_that_others_can_read_is_closed(tmp_path: pathlib.Path) -> None:
    """A copy from a backup, say."""
    kid = tokens.load_signer(tmp_path).kid
    (tmp_path / "signing_key.pem").chmod(0o644)

    assert kid == tokens.load_signer(tmp_path).kid
    assert stat.S_IMODE((tmp_path / "signing_key.pem").stat().st_mode) == 0o600


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as in a file."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", pem(rsa.generate_private_key(65537, 2048)), pem(ec.generate_private_key(ec.SECP384R1()))],
    ids=["empty", "nonsense", "rsa", "other curve"],
)
def test_a_file_that_is_no_such_key_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    """It is not overwritten: the message names the file and what to do."""
    (tmp_path / "signing_key.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=r"signing_key\.pem.*move it away"):
        tokens.load_signer(tmp_path)

    assert content == (tmp_path / "signing_key.pem").read_bytes()


def test_a_token_verifies_with_the_public_keys(tmp_path: pathlib.Path) -> None:
    """Which hold nothing private; the session is in the token, unless it is an API key."""
    signer = tokens.load_signer(tmp_path)
    user = User(user_id="u", login="ada", email="a@b", password_hash="", created_at=NOON)
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(microseconds=1)
    until = at + datetime.timedelta(hours=1)
    token = signer.sign(user, jti="j", session="s", issued_at=at, expires_at=until)
    found = claims(token, signer.jwks_json)

    assert set(found) == {"iss", "sub", "login", "operator", "tier", "iat", "exp", "jti", "sid"}
    assert at == datetime.datetime.fromtimestamp(found["iat"], datetime.UTC)
    assert "s" == found["sid"]
    of_a_key = signer.sign(user, jti="j", session="", issued_at=at, expires_at=until)
    assert "sid" not in claims(of_a_key, signer.jwks_json)
    assert set(json.loads(signer.jwks_json)["keys"][0]) == {"crv", "kty", "x", "y", "use", "alg", "kid"}


def test_refresh_tokens_are_long_and_different() -> None:
    """Two of the same session share nothing but its id."""
    first, second = tokens.new_refresh_token("s", b"k"), tokens.new_refresh_token("s", b"k")

    assert first != second
    assert first.startswith("s.")
    assert len(first) >= 43
    assert tokens.digest(first) != tokens.digest(second)


def test_a_refresh_token_of_ours_is_known() -> None:
    """By its mark: nobody makes one up, nor one of another session."""
    ours = tokens.new_refresh_token("s", b"k")

    assert tokens.is_marked(ours, b"k")
    assert not tokens.is_marked(ours, b"another")
    for other in (ours[:-1], f"x{ours}", "", "s", "s.x", "s.x.", "s.x.ü", tokens.digest(ours)):
        assert not tokens.is_marked(other, b"k")


def test_the_same_token_is_signed_alike(tmp_path: pathlib.Path) -> None:
    """Whoever repeats a create gets the token again, though it is kept nowhere."""
    ada = User(user_id="u1", login="ada", email="ada@example.com", password_hash="h", created_at=NOON)
    hour = datetime.timedelta(hours=1)

    def sign(jti: str) -> str:
        signer = tokens.load_signer(tmp_path)
        return signer.sign(ada, jti=jti, session="", issued_at=NOON, expires_at=NOON + hour)

    assert sign("j1") == sign("j1")
    assert sign("j1") != sign("j2")


def test_each_token_is_signed_by_the_key_of_its_time(tmp_path: pathlib.Path) -> None:
    """So a create that is repeated after a rotation gets the same token; both verify; a broken key changes nothing."""
    ada = User(user_id="u1", login="ada", email="ada@example.com", password_hash="h", created_at=NOON)
    until = NOON + datetime.timedelta(days=400)
    signer = tokens.load_signer(tmp_path)

    def sign(at: datetime.datetime) -> str:
        return signer.sign(ada, jti="j", session="", issued_at=at, expires_at=until)

    before = sign(NOON)
    later = NOON + datetime.timedelta(hours=1)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / f"signing_key.{round(later.timestamp()) * 1_000_000}.pem").write_bytes(pem(key))

    assert signer.reload()
    assert not signer.reload()
    assert before == sign(NOON)
    kids = {jwt.get_unverified_header(sign(at))["kid"] for at in (NOON, later - _MICRO, later, until)}
    assert kids == {each["kid"] for each in json.loads(signer.jwks_json)["keys"]}
    assert jwt.get_unverified_header(sign(later))["kid"] == signer.kid
    assert jwt.get_unverified_header(sign(later - _MICRO))["kid"] != signer.kid
    (tmp_path / "signing_key.99.pem").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"signing_key\.99\.pem"):
        signer.reload()
    assert before == sign(NOON)


def test_a_key_is_forgotten_when_all_that_it_signed_has_expired(tmp_path: pathlib.Path) -> None:
    """An API key lives ten years at most."""
    tokens.load_signer(tmp_path)
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / f"signing_key.{round(long_ago.timestamp()) * 1_000_000}.pem").write_bytes(pem(key))

    assert 1 == len(json.loads(tokens.load_signer(tmp_path).jwks_json)["keys"])
