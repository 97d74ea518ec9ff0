"""When a job is started again: its policy, as its flow or its launch has it."""

import dataclasses
import hashlib
import json
import math

from services.runner.domain.records import End, Job, Retrying
from services.runner.domain.states import Reason

LOST = "WorkerLost"
"""What a policy calls that a host or process is gone."""
ATTEMPTS_MAX = 100
_PAUSE_S_LIMIT = 86_400.0
_NAMES_MAX = 32
_NAME_CHARS_MAX = 200
_DOUBLINGS_MAX = 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """As `mesh.runner.v1.RetryPolicy`, with what it takes where nothing is said."""

    attempts: int = 1
    pause_s: float = 0.1
    pause_s_max: float = 10.0
    jitter: float = 0.0
    on: tuple[str, ...] = ()

    def wrong(self) -> dict[str, list[str]]:
        """Return what is wrong with it, by field."""
        found = {}
        if not 1 <= self.attempts <= ATTEMPTS_MAX:
            found["attempts"] = [f"must be 1 to {ATTEMPTS_MAX}"]
        for name in ("pause_s", "pause_s_max"):
            if not (math.isfinite(pause_s := getattr(self, name)) and 0 < pause_s <= _PAUSE_S_LIMIT):
                found[name] = ["must be more than 0 and at most a day, in seconds"]
        if not 0 <= self.jitter <= 1:
            found["jitter"] = ["must be 0 to 1"]
        if len(self.on) > _NAMES_MAX or not all(0 < len(name) <= _NAME_CHARS_MAX for name in self.on):
            found["on"] = [f"must be at most {_NAMES_MAX} names of classes, of at most {_NAME_CHARS_MAX} characters"]
        return found

    def dumped(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))


_OWN = Retries(on=(LOST,))
"""Of agents and crews: the engine tries calls of models again by itself."""


def of(job: Job | Retrying) -> Retries:
    """Return a job's policy."""
    if not job.retries_json:
        return _OWN
    kept = json.loads(job.retries_json)
    return Retries(**{**kept, "on": tuple(kept["on"])})


def is_meant(job: Job, end: End) -> bool:
    """Return whether a job's policy is about such an end."""
    on = of(job).on
    if end.reason == Reason.WORKER_LOST:
        return not on or LOST in on
    return bool(end.error_types) and (not on or not set(on).isdisjoint(end.error_types))


def pause_s(job: Job | Retrying) -> float:
    """Return how long a job waits ahead of its next attempt: the same however often it is asked."""
    policy = of(job)
    # A host that is lost with a job before it has begun counts no attempt, but a lease.
    failed = max(job.failures - 1, (job.epoch - 2 * job.attempt) // 2, 0)
    pause = min(policy.pause_s * 2.0 ** min(failed, _DOUBLINGS_MAX), policy.pause_s_max)
    drawn = hashlib.sha256(f"{job.job_id}/{job.epoch}".encode()).digest()
    return pause * (1 + policy.jitter * (int.from_bytes(drawn[:4]) / 2**31 - 1))
