"""Durable steps: what a job has finished is in its log, and another attempt of it does not do it again.

A step's result is JSON.  The first attempt gets it as a replay would, so that a flow cannot come to depend on what is
lost on the way.  Steps that a flow takes one after the other have *places*, counted from 1, and another attempt must
come by the same names at the same places.  Steps that are taken beside others (in tasks, in threads of the flow's own,
within another step) are known by their name alone: of several of one name the first that is begun is the first.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agentmesh.errors import KodosumiError, StepsDiffer

RESULT_BYTES_MAX = 4 * 1024 * 1024
"""Of one step's result, as JSON."""
RESULTS_BYTES_MAX = 6 * 1024 * 1024
"""Of all of a job: another attempt is told them in one message."""

_within: contextvars.ContextVar[bool] = contextvars.ContextVar("within_a_step", default=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """A step that an attempt before this one has finished."""

    name: str
    result_json: str
    place: int = 0
    """0 for one that was taken beside others."""
    occurrence: int = 0
    """Of one that was taken beside others: counts those of its name, from 1, as they were begun."""


Record = Callable[[Finished], "concurrent.futures.Future[None]"]
"""Has a step written into the log; the future is done once it is there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """A step that a flow begins."""

    name: str
    known: str | None
    """Its result (JSON) if it was finished before."""
    place: int = 0
    occurrence: int = 0

    def finished(self, result_json: str) -> Finished:
        """Return it as it is recorded."""
        return Finished(self.name, result_json, self.place, self.occurrence)


class Steps:
    """The steps of one attempt, and what earlier ones have finished."""

    def __init__(
        self, finished: Iterable[Finished] = (), *, ordered: bool = True, shown: Callable[[str], str] = str
    ) -> None:
        """`finished` are in the order in which they were written.  Without `ordered` no step has a place.

        `shown` makes of a name what may be written down: by that, steps are known.
        """
        self._ordered = ordered
        self._shown = shown
        self._placed: dict[int, Finished] = {}
        self._loose: dict[tuple[str, int], str] = {}
        self._begun: collections.Counter[str] = collections.Counter()
        self._left = RESULTS_BYTES_MAX
        for step in finished:
            # Another attempt may have more secrets than that which wrote it.
            step = dataclasses.replace(step, name=shown(step.name))
            self._left -= _size(step.name, step.result_json)
            if step.place > 0 and ordered:
                self._placed[step.place] = step
            else:
                self._begun[step.name] += 1
                self._loose[step.name, step.occurrence or self._begun[step.name]] = step.result_json
        self._begun.clear()
        self._lane: object = None
        self._count = 0
        self._lock = threading.Lock()
        self.running = 0
        """How many steps are being taken now."""

    def enter(self) -> None:
        """Know that the flow itself runs here, in this task or thread: steps that are taken here have places."""
        self._lane = _here()

    def begin(self, name: str) -> Turn:
        """Begin a step.  Raises `StepsDiffer` if another one was at its place before."""
        if not isinstance(name, str) or not name:
            raise TypeError(f"a step's name is a text that is not empty, not {name!r}")
        name = self._shown(name)
        with self._lock:
            if self._ordered and not _within.get() and self._lane == _here():
                self._count += 1
                known = self._placed.pop(self._count, None)
                if known is not None and known.name != name:
                    raise StepsDiffer(
                        f"step {self._count} was {known.name!r} in an attempt before this one, and now it is {name!r}: "
                        "what a flow does between its steps must come out the same each time, so put into steps what "
                        "does not (times, random numbers, answers of others), and let no new code take up old jobs"
                    )
                return Turn(name, None if known is None else known.result_json, place=self._count)
            self._begun[name] += 1
            occurrence = self._begun[name]
            return Turn(name, self._loose.pop((name, occurrence), None), occurrence=occurrence)

    @contextlib.contextmanager
    def taking(self) -> Iterator[None]:
        """Take a step within the block."""
        token = _within.set(True)
        with self._lock:
            self.running += 1
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1
            _within.reset(token)

    def check_room(self, name: str, result_json: str) -> None:
        """Count a result.  Raises `KodosumiError` for one that is too large, alone or with those before it."""
        size = _size(name, result_json)
        if size > RESULT_BYTES_MAX:
            raise KodosumiError(
                f"step {name!r} returned {size} bytes, at most {RESULT_BYTES_MAX} are kept: return an address of them"
            )
        with self._lock:
            if size > self._left:
                raise KodosumiError(
                    f"step {name!r} returned {size} bytes, and those of all steps of a job are at most "
                    f"{RESULTS_BYTES_MAX}: return addresses of large data"
                )
            self._left -= size

    def unused(self) -> list[str]:
        """Return the names of steps that were finished before, and that this attempt has not come by."""
        with self._lock:
            return [*(step.name for step in self._placed.values()), *(name for name, _ in self._loose)]


def _here() -> object:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task or threading.get_ident()


def _size(name: str, result_json: str) -> int:
    return len(name.encode("utf-8", "replace")) + len(result_json.encode("utf-8", "replace"))


def dumps(name: str, value: Any) -> str:
    """Return a step's result as JSON.  Raises `TypeError`, naming the step, for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"step {name!r} returned what JSON cannot say ({error}): return text, numbers, lists, dicts"
        ) from None


def unrecorded(step: Finished) -> "concurrent.futures.Future[None]":
    """Be the `Record` of what has no log, such as a test of a flow."""
    done: concurrent.futures.Future[None] = concurrent.futures.Future()
    done.set_result(None)
    return done


def elsewhere(step: Finished) -> "concurrent.futures.Future[None]":
    """Be the `Record` of a process that a job has started."""
    raise KodosumiError(f"step {step.name!r}: steps are taken in the job's own process, not in one that it starts")
