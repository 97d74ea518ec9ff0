"""Submitters of a crowd."""

import itertools
from typing import Any

import pytest

from benchmarks import crowds
from benchmarks.http import Failed
from tests.benchmarks.server import serving


async def test_a_submitter_comes_again_when_it_is_asked_to() -> None:
    """After a 503, or a 201 without a job, the body is sent until it is taken, and the figure knows how often."""
    posts = itertools.count()

    def answer(_: str, __: str) -> tuple[int, Any]:
        number = next(posts)
        return ((503, {}), (201, {"status": "failed"}), (201, {"job_id": str(number)}))[number % 3]

    async with serving(answer) as url:
        bodies = (crowds.start_job(number, {}) for number in range(20))
        started = await crowds.start(url, "key", "/start", bodies, crowds.job_id)

    assert 20 == len(set(started.ids))
    assert next(posts) == 20 + started.tried_again
    assert started.tried_again > 0
    assert str(started.tried_again) in started.note


async def test_a_submitter_does_not_insist_on_what_is_refused() -> None:
    """Any other status ends the crowd at once, and the failure says how far it came."""
    async with serving(lambda *_: (400, {"why": "no"})) as url:
        with pytest.raises(Failed, match="after 0 jobs, 0 tried again: POST /start answered 400"):
            await crowds.start(url, "key", "/start", [{}], str)
