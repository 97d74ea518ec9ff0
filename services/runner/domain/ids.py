"""Ids of jobs: 24 hex digits that sort by creation, and that nobody guesses.

Four bytes of time in seconds, as in an ObjectId of BSON, twelve bits of its fraction, and 52 random bits: the public
reads a job by its id alone, and one id must not tell the next.
"""

import re
from collections.abc import Callable

_ID = re.compile(r"[0-9a-f]{24}")
_FRACTION_BITS, _RANDOM_BITS = 12, 52


class JobIds:
    """Makes ids; `random_bits(n)` is a number of `n` bits that nobody can foretell."""

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._last = 0

    def new(self, now: float) -> str:
        """Return an id that sorts behind those before it."""
        self._last = max(self._last + 1, int(now * (1 << _FRACTION_BITS)))
        return f"{self._last << _RANDOM_BITS | self._random_bits(_RANDOM_BITS):024x}"


def is_job_id(text: str) -> bool:
    """Return whether `text` may be the id of a job."""
    return _ID.fullmatch(text) is not None
