"""What may be asked for, by name."""

import pytest

from meshkit.errors import Invalid
from services.runner.births.targets import place_of


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("flows/prime", ("prime", "/")),
        ("flows/prime/async", ("prime", "/async")),
        ("agents/atlas", ("", "/")),
        ("crews/01a2", ("", "/")),
    ],
)
def test_a_target_says_where_its_code_is(target: str, place: tuple[str, str]) -> None:
    """Of agents and crews the engine's, which needs no name."""
    assert place == place_of(target)


@pytest.mark.parametrize("target", ["", "prime", "jobs/1", "agent/atlas"])
def test_what_is_no_target_is_told_all_kinds_that_there_are(target: str) -> None:
    """Who means an agent is not sent to look for a flow."""
    with pytest.raises(Invalid, match=r"flows/\{expose\}.* agents/\{id or slug\} or crews/\{id\}") as caught:
        place_of(target)

    assert {"target": [f"got {target!r}"]} == caught.value.fields
