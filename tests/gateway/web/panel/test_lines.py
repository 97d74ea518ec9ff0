"""Events as people read them."""

import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import job_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.web.panel import lines, shell
from gateway.web.panel.lines import Said

_KINDS = (
    *("status", "inputs", "meta", "agent", "upload", "debug", "stdout", "stderr", "lock", "lease", "payment"),
    *("progress", "usage", "error", "action", "result", "final", "step", "span", "token", "memory", "of-a-newer-mesh"),
)

_AROUND: dict[str, Any] = {
    "fid": "f",
    "kinds": [],
    "kind": "",
    "over": True,
    "follows": True,
    "earlier": None,
    "later": None,
}


def said(kind: str, value: Any) -> Said:
    """Return what an event says whose payload is a text, or JSON."""
    payload = value if isinstance(value, str) else json.dumps(value)
    return lines.of(job_pb2.Event(seq=1, kind=kind, payload=payload)).said


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("status", "awaiting_input", Said(badge=("Awaiting input", "warn"))),
        ("stdout", "{not JSON", Said(text="{not JSON")),
        ("error", "ValueError: no", Said(text="ValueError: no")),
        ("result", {"Markdown": {"body": "# Done"}}, Said(text="# Done")),
        ("result", {"str": "Done"}, Said(text="Done")),
        ("result", {"dict": {"number": 7, "none": None}}, Said(facts=(("Number", "7"),))),
        (
            "result",
            {"TaskOutput": {"name": "Outline", "description": "Of it", "raw": "1. Sea"}},
            Said(title="Outline", text="1. Sea"),
        ),
        ("final", {"__list__": [{"Text": {"body": "one"}}, {"str": "two"}]}, Said(text="one\ntwo")),
        (
            "agent",
            {"dict": {"agent": {"role": "Writer", "expected_output": "A hymn", "tools": []}}},
            Said(title="Agent", facts=(("Role", "Writer"), ("Expected output", "A hymn"))),
        ),
        ("inputs", {"dict": {"topic": "the sea"}}, Said(facts=(("Topic", "the sea"),))),
        (
            "progress",
            {"done": 3, "total": 12, "percent": 25.0, "text": "Reading"},
            Said(text="Reading · 3 of 12", percent=25.0),
        ),
        (
            "usage",
            {"input_tokens": 12, "output_tokens": 3, "cost_micros": 1500},
            Said(facts=(("Tokens read", "12"), ("Tokens written", "3"), ("Cost", "0.0015"))),
        ),
        ("step", {"name": "fetch", "result": {"str": "12 pages"}}, Said(title="fetch", text="12 pages")),
        ("step", {"name": "count", "result": 12}, Said(title="count", text="12")),
        (
            "span",
            {"id": "a", "name": "calculator", "kind": "tool_call", "status": "ok", "start": 10.0, "end": 12.5},
            Said(title="calculator", facts=(("Kind", "Tool call"), ("Took", "2.5 s")), badge=("Ok", "good")),
        ),
        (
            "lock",
            {"dict": {"name": "approve", "lid": "x", "data": {"amount": 5}}},
            Said(title="approve", facts=(("Amount", "5"),), badge=("Asked", "warn")),
        ),
        (
            "lease",
            {"dict": {"name": "approve", "lid": "x", "result": {"dict": {"ok": True}}}},
            Said(title="approve", facts=(("Ok", "true"),), badge=("Answered", "good")),
        ),
        ("token", {"span": "a", "text": "Once"}, Said(text="Once")),
        ("memory", {"content": "Likes tea", "layer": "long"}, Said(text="Likes tea")),
    ],
)
def test_each_kind_says_what_it_is_about(kind: str, value: Any, expected: Said) -> None:
    """In words; what is empty is left out."""
    assert expected == said(kind, value)


def test_json_is_there_whole_and_texts_are_not_said_twice() -> None:
    """Indented; of a text that is cut there is more below, and a traceback stands by itself."""
    result = lines.of(job_pb2.Event(seq=2, kind="result", payload='{"dict":{"a":1}}'))
    short = lines.of(job_pb2.Event(seq=3, kind="stdout", payload="hello"))
    long = lines.of(job_pb2.Event(seq=4, kind="stdout", payload="x" * 1000))
    error = lines.of(job_pb2.Event(seq=5, kind="error", payload="no", detail="Traceback …"))

    assert '{\n  "dict": {\n    "a": 1\n  }\n}' == result.raw
    assert ("", "x" * 1000) == (short.raw, long.raw)
    assert len(long.said.text) < 1000
    assert ("Traceback …", "") == (error.traceback, result.traceback)


@pytest.mark.parametrize(
    "value",
    [
        {f"name {number}": number for number in range(200_000)},
        {"X": {"body": "b", "name": "n" * 1_000_000}},
        {"Markdown": {"body": "b" * 1_000_000}},
        ["x"] * 200_000,
    ],
    ids=["dict", "name", "body", "list"],
)
def test_of_what_is_large_the_beginning_is_shown(value: Any) -> None:
    """Neither read, which would hold up the loop, nor kept."""
    line = lines.of(job_pb2.Event(seq=1, kind="result", payload=json.dumps(value)))

    assert len(line.said.text) <= 600
    assert (line.said.title, line.said.facts) == ("", ())
    assert len(line.raw) <= 4000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["dict", "name", "result", "usage", "percent", "start", "end", "text", "data"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@example(kind="span", value={"start": -1e308, "end": 1e999, "usage": {"input_tokens": 10**4299}})
@example(kind="progress", value={"percent": 10**400})
@example(kind="usage", value={"input_tokens": True, "cost_micros": 10**400})
@given(kind=st.sampled_from(_KINDS), value=_JSON | st.text())
def test_whatever_a_host_writes_can_be_shown(kind: str, value: Any) -> None:
    """A host may be written in any language, and be wrong."""
    payload = value if isinstance(value, str) else json.dumps(value)
    line = lines.of(job_pb2.Event(seq=1, kind=kind, payload=payload))

    assert shell.render("parts/events.html", events=[line], **_AROUND)


def test_a_traceback_is_folded() -> None:
    """Below what went wrong, for those who are told it at all."""
    line = lines.of(job_pb2.Event(seq=1, kind="error", payload="ValueError: no", detail="Traceback …\n<b>"))
    page = shell.render("parts/events.html", events=[line], **_AROUND)

    assert '<summary class="small">Traceback</summary><pre tabindex="0">Traceback …\n&lt;b&gt;</pre>' in page
    assert "ValueError: no" in page
