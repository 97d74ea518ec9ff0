"""How a job is a row of the table `jobs`: the same columns as `Job` has fields."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from meshkit.errors import AlreadyExists
from services.runner.domain import Isolation, Job, PaymentStep, Reason, Retrying, State

_FIELDS = [field.name for field in dataclasses.fields(Job)]
# What never changes after the create is not written again.
_FIXED = {
    "job_id",
    "flow",
    "target",
    "owner",
    "inputs_json",
    "meta_json",
    "extra_json",
    "entry_point",
    "base_url",
    "traceparent",
    "isolation",
    "labels_json",
    "conversation",
    "created_at",
    "payment_json",
    "attempts_max",
    "retries_json",
    "deadline_at",
    "budget_json",
    "concurrency_limit",
}
_MOVING = [name for name in _FIELDS if name not in _FIXED]
# How the columns that are not plain text or numbers are read.
_READERS: dict[int, Callable[[Any], Any]] = {
    _FIELDS.index("state"): State,
    _FIELDS.index("reason"): Reason,
    _FIELDS.index("payment_step"): PaymentStep,
    _FIELDS.index("isolation"): Isolation,
    _FIELDS.index("pending_locks"): lambda text: tuple(text.split()),
}
COLUMNS = ", ".join(_FIELDS)
INSERT = f"INSERT INTO jobs ({COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"
UPDATE = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _MOVING)} WHERE job_id = ?"
SELECT = f"SELECT {COLUMNS} FROM jobs"
_RETRYING_FIELDS = [field.name for field in dataclasses.fields(Retrying)]
RETRYING_COLUMNS = ", ".join(_RETRYING_FIELDS)
# As the index `jobs_open` has it, word by word: it is not used for another order of the same states.
OPEN = "state NOT IN ('succeeded', 'failed', 'cancelled')"
ENDED = "state IN ('succeeded', 'failed', 'cancelled')"
# As the indices `jobs_unasked` and `jobs_sold` have it.
UNASKED = "state = 'awaiting_payment' AND payment_step = ''"
SOLD = "payment_step IN ('initialized', 'locked')"
"""Whose sale is not settled yet."""
FORGETTABLE = f"{ENDED} AND payment_todo = '' AND NOT {SOLD}"
"""Of which nobody is to hear anything more."""


def inserted(job: Job) -> list[Any]:
    """Return the values for `INSERT`."""
    return _values(job, _FIELDS)


def updated(job: Job) -> list[Any]:
    """Return the values for `UPDATE`."""
    return [*_values(job, _MOVING), job.job_id]


def job_of(row: Sequence[Any]) -> Job:
    """Return the job of a row of `COLUMNS`."""
    values = list(row)
    for index, read in _READERS.items():
        values[index] = read(values[index])
    return Job(**dict(zip(_FIELDS, values, strict=True)))


def retrying_of(row: Sequence[Any]) -> Retrying:
    """Return what says when a job is started again, of a row of `RETRYING_COLUMNS`."""
    return Retrying(**dict(zip(_RETRYING_FIELDS, row, strict=True)))


def job_exists(job_id: str) -> AlreadyExists:
    """Return what is raised for the id of a job that is taken, or was before it was deleted."""
    return AlreadyExists("job exists", resource=f"jobs/{job_id}")


def lock_exists(lock_id: str) -> AlreadyExists:
    """Return the error for a lock whose id is taken, by whatever job: who opens it has chosen the id."""
    return AlreadyExists("a lock of this id exists: choose another", resource=f"locks/{lock_id}")


def _values(job: Job, names: Sequence[str]) -> list[Any]:
    return [" ".join(job.pending_locks) if name == "pending_locks" else getattr(job, name) for name in names]
