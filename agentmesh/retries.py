"""When something that fails is done again: a job by the mesh, a step by its job."""

import dataclasses
import random

LOST = "WorkerLost"
"""The name, in `Retries.on`, of the loss of a job's process or host."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often something is tried, and after what.

    The pause doubles with each attempt, up to `pause_s_max`; with `jitter` 0.2 each is up to a fifth shorter or longer.
    `on` has exception classes, or their names; none means any.  A class stands for what is derived from it, too.
    Raises `ValueError` for what is no policy.
    """

    attempts: int = 3
    """In all, 1 to 100."""
    pause_s: float = 0.1
    pause_s_max: float = 10.0
    jitter: float = 0.2
    on: tuple[type[BaseException] | str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or not 1 <= self.attempts <= 100:
            raise ValueError(f"retries: attempts must be 1 to 100, not {self.attempts!r}")
        if not 0 < self.pause_s <= self.pause_s_max <= 86_400:
            raise ValueError("retries: pause_s must be more than 0, and pause_s_max at least that and at most a day")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"retries: jitter must be 0 to 1, not {self.jitter!r}")
        if isinstance(self.on, str) or not all(isinstance(one, type | str) for one in self.on):
            raise ValueError(f"retries: on must be a tuple of exception classes or their names, not {self.on!r}")

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes in `on`."""
        return tuple(one if isinstance(one, str) else one.__name__ for one in self.on)

    def pause_after(self, error: BaseException, attempt: int) -> float | None:
        """Return how long to wait after an attempt, counted from 1, that has failed; `None` if that was the last."""
        names = self.names()
        if attempt >= self.attempts or (names and set(names).isdisjoint(types_of(error))):
            return None
        pause_s = min(self.pause_s * 2.0 ** min(attempt - 1, 60), self.pause_s_max)
        return pause_s * (1 + self.jitter * random.uniform(-1, 1))


ONCE = Retries(attempts=1)


def policy(said: "Retries | int | None") -> Retries | None:
    """Return a policy of what an author says: a number is that of the attempts.  Raises `TypeError`."""
    if said is not None and not isinstance(said, int | Retries):
        raise TypeError(f"retries: write a number of attempts or Retries(…), not {said!r:.80}")
    return Retries(attempts=said) if isinstance(said, int) else said


def types_of(error: BaseException) -> list[str]:
    """Return the names of an exception's classes, its own first, down to `Exception`."""
    return [each.__name__ for each in type(error).__mro__ if issubclass(each, Exception)]
