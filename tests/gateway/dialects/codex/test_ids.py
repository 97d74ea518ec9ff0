"""GUIDs of jobs, there and back."""

import uuid

import hypothesis
import pytest
from hypothesis import strategies

from gateway.dialects.codex import ids
from meshkit.errors import NotFound

JOBS = strategies.text("0123456789abcdef", min_size=24, max_size=24)


@hypothesis.given(JOBS, JOBS)
def test_a_job_has_one_guid(one: str, other: str) -> None:
    """A UUID in canonical form that leads back, and sorts as the job does."""
    guid = ids.of_job(f"jobs/{one}")

    assert str(uuid.UUID(guid)) == guid
    assert (uuid.UUID(guid).version, uuid.UUID(guid).variant) == (8, uuid.RFC_4122)
    assert ids.job(guid) == f"jobs/{one}"
    assert (guid < ids.of_job(f"jobs/{other}")) == (one < other)


@hypothesis.given(strategies.uuids(allow_nil=True))
def test_other_guids_are_no_jobs(other: uuid.UUID) -> None:
    """They lead nowhere."""
    hypothesis.assume(other.version != 8)
    with pytest.raises(NotFound):
        ids.job(str(other))
