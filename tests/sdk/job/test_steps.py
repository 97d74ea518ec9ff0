"""Durable steps: what was finished is not done again."""

import asyncio
import concurrent.futures
import json
from typing import Any

import pytest

from agentmesh import KodosumiError, Retries, StepsDiffer
from agentmesh._job.redaction import Redactor
from agentmesh._job.steps import Finished, Steps
from agentmesh.tracer import Tracer


class Log:
    """A tracer's events, and the tracer of the next attempt."""

    def __init__(self) -> None:
        self.steps: list[Finished] = []
        self.said: list[tuple[str, str]] = []

    def tracer(self) -> Tracer:
        """Return the tracer of another attempt: it knows the steps that are in the log."""
        tracer = Tracer("fid", self._say, finished=Steps(list(self.steps)), record=self._record)
        tracer.enter()
        return tracer

    def _say(self, kind: str, payload: str) -> None:
        self.said.append((kind, payload))

    def _record(self, step: Finished) -> "concurrent.futures.Future[None]":
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.steps.append(step)
        done.set_result(None)
        return done


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

    tracer = log.tracer()
    assert [1, 2] == await tracer.step("pair", lambda: (1, 2))
    with pytest.raises(TypeError, match="step 'odd'"):
        await tracer.step("odd", lambda: {1, 2})
    with pytest.raises(TypeError, match="step 'nan'"):
        await tracer.step("nan", lambda: float("nan"))


async def test_another_step_at_the_same_place_is_an_error() -> None:
    """What would be done twice, or left out, is not guessed."""
    log = Log()
    await log.tracer().step("fetch", lambda: 1)

    with pytest.raises(StepsDiffer, match="step 1 was 'fetch' in an attempt before this one, and now it is 'send'"):
        await log.tracer().step("send", lambda: 2)


async def test_a_step_that_failed_leaves_its_place() -> None:
    """The next attempt comes by it, does it, and finds the one behind it."""
    log = Log()

    def fail() -> None:
        raise ValueError("not yet")

    tracer = log.tracer()
    with pytest.raises(ValueError, match="not yet"):
        await tracer.step("first", fail)
    await tracer.step("second", lambda: 2)

    again = log.tracer()
    assert [1, 2] == [await again.step("first", lambda: 1), await again.step("second", lambda: 9)]


async def test_steps_at_the_same_time_are_known_by_their_names() -> None:
    """Whatever was finished, and in whatever order, is found; the others are done."""
    log, work = Log(), Counted()
    first = asyncio.Event()

    async def late() -> str:
        await first.wait()
        return "late"

    async def early() -> str:
        first.set()
        return "early"

    tracer = log.tracer()
    assert ["late", "early"] == list(await asyncio.gather(tracer.step("a", late), tracer.step("b", early)))
    assert ["b", "a"] == [step.name for step in log.steps]
    del log.steps[1]  # as if the job had been lost in between

    again = log.tracer()
    done = await asyncio.gather(again.step("a", work.__call__, 1), again.step("b", work.__call__, 2))

    assert [{"value": 1, "count": 1}, "early"] == list(done)


async def test_steps_of_one_name_at_the_same_time_are_known_by_when_they_began() -> None:
    """Not by when they were finished."""
    log = Log()
    second = asyncio.Event()

    async def wait() -> str:
        await second.wait()
        return "first"

    async def go() -> str:
        second.set()
        return "second"

    tracer = log.tracer()
    await asyncio.gather(tracer.step("side", wait), tracer.step("side", go))
    again = log.tracer()
    done = await asyncio.gather(*(again.step("side", lambda: "anew") for _ in range(3)))

    assert ["second", "first"] == [json.loads(step.result_json) for step in log.steps[:2]]
    assert ["first", "second", "anew"] == list(done)


async def test_a_step_whose_name_has_a_secret_is_known_without_it() -> None:
    """Also if the attempt before did not know yet that it was one."""
    log, work = Log(), Counted()
    await log.tracer().step("as ada-lovelace", work.__call__, "x")
    shown = Redactor(["ada-lovelace"]).text
    tracer = Tracer("fid", lambda kind, payload: None, finished=Steps(log.steps, shown=shown))
    tracer.enter()
    again = await tracer.step("as ada-lovelace", work.__call__, "x")

    assert (1, 1) == (work.count, again["count"])


async def test_a_step_within_a_step_has_no_place() -> None:
    """It is not taken when the one around it is known, and what comes behind has the same place."""
    log = Log()

    async def around(tracer: Tracer) -> Any:
        return await tracer.step("within", lambda: 1)

    for _ in range(2):
        tracer = log.tracer()
        assert 1 == await tracer.step("around", around, tracer)
        assert 2 == await tracer.step("behind", lambda: 2)

    assert [("within", 0), ("around", 1), ("behind", 2)] == [(step.name, step.place) for step in log.steps]


async def test_a_step_is_tried_as_often_as_it_may() -> None:
    """Other errors than those that are named end it."""
    log, calls = Log(), [0]

    def flaky(error: type[Exception]) -> int:
        calls[0] += 1
        if calls[0] < 3:
            raise error("again")
        return calls[0]

    retries = Retries(attempts=3, pause_s=0.001, pause_s_max=0.001, on=(OSError,))
    assert 3 == await log.tracer().step("flaky", flaky, ConnectionError, retries=retries)

    calls[0] = 0
    with pytest.raises(ValueError, match="again"):
        await asyncio.to_thread(log.tracer().step_sync, "odd", flaky, ValueError, retries=retries)
    assert 1 == calls[0]


async def test_a_result_is_bounded() -> None:
    """One of 4 MiB, and all of 6 MiB together; the step is named."""
    tracer = Log().tracer()

    with pytest.raises(KodosumiError, match=r"step 'huge' returned .* bytes, at most 4194304 are kept"):
        await tracer.step("huge", lambda: "x" * (4 << 20))
    await tracer.step("one", lambda: "x" * (3 << 20))
    with pytest.raises(KodosumiError, match=r"step 'two' returned .* bytes, and those of all steps"):
        await tracer.step("two", lambda: "x" * (3 << 20))


async def test_steps_that_are_not_taken_again_are_named() -> None:
    """The result stands, and the author hears of it."""
    log = Log()
    await log.tracer().step("gone", lambda: 1)

    log.tracer().check_steps()

    assert [("stderr", "steps that an attempt before has finished were not taken this time: 'gone'")] == log.said


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
