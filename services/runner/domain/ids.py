"""Ids of jobs: 24 hex digits that sort by creation (BSON specification, "ObjectId").

Four bytes of time in seconds, five that tell this process from others, three that count.
"""

import itertools
import re

_ID = re.compile(r"[0-9a-f]{24}")
_COUNTER_BITS = 24


class JobIds:
    """Makes ids; `salt` are five random bytes, `first` where the count begins."""

    def __init__(self, salt: bytes, first: int) -> None:
        self._salt = salt
        self._count = itertools.count(first)

    def new(self, now: float) -> str:
        """Return an id that sorts behind those of earlier seconds."""
        count = next(self._count) % (1 << _COUNTER_BITS)
        return (int(now).to_bytes(4, "big") + self._salt + count.to_bytes(3, "big")).hex()


def is_job_id(text: str) -> bool:
    """Return whether `text` may be the id of a job."""
    return _ID.fullmatch(text) is not None
