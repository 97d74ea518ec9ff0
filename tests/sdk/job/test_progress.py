"""How far a job has come: what is sent, and how often."""

import json
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.context import ForkContext, SpawnContext
from typing import Any

import pytest

from agentmesh import Tracer, TracerMock
from agentmesh._job.execution import execute
from agentmesh._job.progress import Throttle, payload, payload_of_line


class Clock:
    """A clock that is set by hand, and what waits for it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Keep a call until its time."""
        self.waiting.append((self.now_s + delay_s, call))

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        due = [item for item in self.waiting if item[0] <= self.now_s]
        self.waiting = [item for item in self.waiting if item not in due]
        for _, call in due:
            call()


def test_the_payload_is_plain_json() -> None:
    """With the percentage reckoned; what is not known is null."""
    assert {"done": 3, "total": 8, "percent": 37.5, "text": "reading"} == json.loads(payload(3, 8, "reading"))
    assert {"done": 3, "total": None, "percent": None, "text": ""} == json.loads(payload(3))
    assert 100.0 == json.loads(payload(9, 8))["percent"]
    assert json.loads(payload(0, 0))["percent"] is None
    assert 1000 == len(json.loads(payload(0, 1, "x" * 5000))["text"])


@pytest.mark.parametrize(("done", "total"), [("3", 4), (-1, 4), (1, -4), (float("nan"), 4), (True, 4), (None, 4)])
def test_what_is_no_number_is_refused(done: Any, total: Any) -> None:
    """In words that say which."""
    with pytest.raises(ValueError, match=r"progress: (done|total) must be a number that is not negative"):
        payload(done, total)


@pytest.mark.parametrize(
    ("line", "done", "total", "percent", "text"),
    [
        (" 30%|###   | 3/10 [00:01<00:02,  3.0it/s]", 3, 10, 30.0, "30%|###   | 3/10 [00:01<00:02,  3.0it/s]"),
        ("Downloading 45.5 %", None, None, 45.5, "Downloading 45.5 %"),
        ("\x1b[1mworking\x1b[0m", None, None, None, "working"),
        ("250%", None, None, 100.0, "250%"),
        ("12it [00:01, 11.9it/s]", None, None, None, "12it [00:01, 11.9it/s]"),
    ],
)
def test_what_a_bar_draws_is_understood(line: str, done: Any, total: Any, percent: Any, text: str) -> None:
    """tqdm's counts, and anybody's percentage."""
    assert {"done": done, "total": total, "percent": percent, "text": text} == json.loads(payload_of_line(line))
    assert "" == payload_of_line("  \x1b[2K ")


def test_at_most_ten_a_second_are_sent() -> None:
    """The newest when it is time, and the last at the end."""
    clock, sent = Clock(), list[str]()
    throttle = Throttle(sent.append, later=clock.later, now=lambda: clock.now_s)

    for number in range(950):
        throttle.say(str(number))
        clock.go(0.001)
    almost = list(sent)
    throttle.flush()
    throttle.flush()
    clock.go(1)

    assert (True, "0", "949") == (8 <= len(almost) <= 10, almost[0], sent[-1])
    assert len(almost) + 1 == len(sent) == len(set(sent))


def test_the_last_comes_although_nobody_asks() -> None:
    """A flow that says something and then works on for long has said it."""
    clock, sent = Clock(), list[str]()
    throttle = Throttle(sent.append, later=clock.later, now=lambda: clock.now_s)

    throttle.say("one")
    throttle.say("two")
    throttle.say("three")
    before = list(sent)
    clock.go(0.2)

    assert (["one"], ["one", "three"]) == (before, sent)


async def tell(tracer: Tracer) -> None:
    """Say what a flow says."""
    await tracer.progress(1, 4, "first")
    for number in range(2, 4):
        tracer.progress_sync(number, 4)
    await tracer.usage(10, 20, 300)
    tracer.usage_sync(output_tokens=1)


async def test_a_flow_says_how_far_it_is_and_what_it_took() -> None:
    """What is held back is sent when the flow ends; usage is never held back."""
    events: list[tuple[str, Any]] = []

    await execute(
        "tests.sdk.job.test_progress:tell", {}, Tracer("f1", lambda kind, text: events.append((kind, json.loads(text))))
    )

    told = [item for kind, item in events if kind == "progress"]
    assert [{"done": 1, "total": 4, "percent": 25.0, "text": "first"}] == told[:1]
    assert {"done": 3, "total": 4, "percent": 75.0, "text": ""} == told[-1]
    assert [
        {"input_tokens": 10, "output_tokens": 20, "cost_micros": 300},
        {"input_tokens": 0, "output_tokens": 1, "cost_micros": 0},
    ] == [item for kind, item in events if kind == "usage"]


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 1 << 63])
def test_what_is_no_usage_is_refused(value: Any) -> None:
    """Tokens and micro-units are whole numbers."""
    with pytest.raises(ValueError, match="usage: cost_micros must be a whole number"):
        TracerMock().usage_sync(cost_micros=value)


async def test_the_mock_takes_the_same() -> None:
    """And refuses the same."""
    await tell(TracerMock())
    with pytest.raises(ValueError, match="progress: done"):
        await TracerMock().progress(-1)


def say_much(tracer: Tracer) -> None:
    """Say more than is sent, in another process."""
    for number in range(101):
        tracer.progress_sync(number, 100)


@pytest.mark.parametrize("context", [multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")])
def test_other_processes_of_a_flow_say_their_last_too(context: ForkContext | SpawnContext) -> None:
    """With their own pace; a fork does not repeat what its parent holds back."""
    events: list[dict[str, Any]] = []
    tracer = Tracer("f1", lambda kind, text: events.append(json.loads(text)))
    tracer.progress_sync(0, 7, "mine")
    tracer.progress_sync(1, 7, "mine")
    process = context.Process(target=say_much, args=(tracer,))
    process.start()
    process.join()
    tracer.finish()
    for thread in threading.enumerate():
        if thread.name == "progress":
            thread.join()

    theirs = [event["done"] for event in events if event["total"] == 100]
    assert (0, 100, True) == (theirs[0], theirs[-1], len(theirs) < 101)
    assert [0, 1] == [event["done"] for event in events if event["total"] == 7]
