"""The panel's check of an expose."""

import pytest

from gateway.dialects.kodosumi import expose


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ("200", "Alive (200)"),
        ("405", "Alive (405)"),
        ("302", "Responding (302)"),
        ("404", "Not found (404)"),
        ("503", "Server error (503)"),
        ("DEADLINE_EXCEEDED", "Timeout"),
        ("UNAVAILABLE", "Not responding (UNAVAILABLE)"),
        ("", "Not found (404)"),
    ],
)
def test_what_a_flow_answered_is_said_in_the_panels_words(seen: str, message: str) -> None:
    """And not guessed from whether it is alive."""
    assert message == expose.endpoint_message(seen)


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ("", ["name", "description", "tags", "author.name", "author.organization"]),
        ("display: X\ndescription: Y\ntags: [a]\nauthor: {name: Z, organization: O}", []),
        ("display: X\ndescription: Y\ntags: [a]\nauthor: Z", ["author.name", "author.organization"]),
        ("]", ["name", "description", "tags", "author.name", "author.organization"]),
    ],
)
def test_what_a_flows_meta_should_say(data: str, missing: list[str]) -> None:
    """The panel's list of fields."""
    assert expose.missing_fields(data) == missing
