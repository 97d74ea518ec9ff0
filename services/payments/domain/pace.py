"""How often things are tried."""

import dataclasses
import random

from meshkit.errors import Denied, Exhausted, FailedPrecondition, Invalid, MeshError, Unauthenticated


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds, each varied by a quarter, so that meshes do not march in step."""

    poll_s: float = 5.0
    """Between polls while somebody waits for money or for a hash to reach the chain."""
    idle_poll_s: float = 60.0
    """Between polls while open payments only ripen."""
    retry_s: float = 1.0
    """Before the first retry; doubled with each."""
    retry_max_s: float = 60.0
    overlap_ms: int = 5_000
    """How far a poll reaches back: what commits late at the provider is not missed."""

    def poll_delay_s(self, *, urgent: bool) -> float:
        """Return how long it is until the next poll."""
        return _varied(self.poll_s if urgent else self.idle_poll_s)

    def retry_delay_s(self, attempt: int, error: MeshError | None = None) -> float:
        """Return how long to wait before this retry (from 1), by what went wrong."""
        if isinstance(error, Exhausted):
            return _varied(max(error.retry_after_s, self.retry_s))
        if isinstance(error, Unauthenticated | Denied | Invalid | FailedPrecondition):
            attempt += 3  # a person must act: there is no hurry
        return _varied(min(self.retry_s * 2 ** min(attempt - 1, 30), self.retry_max_s))


def _varied(seconds: float) -> float:
    return seconds * random.uniform(0.75, 1.25)
