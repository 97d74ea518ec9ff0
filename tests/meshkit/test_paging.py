"""Page tokens are opaque, bound to their filter, and cannot hurt."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshkit import paging
from meshkit.errors import Invalid


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1000, 1000), (5000, 1000), (2**31 - 1, 1000)])
def test_a_size_is_coerced(asked: int, given: int) -> None:
    """Zero takes the default, too much is cut down."""
    assert given == paging.size(asked)


def test_a_negative_size_is_refused() -> None:
    """The error names the field."""
    with pytest.raises(Invalid) as caught:
        paging.size(-1)

    assert "page_size" in caught.value.fields


@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.text(max_size=5), max_size=3))
def test_a_token_leads_back_to_its_key(key: str, filters: list[str]) -> None:
    """Whatever the key and the filters are."""
    filters = [text.replace("\0", "") for text in filters]
    if len(key) > 500:
        return

    assert key == paging.decode(paging.encode(key, *filters), *filters)


def test_no_token_means_from_the_start() -> None:
    """The empty token is the first page."""
    assert paging.decode("", "filter") == ""


def test_a_token_is_bound_to_its_filter() -> None:
    """Another filter's token is refused, with the remedy."""
    with pytest.raises(Invalid) as caught:
        paging.decode(paging.encode("k", "mine"), "yours")

    assert caught.value.fields == {"page_token": ["start again without it"]}


@given(st.text(max_size=200))
def test_any_text_is_refused_politely(text: str) -> None:
    """No token of somebody's making is more than `Invalid`."""
    if text:
        with pytest.raises(Invalid):
            paging.decode(text)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '["\\ud800", "e3b0c442"]', '[{"a": 1}, "e3b0c442"]', '[1, "e3b0c442"]', "[1, 2, 3]", "7", "null"],
)
def test_a_forged_token_is_refused(content: str) -> None:
    """Well-encoded nonsense, deep nesting and broken text included."""
    with pytest.raises(Invalid):
        paging.decode(base64.urlsafe_b64encode(content.encode()).decode())


def test_tokens_are_url_safe() -> None:
    """They travel in query strings as they are."""
    token = paging.encode("ÿþý" * 20 + json.dumps({"a": "?&="}))

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
