"""The panel's check of an expose."""

import pytest

from gateway.dialects.kodosumi import expose


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
