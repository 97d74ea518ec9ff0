"""What is read of jobs, counted of their owners, and forgotten in PostgreSQL, within somebody's transaction."""

import collections
import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from meshkit.errors import NotFound
from meshkit.postgres import Connection
from services.runner.domain import Asked, Event, Job, Lock, LockEnd, LockState
from services.runner.ports.store import DELETED_KEPT_S, TooManyOpen, TooMuchStored
from services.runner.stores.postgres import remains
from services.runner.stores.postgres.rows import each, row, rows
from services.runner.stores.remains import BYTES_MAX, JOBS, ROWS_MAX
from services.runner.stores.rows import SELECT, job_of

LOCK_FIELDS = [field.name for field in dataclasses.fields(Lock)]
LOCK_COLUMNS = ", ".join(LOCK_FIELDS)
_ASKED_FIELDS = [field.name for field in dataclasses.fields(Asked)]
ASKED_COLUMNS = ", ".join(_ASKED_FIELDS)
END_COLUMNS = "lock_id, state, answered_at, answered_by, result_json, sealed"
EVENT_COLUMNS = "seq, kind, time, payload, detail"
SEALED_COLUMNS = f"{EVENT_COLUMNS}, sealed"
_GET = f"{SELECT} WHERE job_id = %s"
_COUNTS = (
    "SELECT coalesce(sum(open), 0)::bigint, coalesce(sum(bytes), 0)::bigint, count(*) "
    "FROM owner_counts WHERE owner = %s"
)
_NEAR = 2_000
"""Who has fewer jobs to go than that may be racing against themselves at another replica: they go one by one."""
_FORGOTTEN_MAX = 100
"""Of those that were deleted long ago, with each that is: fewer come at a time."""
_COUNTS_MAX = 200
"""Rows of an owner's counts that are made one."""


def lock_from(record: Sequence[Any]) -> Lock:
    """Return the lock of a row of `LOCK_COLUMNS`."""
    values = dict(zip(LOCK_FIELDS, record, strict=True))
    return Lock(**{**values, "state": LockState(values["state"])})


def asked_from(record: Sequence[Any]) -> Asked:
    """Return what is told of a lock, of a row of `ASKED_COLUMNS`."""
    values = dict(zip(_ASKED_FIELDS, record, strict=True))
    return Asked(**{**values, "state": LockState(values["state"])})


def end_from(record: Sequence[Any]) -> LockEnd:
    """Return how a lock has ended, of a row of `END_COLUMNS`."""
    lock_id, state, at, by, result_json, sealed = record
    return LockEnd(lock_id=lock_id, state=LockState(state), at=at, by=by, result_json=result_json, sealed=sealed)


def event_from(record: Sequence[Any]) -> Event:
    """Return the event of a row of `EVENT_COLUMNS` or `SEALED_COLUMNS`."""
    seq, kind, time, payload, detail, *sealed = record
    return Event(seq=seq, kind=kind, time=time, payload=payload, detail=detail, sealed=sealed[0] if sealed else b"")


async def get(connection: Connection, job_id: str) -> Job:
    """Return a job.  Raises `NotFound`."""
    found = await row(connection, _GET, job_id)
    if found is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    return job_of(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What an owner is to have more, and what they may have at most: as `JobStore.create` has it."""

    owner: str
    jobs: int
    bytes: int
    open_max: int | None
    stored_max: int | None


@dataclasses.dataclass(slots=True)
class _Counts:
    """What is counted of an owner, and of how many rows that is the sum."""

    open: int
    bytes: int
    rows: int

    def refuse(self, wanted: Wanted) -> TooManyOpen | TooMuchStored | None:
        """Count what is wanted, or return why it is too much."""
        if wanted.open_max is not None and self.open + wanted.jobs > wanted.open_max:
            return TooManyOpen()
        if wanted.stored_max is not None and self.bytes >= wanted.stored_max:
            return TooMuchStored()
        self.open += wanted.jobs
        self.bytes += wanted.bytes
        return None


async def check_shares(connection: Connection, wanted: Sequence[Wanted]) -> list[TooManyOpen | TooMuchStored | None]:
    """Return for each why it is too much, with those before it; None for what an owner may have.

    An owner who comes near to their share has their launches counted one by one, whatever replica takes them: until the
    end of the transaction nobody else launches for them.
    """
    counts = await _counts(connection, {one.owner for one in wanted if (one.open_max, one.stored_max) != (None, None)})
    more: collections.Counter[str] = collections.Counter()
    for one in wanted:
        more[one.owner] += one.jobs
    near = {
        one.owner
        for one in wanted
        if one.open_max is not None and counts[one.owner].open + more[one.owner] > one.open_max - _NEAR
    }
    for owner in sorted(near):
        await rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", owner)
    counts |= await _counts(connection, near)
    for owner, count in counts.items():
        if count.rows > _COUNTS_MAX:
            await _merge_counts(connection, owner)
    return [counts[one.owner].refuse(one) if one.owner in counts else None for one in wanted]


async def _counts(connection: Connection, owners: Collection[str]) -> dict[str, _Counts]:
    found = await each(connection, _COUNTS, [[owner] for owner in owners])
    return {owner: _Counts(*record) for owner, record in zip(owners, found, strict=True)}


async def stored_bytes(connection: Connection, owner: str) -> int:
    """Return how many bytes are kept of an owner."""
    return (await _counts(connection, [owner]))[owner].bytes


async def _merge_counts(connection: Connection, owner: str) -> None:
    """Make one row of an owner's counts; rows that somebody else is merging are left to them."""
    await rows(
        connection,
        "WITH gone AS (DELETE FROM owner_counts WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM owner_counts WHERE owner = %s FOR UPDATE SKIP LOCKED)) RETURNING open, bytes) "
        "INSERT INTO owner_counts SELECT %s, sum(open), sum(bytes) FROM gone HAVING count(*) > 0",
        owner,
        owner,
    )


async def delete(connection: Connection, job_id: str, at: float) -> bool:
    """Forget a job, but for a while that there was one; return whether some of it is left to be swept.

    Raises `NotFound`.
    """
    gone = await row(connection, "DELETE FROM jobs WHERE job_id = %s RETURNING owner, last_seq, stored_bytes", job_id)
    if gone is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    await rows(
        connection,
        "DELETE FROM deleted_jobs WHERE job_id IN (SELECT job_id FROM deleted_jobs WHERE deleted_at < %s"
        " LIMIT %s FOR UPDATE SKIP LOCKED)",
        at - DELETED_KEPT_S,
        _FORGOTTEN_MAX,
    )
    await rows(
        connection,
        "INSERT INTO deleted_jobs VALUES (%s, %s, %s) "
        "ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner, deleted_at = excluded.deleted_at",
        job_id,
        gone[0],
        at,
    )
    await rows(connection, "DELETE FROM briefs WHERE job_id = %s", job_id)
    if gone[1] > ROWS_MAX or gone[2] > BYTES_MAX:
        await rows(connection, "DELETE FROM locks WHERE job_id = %s AND state = 'pending'", job_id)
        return await remains.leave(connection, JOBS, job_id, gone[0])
    for table in ("events", "locks"):  # each lock is an event, too
        await rows(connection, f"DELETE FROM {table} WHERE job_id = %s", job_id)
    return False
