"""Revocations of one target are one."""

import datetime

from services.auth import domain
from services.auth.domain import Revocation

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def test_a_merged_revocation_covers_both() -> None:
    """A second revocation does not bring back an API key that only the first one outlives."""
    first = Revocation(user_id="a", issued_at=NOON, expires_at=NOON + 1000 * HOUR)
    second = Revocation(user_id="a", issued_at=NOON + HOUR, expires_at=NOON + 25 * HOUR)

    merged = Revocation(user_id="a", issued_at=NOON + HOUR, expires_at=NOON + 1000 * HOUR)
    assert merged == domain.merge(first, second)
    assert merged == domain.merge(second, first)
    assert first == domain.merge(None, first)
