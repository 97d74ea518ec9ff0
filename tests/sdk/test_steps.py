"""Durable steps: what was finished is not done again."""

import json
from typing import Any

import pytest

from agentmesh.redaction import Redactor
from agentmesh.steps import Steps
from agentmesh.tracer import Tracer


class Log:
    """A tracer's events, and the tracer of the next attempt."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    def tracer(self) -> Tracer:
        """Return the tracer of another attempt: it knows the steps that are in the log."""
        return Tracer("fid", self._take, finished=Steps(list(self.steps)))

    def _take(self, kind: str, payload: str) -> None:
        assert "step" == kind
        said = json.loads(payload)
        self.steps.append((said["name"], json.dumps(said["result"])))


class Counted:
    """Counts its calls."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, value: Any) -> Any:
        """Return the value, and how often it was asked."""
        return self.sync(value)

    def sync(self, value: Any) -> Any:
        """Return the value, and how often it was asked."""
        self.count += 1
        return {"value": value, "count": self.count}


async def test_another_attempt_gets_what_the_first_has_finished() -> None:
    """The function is called once; each attempt gets the same."""
    log, work = Log(), Counted()

    first = await log.tracer().step("work", work.__call__, "x")
    second = await log.tracer().step("work", work.__call__, "y")

    assert {"value": "x", "count": 1} == first == second
    assert 1 == work.count


def test_a_step_of_code_that_is_not_async() -> None:
    """The twin does the same in its own thread."""
    log, work = Log(), Counted()

    assert {"value": "x", "count": 1} == log.tracer().step_sync("work", work.sync, "x")
    assert {"value": "x", "count": 1} == log.tracer().step_sync("work", work.sync, "y")


async def test_steps_of_one_name_come_in_order() -> None:
    """The first is the first again; what is behind the log is done."""
    log, work = Log(), Counted()
    tracer = log.tracer()
    done = [await tracer.step("work", work.__call__, number) for number in (1, 2)]

    again = log.tracer()
    results = [await again.step("work", work.__call__, 9) for _ in range(3)]

    assert done == results[:2]
    assert {"value": 9, "count": 3} == results[2]


async def test_a_step_that_fails_is_done_again() -> None:
    """What was raised is not in the log."""
    log = Log()

    def fail() -> None:
        raise ValueError("not yet")

    with pytest.raises(ValueError, match="not yet"):
        await log.tracer().step("work", fail)

    assert [] == log.steps
    assert 3 == await log.tracer().step("work", lambda: 3)


async def test_the_first_attempt_gets_what_a_replay_would() -> None:
    """A tuple is a list, at once and not only after a crash; what JSON cannot say is an error that names the step."""
    log = Log()

    assert [1, 2] == await log.tracer().step("pair", lambda: (1, 2))
    with pytest.raises(TypeError, match="step 'odd'"):
        await log.tracer().step("odd", lambda: {1, 2})
    with pytest.raises(TypeError, match="step 'nan'"):
        await log.tracer().step("nan", lambda: float("nan"))


@pytest.mark.parametrize("secret", ['s3cr"et\\key', "plain-secret", "geheim-ü-日本"])
def test_a_secret_is_found_in_json_too(secret: str) -> None:
    """As it is, in a JSON text, and in JSON within JSON."""
    redactor = Redactor([secret])
    texts = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), json.dumps(json.dumps([secret]))]

    for text in texts:
        clean = redactor.text(f"before {text} after")
        assert "[REDACTED]" in clean
        assert secret not in clean


def test_short_values_are_no_secrets() -> None:
    """A value of a few characters would garble what has it by chance."""
    assert "a cab" == Redactor(["a", "", "cab"]).text("a cab")
