"""How long tokens live, and what a session knows of its own."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import Invalid
from services.auth import domain
from services.auth.domain import Session

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)


def begun() -> Session:
    """Return a session that has no tokens yet."""
    return Session(
        session_id="s",
        user_id="a",
        token_hash="",
        access_ttl_s=60,
        created_at=NOON,
        issued_at=NOON,
        used_at=NOON,
        expires_at=NOON,
    )


@given(st.integers(-(2**31), 2**31 - 1))
def test_lifetimes_are_bounded(number: int) -> None:
    """Zero takes the default; what is out of range is refused."""
    if 0 <= number <= 86_400:
        assert domain.access_ttl_s(number) == (number or 900)
    else:
        with pytest.raises(Invalid, match="access_ttl_s"):
            domain.access_ttl_s(number)
    if 0 <= number <= 3650:
        assert domain.key_ttl(number).days == (number or 365)
    else:
        with pytest.raises(Invalid, match="ttl_days"):
            domain.key_ttl(number)


def test_a_session_knows_its_live_access_tokens() -> None:
    """What has expired is dropped, and what has not fails when the session ends."""
    session = begun()
    session, _ = session.issue("h1", "j1", NOON)
    session, _ = session.issue("h2", "j2", NOON + datetime.timedelta(seconds=50))
    now = NOON + datetime.timedelta(seconds=70)
    ended = session.end(now)
    session, surplus = session.issue("h3", "j3", now)

    assert [revocation.jti for revocation in ended] == ["j2"]
    assert [jti for jti, _ in session.access] == ["j2", "j3"]
    assert surplus == []
    assert session.expires_at == now + domain.REFRESH_TTL


def test_a_session_has_a_bounded_number_of_access_tokens() -> None:
    """The oldest fail when there are more: none lives on that the session does not know of."""
    session = begun()
    failed = []
    for number in range(domain.ACCESS_PER_SESSION_MAX + 2):
        session, surplus = session.issue("h", f"j{number}", NOON)
        failed += surplus

    assert [revocation.jti for revocation in failed] == ["j0", "j1"]
    assert len(session.access) == domain.ACCESS_PER_SESSION_MAX


def test_without_a_refresh_token_a_session_ends_with_its_access_token() -> None:
    """Nothing would be left of it that works."""
    session, _ = begun().start("j1", NOON)

    assert session.expires_at == NOON + datetime.timedelta(seconds=60)
    assert session.created_at == session.used_at == NOON
