"""Texts of JSON that jobs have chosen."""

import pytest

from services.runner.domain import readings


@pytest.mark.parametrize(
    "text", ["NaN", '{"a": Infinity}', "[-Infinity]", "[1e999]", '{"a": [-1e400]}', "[" * 9999, ""]
)
def test_what_no_client_reads_is_no_json(text: str) -> None:
    """Numbers that are none are Python's own; what is nested too deeply has no end."""
    with pytest.raises(ValueError, match=r"."):
        readings.parsed(text)


@pytest.mark.parametrize("text", ["1e308", "[0.1, -2.5e-10]", '{"a": null}', '"NaN"', "9" * 400])
def test_json_is_read(text: str) -> None:
    """Large numbers, too."""
    assert text == readings.checked(text)
