"""Which of HTML and JSON a client would rather have."""

import pytest

from gateway.http import accept


@pytest.mark.parametrize(
    ("header", "wanted", "html"),
    [
        ("", "", False),
        ("*/*", "", False),
        ("text/html", "", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "", True),
        ("application/json, text/html", "", False),
        ("text/html;q=0.2, application/json;q=0.1", "", True),
        ("text/*", "", True),
        ("text/html;q=x", "", False),
        ("text/html", "json", False),
        ("*/*", "html", True),
    ],
)
def test_who_prefers_html(header: str, wanted: str, html: bool) -> None:
    """`?format=` wins; JSON wins a draw."""
    assert accept.prefers_html(header, wanted) is html
