"""What models say, out of a job's events: one answer after the other."""

import json
from typing import Any

import pytest

from agentmesh.cli.terminal.words import Words
from agentmesh.client import Event


def event(kind: str, **said: Any) -> Event:
    """Return an event of the engine."""
    return Event(seq=1, kind=kind, time=0.0, payload=json.dumps(said))


def test_answers_that_come_together_are_printed_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """The first that speaks is heard out; what was said meanwhile follows, ended or not."""
    words = Words()
    for item in (
        event("span", id="a", status="running"),
        event("token", span="a", text="One "),
        event("token", span="b", text="Three "),
        event("token", span="c", text="Five"),
        event("token", span="a", text="two"),
        event("token", span="b", text="four"),
        event("span", id="b", status="ok"),
        event("span", id="a", status="ok"),
        event("token", span="c", text=" six"),
    ):
        words.hear(item)
    words.end()

    assert "One two\nThree four\nFive six\n" == capsys.readouterr().out
    assert "Five six" == words.last


def test_an_answer_that_broke_off_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    """On a line of its own; of one that nobody has seen the beginning is forgotten."""
    words = Words()
    for item in (
        event("token", span="a", text="Wrong"),
        event("token", span="b", text="wrong, too"),
        event("token", span="a", text="", reset=True),
        event("token", span="b", text="", reset=True),
        event("token", span="a", text="Right\x1b]0;renamed\x07"),
        event("token", span="b", text="right, too"),
    ):
        words.hear(item)
    words.end()
    shown = capsys.readouterr()

    assert "Wrong\nRight]0;renamed\nright, too\n" == shown.out
    assert "the model broke off and is asked again\n" == shown.err


def test_what_says_nothing_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither other events nor what is no JSON are printed."""
    words = Words()
    words.hear(event("step", name="a"))
    words.hear(Event(seq=1, kind="span", time=0.0, payload="{"))
    words.hear(Event(seq=1, kind="span", time=0.0, payload="[]"))
    words.end()

    assert "" == capsys.readouterr().out
