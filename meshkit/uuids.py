"""UUIDs of version 7 (RFC 9562): ids that sort by when they were made."""

import re
import secrets
import threading
import uuid
from collections.abc import Callable

from meshkit import clock

_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_RANDOM_BITS = 62
_COUNTER_BITS = 12


class Maker:
    """Makes ids of which each is greater than the one before, though many are made in a millisecond.

    RFC 9562 §6.2, method 1: a counter behind the milliseconds; it runs over into the next millisecond, and the time
    never goes back.
    """

    def __init__(self, now_ms: Callable[[], int] = clock.now_ms) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._last = 0
        """Milliseconds and counter, as one number."""

    def __call__(self) -> str:
        """Return a new id, in lower case with hyphens."""
        with self._lock:
            self._last = max(self._last + 1, self._now_ms() << _COUNTER_BITS)
            last = self._last
        millis, counter = last >> _COUNTER_BITS, last & ((1 << _COUNTER_BITS) - 1)
        value = (millis & (1 << 48) - 1) << 80 | 7 << 76 | counter << 64 | 2 << 62 | secrets.randbits(_RANDOM_BITS)
        return str(uuid.UUID(int=value))


make = Maker()
"""Returns a new id: the one maker of a process."""


def is_uuid(text: str) -> bool:
    """Return whether it is a UUID as we write them: lower case, with hyphens."""
    return _FORM.fullmatch(text) is not None
