"""Durable steps: what a job has finished is in its log, and another attempt of it does not do it again.

A step's result is JSON.  The first attempt gets it as a replay would, so that a flow cannot come to depend on what is
lost on the way.
"""

import collections
import json
from collections.abc import Iterable
from typing import Any


class Steps:
    """What earlier attempts of a job have finished."""

    def __init__(self, finished: Iterable[tuple[str, str]] = ()) -> None:
        """`finished` are names and results (JSON), in the order in which they were written."""
        self._finished: dict[str, collections.deque[str]] = {}
        for name, result_json in finished:
            self._finished.setdefault(name, collections.deque()).append(result_json)

    def take(self, name: str) -> str | None:
        """Return the result (JSON) of the next finished step of that name, or `None` if it is still to be done."""
        waiting = self._finished.get(name)
        return waiting.popleft() if waiting else None


def dumps(name: str, value: Any) -> str:
    """Return a step's result as JSON.  Raises `TypeError`, naming the step, for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"step {name!r} returned what JSON cannot say ({error}): return text, numbers, lists, dicts"
        ) from None


def payload(name: str, result_json: str) -> str:
    """Return the payload of a step's event."""
    return f'{{"name":{json.dumps(name)},"result":{result_json}}}'
