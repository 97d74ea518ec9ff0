"""What a change of a user brings with it."""

import datetime

import pytest

from meshkit.errors import FailedPrecondition
from services.auth import domain
from services.auth.domain import Tier, User, UserChange

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
ADA = User(user_id="a", login="ada", email="ada@example.com", password_hash="h", operator=True, created_at=NOON)


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


def test_a_users_revocation_outlives_all_they_hold() -> None:
    """Access tokens live a day at most, API keys longer."""
    assert domain.user_revocation("a", NOON, None).expires_at == NOON + 24 * HOUR
    assert domain.user_revocation("a", NOON, NOON + HOUR).expires_at == NOON + 24 * HOUR
    assert domain.user_revocation("a", NOON, NOON + 99 * HOUR).expires_at == NOON + 99 * HOUR


def test_hashes_are_not_shown() -> None:
    """A user in a log line has no password hash."""
    assert "password_hash" not in repr(ADA)
    assert "secret" not in repr(UserChange(password_hash="secret"))
