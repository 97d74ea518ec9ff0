"""Services recognise each other by a shared secret."""

import concurrent.futures
import pathlib
import stat
import time

import jwt
import pytest

from meshkit import identity
from meshkit.errors import Unauthenticated

SECRET = b"s" * 32


def test_the_secret_is_made_once(tmp_path: pathlib.Path) -> None:
    """Many services that start together agree on one, readable by its owner only, and leave no drafts."""
    path = tmp_path / "new" / "mesh.secret"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = set(pool.map(identity.load_secret, [path] * 64))

    assert len(found) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path] == list(path.parent.iterdir())


def test_a_broken_secret_is_refused(tmp_path: pathlib.Path) -> None:
    """An empty file, from a full disk perhaps, is not a secret that everybody knows."""
    path = tmp_path / "mesh.secret"
    path.write_bytes(b"")

    with pytest.raises(ValueError, match="delete it"):
        identity.load_secret(path)


def test_a_token_names_its_service() -> None:
    """What was signed comes out."""
    assert identity.verify(SECRET, identity.ServiceIdentity(SECRET, "runner").token()) == "service:runner"
    assert identity.verify(SECRET, identity.sign(SECRET, "host:h1", ttl_s=60)) == "host:h1"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        identity.sign(b"o" * 32, "service:runner"),
        identity.sign(SECRET, "service:runner", ttl_s=-1),
        jwt.encode({"iss": "agentmesh-service", "sub": "service:runner"}, SECRET, algorithm="HS256"),
        jwt.encode({"iss": "agentmesh-service", "exp": time.time() + 60}, SECRET, algorithm="HS256"),
        jwt.encode({"iss": "agentmesh", "sub": "service:x", "exp": time.time() + 60}, SECRET, algorithm="HS256"),
        jwt.encode({"iss": "agentmesh-service", "sub": "service:x", "exp": time.time() + 60}, "", algorithm="none"),
    ],
    ids=["empty", "garbage", "other secret", "expired", "endless", "nobody", "other issuer", "unsigned"],
)
def test_a_bad_token_is_refused(token: str) -> None:
    """Whatever is wrong with it, the error is the same."""
    with pytest.raises(Unauthenticated):
        identity.verify(SECRET, token)
    with pytest.raises(Unauthenticated):
        identity.verify_cached(SECRET, token)


def test_a_clock_that_is_a_little_behind_does_not_matter() -> None:
    """A token from a machine whose clock is ahead holds."""
    now = time.time() + 30
    claims = {"iss": "agentmesh-service", "sub": "service:x", "iat": now, "exp": now + 300}

    assert identity.verify(SECRET, jwt.encode(claims, SECRET, algorithm="HS256")) == "service:x"


@pytest.mark.parametrize("jump_s", [600, -600, 3600, -3600, 86400, -86400, 40 * 86400])
def test_a_token_is_renewed_when_the_clock_is_set(jump_s: float) -> None:
    """It is judged by the clock, so a service that went by another would be shut out for as long as that takes."""
    clock = [time.time() - jump_s]
    who = identity.ServiceIdentity(SECRET, "runner", now=lambda: clock[0])
    before = who.token()
    clock[0] += jump_s

    assert before != who.token()
    assert "service:runner" == identity.verify(SECRET, who.token())


def test_a_service_keeps_its_token_for_a_while() -> None:
    """Signing is not paid for on each call."""
    who = identity.ServiceIdentity(SECRET, "runner")

    assert who.token() is who.token()
