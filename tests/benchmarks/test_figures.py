"""What a figure says of its target, and how numbers are shown."""

import json
import pathlib

import pytest

from benchmarks import report
from benchmarks.figures import Figure, percentile


@pytest.mark.parametrize(
    ("value", "target", "at_least", "met"),
    [(5, 10, False, True), (15, 10, False, False), (5, 10, True, False), (15, 10, True, True), (5, None, False, None)],
)
def test_a_target_is_a_most_or_a_least(value: float, target: float | None, at_least: bool, met: bool | None) -> None:
    """A latency must not exceed its target, a rate must reach it; without a target nothing is met or missed."""
    assert met is Figure(name="f", value=value, unit="", target=target, at_least=at_least).met


def test_what_is_not_served_is_neither_met_nor_failed() -> None:
    """It has a place in the report, and says why there is no number."""
    figure = Figure.not_served("jobs", "POST /jobs answers 404")

    assert (None, None, False) == (figure.value, figure.met, figure.failed)
    assert "not served yet: POST /jobs answers 404" == figure.note


def test_what_could_not_be_measured_has_failed() -> None:
    """A failure is told from what is not there yet."""
    assert Figure.failure("jobs", "it went away").failed


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The highest is not left out."""
    assert [1, 51, 100] == [percentile(range(1, 101), percent) for percent in (0, 50, 100)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0331, "0.033"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346"), (7, "7")],
)
def test_a_number_is_shown_with_three_digits_or_so(value: float | None, text: str) -> None:
    """More would promise what a benchmark cannot keep."""
    assert text == report.number(value)


def test_results_are_plain_json(tmp_path: pathlib.Path) -> None:
    """A figure without a number is null there, and what else is known stands beside the figures."""
    figures = [Figure(name="a", value=1.5, unit="ms", target=2), Figure.not_served("b", "no")]
    report.write(figures, tmp_path / "results" / "r.json", {"rounds": [{}]})
    written = json.loads((tmp_path / "results" / "r.json").read_text())

    assert [("a", 1.5, True), ("b", None, None)] == [(f["name"], f["value"], f["met"]) for f in written["figures"]]
    assert [{}] == written["rounds"]
