"""Services recognise each other by a shared secret."""

import concurrent.futures
import dataclasses
import pathlib
import stat
import time
from typing import Any

import jwt
import pytest

from meshkit import identity
from meshkit.errors import Unauthenticated
from meshkit.identity import Badges, ServiceIdentity
from meshkit.principal import GUEST, LOCAL, NOBODY, Principal

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


def claims(**given: Any) -> str:
    """Return a badge with claims of our own."""
    usual = {"iss": "agentmesh-service", "sub": "service:gateway", "aud": "runner", "exp": time.time() + 60}
    kept = {name: value for name, value in {**usual, **given}.items() if value is not None}
    return jwt.encode(kept, SECRET, algorithm="HS256")


def test_a_badge_names_who_calls() -> None:
    """What was signed comes out."""
    badges = Badges(SECRET, "runner")

    assert Principal(service="gateway") == badges.verify(ServiceIdentity(SECRET, "gateway").badge("runner"))
    assert Principal(host="h1") == badges.verify(identity.sign(SECRET, "host:h1", "runner", ttl_s=60))


@pytest.mark.parametrize(
    "user",
    [
        Principal(user="users/u1", operator=True, tier="pro", jti="j1", session="s1", issued_at=1.25, expires_at=2e9),
        Principal(user="users/u2", jti="j2", issued_at=1.0, expires_at=3e9),
        GUEST,
        LOCAL,
    ],
    ids=["operator", "API key", "guest", "of this machine"],
)
def test_a_badge_names_for_whom_a_service_calls(user: Principal) -> None:
    """All that the user's token said, without the token; not from where the user called."""
    who = ServiceIdentity(SECRET, "gateway")
    badge = who.badge("runner", dataclasses.replace(user, token="a.b.c", address="192.0.2.1", service="edge"))

    assert dataclasses.replace(user, service="gateway") == Badges(SECRET, "runner").verify(badge)


@pytest.mark.parametrize(
    ("badge", "words"),
    [
        ("", "not valid"),
        ("x.y.z", "not valid"),
        (identity.sign(b"o" * 32, "service:gateway", "runner"), "not valid"),
        (identity.sign(SECRET, "service:gateway", "runner", ttl_s=-1), "has expired"),
        (identity.sign(SECRET, "service:gateway", "auth"), "not for this service, runner"),
        (identity.sign(SECRET, "host:h1", "auth"), "not for this service, runner"),
        (identity.sign(SECRET, "users/u1", "runner"), "of nobody"),
        (claims(exp=None), "not valid"),
        (claims(sub=None), "not valid"),
        (claims(aud=None), "not valid"),
        (claims(aud=["auth", "registry"]), "not for this service"),
        (claims(iss="agentmesh"), "not valid"),
        (
            jwt.encode({"iss": "agentmesh-service", "sub": "service:x", "aud": "runner"}, "", algorithm="none"),
            "not valid",
        ),
    ],
    ids=[
        "empty",
        "garbage",
        "other secret",
        "expired",
        "of a service for another",
        "of a host for another",
        "of a user",
        "endless",
        "of nobody",
        "for nobody",
        "for others",
        "other issuer",
        "unsigned",
    ],
)
def test_a_bad_badge_is_refused(badge: str, words: str) -> None:
    """As often as it is shown; what is wrong with it is said."""
    badges = Badges(SECRET, "runner")
    for _ in range(2):
        with pytest.raises(Unauthenticated, match=words):
            badges.verify(badge)


def test_a_badge_that_is_known_expires_all_the_same() -> None:
    """It is remembered, and looked at again each time."""
    clock = [time.time()]
    badges = Badges(SECRET, "runner", now=lambda: clock[0])
    badge = identity.sign(SECRET, "service:gateway", "runner", now=clock[0])
    assert "gateway" == badges.verify(badge).service

    clock[0] += identity.TTL_S

    with pytest.raises(Unauthenticated, match="has expired"):
        badges.verify(badge)


def test_a_badge_lives_minutes() -> None:
    """It is no secret for long."""
    badge = ServiceIdentity(SECRET, "gateway").badge("runner")

    assert time.time() + 150 > identity.verify(SECRET, badge, "runner").expires_at


def test_a_clock_that_is_a_little_behind_does_not_matter() -> None:
    """A badge from a machine whose clock is ahead holds."""
    now = time.time() + 30

    assert "gateway" == Badges(SECRET, "runner").verify(claims(iat=now, exp=now + 120)).service


@pytest.mark.parametrize("jump_s", [600, -600, 3600, -3600, 86400, -86400, 40 * 86400])
def test_a_badge_is_renewed_when_the_clock_is_set(jump_s: float) -> None:
    """It is judged by the clock, so a service that went by another would be shut out for as long as that takes."""
    clock = [time.time() - jump_s]
    who = ServiceIdentity(SECRET, "gateway", now=lambda: clock[0])
    before = who.badge("runner")
    clock[0] += jump_s

    assert before != who.badge("runner")
    assert "gateway" == Badges(SECRET, "runner").verify(who.badge("runner")).service


def test_a_service_keeps_its_badges_for_a_while() -> None:
    """Signing is not paid for on each call; each callee and each user has one."""
    who = ServiceIdentity(SECRET, "gateway")

    assert who.badge("runner") is who.badge("runner")
    assert who.badge("runner", GUEST) is who.badge("runner", GUEST)
    assert 4 == len({who.badge(callee, user) for callee in ("auth", "runner") for user in (NOBODY, GUEST)})
