"""How jobs, their logs and their locks are written in PostgreSQL, within somebody's transaction."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from meshkit.errors import AlreadyExists, NotFound
from meshkit.postgres import Connection
from services.runner.domain import Birth, Change, Event, Job, Lock, LockEnd, LockState, pages
from services.runner.ports.store import DELETED_KEPT_S, TooManyOpen, TooMuchStored, Written
from services.runner.stores import postgres_records, postgres_webhooks
from services.runner.stores.postgres_rows import places, row, rows
from services.runner.stores.rows import INSERT, SELECT, UPDATE, inserted, job_of, updated

LOCK_FIELDS = [field.name for field in dataclasses.fields(Lock)]
LOCK_COLUMNS = ", ".join(LOCK_FIELDS)
EVENT_COLUMNS = "seq, kind, time, payload, detail"
SEALED_COLUMNS = f"{EVENT_COLUMNS}, sealed"
_INSERT = INSERT.replace("?", "%s") + " ON CONFLICT DO NOTHING RETURNING 1"
_UPDATE = UPDATE.replace("?", "%s")
_GET = f"{SELECT} WHERE job_id = %s"
_COUNTS = "SELECT coalesce(sum(open), 0), coalesce(sum(bytes), 0), count(*) FROM owner_counts WHERE owner = %s"
_NEAR = 2_000
"""Who has fewer jobs to go than that may be racing against themselves at another replica: they go one by one."""
_COUNTS_MAX = 200
"""Rows of an owner's counts that are made one."""


def lock_from(record: Sequence[Any]) -> Lock:
    """Return the lock of a row of `LOCK_COLUMNS`."""
    values = dict(zip(LOCK_FIELDS, record, strict=True))
    return Lock(**{**values, "state": LockState(values["state"])})


def event_from(record: Sequence[Any]) -> Event:
    """Return the event of a row of `EVENT_COLUMNS` or `SEALED_COLUMNS`."""
    seq, kind, time, payload, detail, *sealed = record
    return Event(seq=seq, kind=kind, time=time, payload=payload, detail=detail, sealed=sealed[0] if sealed else b"")


async def get(connection: Connection, job_id: str, *, locked: bool = False) -> Job:
    """Return a job; its row is ours until the end of the transaction if `locked`.  Raises `NotFound`."""
    found = await row(connection, _GET + " FOR UPDATE" if locked else _GET, job_id)
    if found is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    return job_of(found)


async def check_share(
    connection: Connection, owner: str, more: int, open_max: int | None, stored_max: int | None
) -> None:
    """Raise `TooManyOpen` or `TooMuchStored` if an owner may not have so many jobs more.

    An owner who comes near to their share has their launches counted one by one, whatever replica takes them: until the
    end of the transaction nobody else launches for them.
    """
    counts = await _counts(connection, owner)
    if open_max is not None and counts[0] + more > open_max - _NEAR:
        await rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", owner)
        counts = await _counts(connection, owner)
    if open_max is not None and counts[0] + more > open_max:
        raise TooManyOpen
    if stored_max is not None and counts[1] >= stored_max:
        raise TooMuchStored
    if counts[2] > _COUNTS_MAX:
        await _merge_counts(connection, owner)


async def _counts(connection: Connection, owner: str) -> tuple[int, int, int]:
    """Return how many open jobs and bytes an owner has, and of how many rows that is the sum."""
    jobs, stored, count = await row(connection, _COUNTS, owner)
    return int(jobs), int(stored), int(count)


async def stored_bytes(connection: Connection, owner: str) -> int:
    """Return how many bytes are kept of an owner."""
    return (await _counts(connection, owner))[1]


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


async def insert(connection: Connection, birth: Birth) -> Written:
    """Keep a new job with the head of its log.  Raises `AlreadyExists`."""
    numbered = [event.numbered(seq) for seq, event in enumerate(birth.events, start=1)]
    job = dataclasses.replace(birth.job, last_seq=len(numbered), stored_bytes=pages.kept_at_birth(birth))
    if await row(connection, _INSERT, *inserted(job)) is None:
        raise AlreadyExists("job exists", resource=f"jobs/{job.job_id}")
    await _append(connection, job.job_id, numbered)
    await postgres_records.append(connection, birth.said)
    if birth.brief:
        await rows(connection, "INSERT INTO briefs (job_id, brief) VALUES (%s, %s)", job.job_id, birth.brief)
    await postgres_webhooks.tell(connection, None, job, Change(job=job))
    return job, numbered


async def apply(connection: Connection, before: Job, change: Change) -> Written:
    """Write what a rule has decided of a job whose row is ours."""
    numbered = [event.numbered(seq) for seq, event in enumerate(change.events, start=before.last_seq + 1)]
    job = dataclasses.replace(
        change.job, last_seq=before.last_seq + len(numbered), stored_bytes=pages.kept(before, change)
    )
    await rows(connection, _UPDATE, *updated(job))
    await _append(connection, job.job_id, numbered)
    await postgres_records.append(connection, change.said)
    await postgres_records.remember(connection, change.remembered)
    for lock in change.opened:
        statement = f"INSERT INTO locks ({LOCK_COLUMNS}) VALUES ({places(len(LOCK_FIELDS))})"
        await rows(connection, statement, *(getattr(lock, name) for name in LOCK_FIELDS))
    for end in change.ended:
        await _end_lock(connection, end)
    await postgres_webhooks.tell(connection, before, job, change)
    return job, numbered


async def _end_lock(connection: Connection, end: LockEnd) -> None:
    answered_at = end.at if end.state == LockState.ANSWERED else 0.0
    await rows(
        connection,
        "UPDATE locks SET state = %s, answered_at = %s, answered_by = %s, result_json = %s, sealed = %s "
        "WHERE lock_id = %s",
        end.state,
        answered_at,
        end.by,
        end.result_json,
        end.sealed,
        end.lock_id,
    )


async def _append(connection: Connection, job_id: str, numbered: Sequence[Event]) -> None:
    if not numbered:
        return
    await rows(
        connection,
        f"INSERT INTO events (job_id, {SEALED_COLUMNS}) SELECT %s::text, * FROM unnest("
        "%s::bigint[], %s::text[], %s::double precision[], %s::text[], %s::text[], %s::bytea[])",
        job_id,
        [event.seq for event in numbered],
        [event.kind for event in numbered],
        [event.time for event in numbered],
        [event.payload for event in numbered],
        [event.detail for event in numbered],
        [event.sealed for event in numbered],
    )


async def delete(connection: Connection, job_id: str, at: float) -> None:
    """Forget a job, but for a while that there was one.  Raises `NotFound`."""
    gone = await row(connection, "DELETE FROM jobs WHERE job_id = %s RETURNING owner", job_id)
    if gone is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    await rows(connection, "DELETE FROM deleted_jobs WHERE deleted_at < %s", at - DELETED_KEPT_S)
    await rows(
        connection,
        "INSERT INTO deleted_jobs VALUES (%s, %s, %s) "
        "ON CONFLICT (job_id) DO UPDATE SET owner = excluded.owner, deleted_at = excluded.deleted_at",
        job_id,
        gone[0],
        at,
    )
    for table in ("events", "locks", "briefs"):
        await rows(connection, f"DELETE FROM {table} WHERE job_id = %s", job_id)
