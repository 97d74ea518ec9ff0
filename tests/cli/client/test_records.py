"""Records of the client: what events and results say to people."""

import json
from typing import Any

import pytest

from agentmesh.client import ApiKey, Event, Tokens


def text_of(kind: str, payload: Any) -> str:
    """Return what an event says."""
    return Event(seq=1, kind=kind, time=0.0, payload=json.dumps(payload)).text


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"done": 3, "total": 10, "percent": 30.0, "text": "reading"}, "30 % reading"),
        ({"done": 3, "total": 10, "percent": 30.5, "text": ""}, "30.5 % 3/10"),
        ({"done": 3, "total": None, "percent": None, "text": ""}, "3"),
        ({"done": None, "total": None, "percent": None, "text": "working"}, "working"),
    ],
)
def test_progress_is_short(payload: dict[str, Any], text: str) -> None:
    """The percentage, and the text or else the counts."""
    assert text == text_of("progress", payload)


def test_a_table_is_lines() -> None:
    """Cells are apart by tabs; what was left out is counted."""
    table = {"columns": ["name", "age"], "rows": [["Ada", 36], [None, 1]], "more": 2}

    assert "name\tage\nAda\t36\n\t1\n… 2 more rows" == text_of("result", {"Table": table})


def test_an_image_within_a_result_is_not_printed() -> None:
    """Its address is the image itself; one elsewhere is an address."""
    inner = {"url": "data:image/png;base64,AAAA", "alt": "A dot"}

    assert "[Image, image/png, 26 characters: A dot]" == text_of("result", {"Image": inner})
    assert "https://example.com/a.png" == text_of(
        "result", {"Image": {"url": "https://example.com/a.png", "alt": None}}
    )


def test_a_list_is_each_of_its_parts() -> None:
    """One below the other, as the panel shows them: no part is JSON because others are there, too."""
    parts = [{"Markdown": {"body": "**Hi**"}}, {"Table": {"columns": ["a"], "rows": [[1]]}}, {"int": 3}]
    image = {"Image": {"url": "data:image/png;base64,AAAA", "alt": None}}

    assert "**Hi**\n\na\n1\n\n3\n\n[Image, image/png, 26 characters]" == text_of("final", {"__list__": [*parts, image]})


def test_what_is_secret_is_not_in_what_a_console_prints() -> None:
    """A notebook prints what the last line of a cell returns, and keeps it."""
    tokens = Tokens(access_token="first-secret", refresh_token="second-secret", login="ada")
    key = ApiKey(name="apiKeys/a", display_name="a", create_time=None, expire_time=None, token="third-secret")

    assert "ada" in repr(tokens)
    assert not [text for text in map(repr, (tokens, key)) if "secret" in text]
