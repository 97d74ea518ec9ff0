"""Long jobs in lists: cut, with a mark, and still of the same shape."""

import dataclasses
import json
from typing import Any

import pytest

from services.runner.domain import Job, State, cuts

JOB = Job(job_id="0" * 24, flow="flows/demo", owner="users/u", state=State.QUEUED, created_at=1.0, updated_at=1.0)
LONG = "é" * 3000


def test_what_is_short_enough_is_the_same_job() -> None:
    """Nothing is copied."""
    job = dataclasses.replace(JOB, result_json=json.dumps({"str": LONG}, ensure_ascii=False))

    assert cuts.cut(job, 7000) is job


@pytest.mark.parametrize(
    "result", [{"str": LONG}, {"Markdown": {"body": LONG}}, {"dict": {"a": LONG}}, {"__list__": [{"int": 1}] * 2000}]
)
def test_a_long_result_is_its_beginning(result: dict[str, Any]) -> None:
    """As text that says how long it is."""
    job = dataclasses.replace(JOB, result_json=json.dumps(result, ensure_ascii=False))

    shown = json.loads(cuts.cut(job, 1000).result_json)["Text"]["body"]

    assert "… (cut off here: it has " in shown
    assert len(shown.encode()) < 700


def test_what_is_huge_is_not_looked_into() -> None:
    """It has the same shape."""
    huge = json.dumps({"prompt": "x" * 1_000_000})
    job = cuts.cut(dataclasses.replace(JOB, result_json=huge, inputs_json=huge), 1000)

    (inputs,) = json.loads(job.inputs_json).values()
    body = json.loads(job.result_json)["Text"]["body"]

    assert huge[:500] == inputs[:500] == body[:500]
    assert "(cut off here: it has 1000014 bytes, ask for it alone)" in inputs
    assert len(body) < 600


@pytest.mark.parametrize(
    "inputs", [{"prompt": LONG, "top": 2}, {"a": {"b": [LONG]}, "c": None}, {str(n): n for n in range(5000)}, {LONG: 1}]
)
def test_long_inputs_are_an_object_still(inputs: dict[str, Any]) -> None:
    """What is short in them is as it was."""
    text = json.dumps(inputs, ensure_ascii=False)
    job = dataclasses.replace(JOB, inputs_json=text, meta_json=text, extra_json=text, error=LONG, inputs_blob=b"x")

    short = cuts.cut(job, 1000)
    shown = json.loads(short.inputs_json)

    for name in ("inputs_json", "meta_json", "extra_json", "error"):
        assert len(getattr(short, name).encode()) < 5000
    assert b"" == short.inputs_blob
    assert "cut off here" in json.dumps(shown)
    for name in ("top", "c"):
        assert shown.get(name) == inputs.get(name)
