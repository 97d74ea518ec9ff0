"""What somebody looks for at each wake in SQLite: who is next to be told, started again or ended.

Ids and numbers alone, by the indices that hold just these: what a job was given and made may be megabytes.
"""

import sqlite3

from services.runner.domain import Retrying
from services.runner.stores.rows import RETRYING_COLUMNS, UNASKED, retrying_of

# The planner would rather go along the jobs themselves: they are in the order that is asked for, too.
_RETRYING = (
    f"SELECT {RETRYING_COLUMNS} FROM jobs INDEXED BY jobs_retrying WHERE state = 'retrying' AND job_id > ?"
    " ORDER BY job_id LIMIT ?"
)
_TODO = (
    "SELECT job_id FROM jobs INDEXED BY jobs_todo WHERE payment_todo <> '' AND job_id > ?"
    f" UNION SELECT job_id FROM jobs INDEXED BY jobs_unasked WHERE {UNASKED} AND job_id > ?"
    " ORDER BY job_id LIMIT ?"
)
# The step of a payment stands behind what a job was given: only `jobs_unasked` says without it who has none.
_UNPAID = (
    "SELECT job_id FROM jobs INDEXED BY jobs_by_state WHERE state = 'awaiting_payment' AND job_id > ?"
    f" EXCEPT SELECT job_id FROM jobs INDEXED BY jobs_unasked WHERE {UNASKED} AND job_id > ?"
    " ORDER BY job_id LIMIT ?"
)
_LOCKS = (
    "SELECT lock_id, job_id FROM locks WHERE state = 'pending' AND expires_at <= ? ORDER BY expires_at, lock_id LIMIT ?"
)


def retrying(connection: sqlite3.Connection, after: str, limit: int) -> list[Retrying]:
    """As `JobStore.retrying_jobs`."""
    return list(map(retrying_of, connection.execute(_RETRYING, (after, limit))))


def todo(connection: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """As `JobStore.todo_jobs`."""
    return [row[0] for row in connection.execute(_TODO, (after, after, limit))]


def unpaid(connection: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """As `JobStore.unpaid_jobs`."""
    return [row[0] for row in connection.execute(_UNPAID, (after, after, limit))]


def locks(connection: sqlite3.Connection, before: float, limit: int) -> list[tuple[str, str]]:
    """As `JobStore.due_locks`."""
    return connection.execute(_LOCKS, (before, limit)).fetchall()
