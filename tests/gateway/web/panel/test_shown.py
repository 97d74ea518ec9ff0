"""How the panel puts what the mesh knows."""

import pytest
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import states
from gateway.web.panel import shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0441, "0.044 s"),
        (4.21, "4.2 s"),
        (59.9, "59 s"),
        (185, "3 min 5 s"),
        (7860, "2 h 11 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_lengths_of_time_have_two_units_at_most(seconds: float, text: str) -> None:
    """Nobody reads more."""
    assert text == shown.duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-7200, "2 h ago"),
        (-90, "1 min ago"),
        (0, "just now"),
        (30, "in 30 s"),
        (3599, "in 59 min"),
        (90000, "in 1 d"),
    ],
)
def test_moments_are_as_far_as_they_are(seconds: int, text: str) -> None:
    """Behind or ahead, in one unit; programs have them whole."""
    assert text == shown.ahead(Timestamp(seconds=1_000_000 + seconds), 1_000_000)
    assert "1970-01-12 13:46 UTC" == shown.dated(Timestamp(seconds=1_000_000))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7860, (7860, "2 h 11 min left", "warn")), (599, (599, "9 min 59 s left", "bad")), (-3, (0, "Over", "bad"))],
)
def test_a_deadline_says_what_is_left(seconds: int, said: tuple[float, str, str]) -> None:
    """And presses when it is minutes; what is past is over, not long ago."""
    assert said == shown.left(Timestamp(seconds=1_000_000 + seconds), 1_000_000)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ('{"topic": " the\\n sea "}', "the sea"),
        ('{"agree": true, "files": "batches/1", "key": "••••", "list": [1], "count": 3}', "3"),
        (f'{{"topic": "{"x" * 500}"}}', "x" * 59 + "…"),
        ("{}", ""),
        ("[]", ""),
    ],
)
def test_executions_are_told_apart_by_their_first_input(inputs: str, text: str) -> None:
    """In a few words; secrets, files and what is no single value say nothing."""
    assert text == shown.first_input(job_pb2.Job(inputs_json=inputs))


def test_every_state_has_a_word() -> None:
    """And no two the same."""
    assert len(states.STATES) == len({shown.word(state) for state in states.STATES.values()})


@pytest.mark.parametrize(
    ("fragment", "ours"),
    [
        ("<h4>A</h4><p>b</p>", "<h2>A</h2><p>b</p>"),
        ("<h1>A</h1><h3>B</h3><h1>C</h1>", "<h2>A</h2><h3>B</h3><h2>C</h2>"),
        ("<h6>A</h6><h2>B</h2><hr>", "<h2>A</h2><h2>B</h2><hr>"),
        ("<table><tr></table>", '<table tabindex="0"><tr></table>'),
    ],
)
def test_headings_of_others_come_below_ours_and_skip_no_level(fragment: str, ours: str) -> None:
    """Who reads by headings finds their way."""
    assert ours == shown.written(fragment)
