"""How jobs, their logs and their locks are read and written in SQLite, within somebody's transaction."""

import dataclasses
import sqlite3
from collections.abc import Sequence

from meshkit.errors import NotFound
from services.runner.domain import Change, Event, Job, LockState, pages
from services.runner.ports.store import DELETED_KEPT_S, Written
from services.runner.stores.remains import JOBS, WAS_THERE
from services.runner.stores.rows import INSERT, SELECT, UPDATE, inserted, job_exists, job_of, lock_exists, updated
from services.runner.stores.sqlite import conversations, index, locks, memories, remains, webhooks

_FORGOTTEN_MAX = 100
"""Of those that were deleted long ago, with each that is: fewer come at a time."""


def open_count(connection: sqlite3.Connection, owner: str) -> int:
    """Return how many jobs of an owner have not ended."""
    row = connection.execute("SELECT count FROM open_counts WHERE owner = ?", (owner,)).fetchone()
    return 0 if row is None else int(row[0])


def stored_bytes(connection: sqlite3.Connection, owner: str) -> int:
    """Return how many bytes are kept of an owner's jobs."""
    row = connection.execute("SELECT bytes FROM stored_bytes WHERE owner = ?", (owner,)).fetchone()
    return 0 if row is None else int(row[0])


def get(connection: sqlite3.Connection, job_id: str) -> Job:
    """Return a job.  Raises `NotFound`."""
    row = connection.execute(f"{SELECT} WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    return job_of(row)


def insert(connection: sqlite3.Connection, job: Job) -> None:
    """Keep a new job.  Raises `AlreadyExists`."""
    if connection.execute(WAS_THERE.format(job_id="?1"), (job.job_id,)).fetchone() is not None:
        raise job_exists(job.job_id)
    try:
        connection.execute(INSERT, inserted(job))
    except sqlite3.IntegrityError:
        raise job_exists(job.job_id) from None


def apply(connection: sqlite3.Connection, before: Job, change: Change) -> Written:
    """Write what a rule has decided of a job.  Raises `AlreadyExists` if the id of a lock is taken."""
    numbered = [event.numbered(seq) for seq, event in enumerate(change.events, start=before.last_seq + 1)]
    job = dataclasses.replace(
        change.job, last_seq=before.last_seq + len(numbered), stored_bytes=pages.kept(before, change)
    )
    connection.execute(UPDATE, updated(job))
    append(connection, job.job_id, numbered)
    conversations.append(connection, change.said)
    memories.write(connection, change.remembered)
    webhooks.tell(connection, before, job, change)
    if job.ended and not before.ended:  # from here on nothing changes of it that is searched
        index.enlist(connection, job.job_id)
    for lock in change.opened:
        values = [getattr(lock, name) for name in locks.FIELDS]
        try:
            connection.execute(f"INSERT INTO locks ({locks.COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
        except sqlite3.IntegrityError:
            raise lock_exists(lock.lock_id) from None
    for end in change.ended:
        connection.execute(
            "UPDATE locks SET state = ?, answered_at = ?, answered_by = ?, result_json = ?, sealed = ?"
            " WHERE lock_id = ?",
            (
                end.state,
                end.at if end.state == LockState.ANSWERED else 0.0,
                end.by,
                end.result_json,
                end.sealed,
                end.lock_id,
            ),
        )
    return job, numbered


def delete(connection: sqlite3.Connection, job_id: str, at: float) -> bool:
    """Forget a job, but for a while that there was one; return whether some of it is left to be swept.

    Raises `NotFound`.
    """
    index.withdraw(connection, job_id)
    gone = connection.execute("DELETE FROM jobs WHERE job_id = ? RETURNING owner", (job_id,)).fetchall()
    if not gone:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    connection.execute(
        "DELETE FROM deleted_jobs WHERE job_id IN (SELECT job_id FROM deleted_jobs WHERE deleted_at < ? LIMIT ?)",
        (at - DELETED_KEPT_S, _FORGOTTEN_MAX),
    )
    connection.execute("INSERT OR REPLACE INTO deleted_jobs VALUES (?, ?, ?)", (job_id, gone[0][0], at))
    connection.execute("DELETE FROM briefs WHERE job_id = ?", (job_id,))
    connection.execute("DELETE FROM locks WHERE job_id = ? AND state = 'pending'", (job_id,))
    return remains.leave(connection, JOBS, job_id, gone[0][0])


def append(connection: sqlite3.Connection, job_id: str, numbered: Sequence[Event]) -> None:
    """Add to the log of a job."""
    connection.executemany(
        "INSERT INTO events (job_id, seq, kind, time, payload, detail, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(job_id, event.seq, event.kind, event.time, event.payload, event.detail, event.sealed) for event in numbered],
    )
