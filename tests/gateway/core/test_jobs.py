"""What dialects show of a job."""

import pytest

from gateway.core import jobs
from services.runner.domain.payments import result_text


@pytest.mark.parametrize(
    ("result_json", "text"),
    [
        ('{"Markdown":{"body":"# Hi"}}', "# Hi"),
        ('{"HTML":{"body":""}}', ""),
        ('{"Text":{"body":"a\\nb"}}', "a\nb"),
        ('{"str":"plain"}', "plain"),
        ('{"dict":{"a":1.0}}', '{"dict":{"a":1.0}}'),
        ('{"__list__":[{"int":1}]}', '{"__list__":[{"int":1}]}'),
        ('{"Markdown":{"body":1}}', '{"Markdown":{"body":1}}'),
        ('{"TypeError":"None"}', '{"TypeError":"None"}'),
    ],
)
def test_buyers_get_the_text_that_is_hashed(result_json: str, text: str) -> None:
    """The runner hashes the very string that the gateway shows, or no buyer can verify it."""
    assert jobs.buyer_text(result_json) == text
    assert result_text(result_json) == text


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_cannot_be_read_is_nothing(text: str) -> None:
    """However deep it is: no page fails for what one job has said."""
    assert jobs.json_value(text) is None
