"""The rules of users and sessions."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit.errors import FailedPrecondition, Invalid
from services.auth import domain
from services.auth.domain import Revocation, Session, Tier, User, UserChange

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
ADA = User(user_id="a", login="ada", email="ada@example.com", password_hash="h", operator=True, created_at=NOON)


@pytest.mark.parametrize("login", ["a", "ada.l", "ada@example.com", "Ada Lovelace", "ädä", "名前", "x" * 64])
def test_good_logins(login: str) -> None:
    """Most things that people call themselves."""
    domain.check_fields({"login": login})


@pytest.mark.parametrize(
    "login",
    ["", " ", " ada", "ada ", "a/b", "a\nb", "a\x00b", "x" * 65, "38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc", "\u202eada"],
)
def test_bad_logins(login: str) -> None:
    """What cannot be typed, told apart or put into a resource name; a UUID names a user already."""
    with pytest.raises(Invalid) as caught:
        domain.check_fields({"login": login})

    assert list(caught.value.fields) == ["login"]


@pytest.mark.parametrize("email", ["a@b", "ada@example.com", "a.b+c@sub.example.co.uk", "ä@münchen.de"])
def test_good_emails(email: str) -> None:
    """Anything of the form."""
    domain.check_fields({"email": email})


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "a b@example.com", "a@b@c", "a@b..c", "a@.b", f"a@{'x' * 260}"]
)
def test_bad_emails(email: str) -> None:
    """What cannot be an address."""
    with pytest.raises(Invalid):
        domain.check_fields({"email": email})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=2000))
def test_passwords_are_bounded_in_bytes(password: str) -> None:
    """Any text of 1 to 1024 bytes is a password."""
    good = 1 <= len(password.encode()) <= 1024
    if good:
        domain.check_fields({"password": password})
    else:
        with pytest.raises(Invalid):
            domain.check_fields({"password": password})


def test_every_wrong_field_is_named_at_once() -> None:
    """A form can show all that is wrong."""
    with pytest.raises(Invalid) as caught:
        domain.check_fields({"login": "", "email": "x", "password": "good", "display_name": " "})

    assert set(caught.value.fields) == {"login", "email", "display_name"}


@pytest.mark.parametrize(
    ("change", "revokes"),
    [
        (UserChange(), False),
        (UserChange(login="b", email="b@c", tier=Tier.PRO), False),
        (UserChange(active=True, operator=True), False),
        (UserChange(password_hash="other"), True),
        (UserChange(active=False), True),
        (UserChange(operator=False), True),
    ],
)
def test_what_ends_a_users_tokens(change: UserChange, revokes: bool) -> None:
    """A new password, and any right that a token says and the user has no more."""
    assert revokes is domain.revokes(ADA, change.applied_to(ADA))


def test_a_deletion_ends_a_users_tokens() -> None:
    """Of course."""
    assert domain.revokes(ADA, None)


@pytest.mark.parametrize(
    "after", [None, UserChange(active=False).applied_to(ADA), UserChange(operator=False).applied_to(ADA)]
)
def test_an_operator_stays(after: User | None) -> None:
    """The last one cannot be deleted, put to sleep or demoted; one of two can."""
    domain.check_operator_stays(ADA, after, others=1)
    with pytest.raises(FailedPrecondition):
        domain.check_operator_stays(ADA, after, others=0)


def test_who_was_no_operator_may_go() -> None:
    """Other users, and operators who were inactive, are not counted."""
    asleep = UserChange(active=False).applied_to(ADA)
    domain.check_operator_stays(asleep, None, others=0)
    domain.check_operator_stays(UserChange(operator=False).applied_to(ADA), None, others=0)


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
    session = Session(session_id="s", user_id="a", token_hash="", access_ttl_s=60, issued_at=NOON, expires_at=NOON)
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
    session = Session(session_id="s", user_id="a", token_hash="", access_ttl_s=60, issued_at=NOON, expires_at=NOON)
    failed = []
    for number in range(domain.ACCESS_PER_SESSION_MAX + 2):
        session, surplus = session.issue("h", f"j{number}", NOON)
        failed += surplus

    assert [revocation.jti for revocation in failed] == ["j0", "j1"]
    assert len(session.access) == domain.ACCESS_PER_SESSION_MAX


def test_a_merged_revocation_covers_both() -> None:
    """A second revocation does not bring back an API key that only the first one outlives."""
    first = Revocation(user_id="a", issued_at=NOON, expires_at=NOON + 1000 * HOUR)
    second = Revocation(user_id="a", issued_at=NOON + HOUR, expires_at=NOON + 25 * HOUR)

    merged = Revocation(user_id="a", issued_at=NOON + HOUR, expires_at=NOON + 1000 * HOUR)
    assert merged == domain.merge(first, second)
    assert merged == domain.merge(second, first)
    assert first == domain.merge(None, first)


def test_a_users_revocation_outlives_all_they_hold() -> None:
    """Access tokens live a day at most, API keys longer."""
    assert domain.user_revocation("a", NOON, None).expires_at == NOON + 24 * HOUR
    assert domain.user_revocation("a", NOON, NOON + HOUR).expires_at == NOON + 24 * HOUR
    assert domain.user_revocation("a", NOON, NOON + 99 * HOUR).expires_at == NOON + 99 * HOUR


def test_hashes_are_not_shown() -> None:
    """A user in a log line has no password hash."""
    assert "password_hash" not in repr(ADA)
    assert "secret" not in repr(UserChange(password_hash="secret"))
