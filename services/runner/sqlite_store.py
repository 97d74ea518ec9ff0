"""The runner's store in SQLite, over the group commit of `meshkit.sqlite`."""

import dataclasses
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from meshkit.errors import AlreadyExists, NotFound
from meshkit.sqlite import Database
from services.runner.domain import (
    TERMINAL,
    Change,
    Event,
    Job,
    Lock,
    LockState,
    PaymentStep,
    PlacedApp,
    Reason,
    Request,
    State,
)
from services.runner.store import LockQuery

MIGRATIONS = [
    """
    CREATE TABLE jobs (
      job_id TEXT PRIMARY KEY, flow TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
      error TEXT NOT NULL, result_json TEXT NOT NULL, inputs_json TEXT NOT NULL, inputs_blob BLOB NOT NULL,
      meta_json TEXT NOT NULL, extra_json TEXT NOT NULL, entry_point TEXT NOT NULL, base_url TEXT NOT NULL,
      created_at REAL NOT NULL, started_at REAL NOT NULL, finished_at REAL NOT NULL, updated_at REAL NOT NULL,
      last_seq INTEGER NOT NULL, host_id TEXT NOT NULL, epoch INTEGER NOT NULL, source_seq INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX jobs_by_owner ON jobs (owner, job_id);
    CREATE INDEX jobs_open ON jobs (state) WHERE state NOT IN ('succeeded', 'failed', 'cancelled');
    CREATE TABLE events (
      job_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, payload TEXT NOT NULL,
      detail TEXT NOT NULL, PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID;
    CREATE TABLE requests (
      owner TEXT NOT NULL, request_id TEXT NOT NULL, body_hash TEXT NOT NULL, answer BLOB NOT NULL,
      created_at REAL NOT NULL, PRIMARY KEY (owner, request_id)
    ) WITHOUT ROWID;
    CREATE TABLE apps (
      expose TEXT PRIMARY KEY, import_path TEXT NOT NULL, runtime_env_json TEXT NOT NULL,
      deployments_json TEXT NOT NULL, fork INTEGER NOT NULL, host_id TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN pending_locks TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_json TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_step TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN payment_todo TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN due_at REAL NOT NULL DEFAULT 0;
    CREATE INDEX jobs_todo ON jobs (job_id) WHERE payment_todo <> '';
    CREATE TABLE locks (
      lock_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL,
      elements_json TEXT NOT NULL, data_json TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
      state TEXT NOT NULL, answered_at REAL NOT NULL, answered_by TEXT NOT NULL, result_json TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX locks_by_job ON locks (job_id);
    CREATE INDEX locks_by_owner ON locks (owner, created_at);
    CREATE INDEX locks_pending ON locks (expires_at) WHERE state = 'pending';
    """,
]

_FIELDS = [field.name for field in dataclasses.fields(Job)]
_COLUMNS = ", ".join(_FIELDS)
_INSERT = f"INSERT INTO jobs ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"
# What never changes after the create is not written again.
_FIXED = {
    "job_id",
    "flow",
    "owner",
    "inputs_json",
    "meta_json",
    "extra_json",
    "entry_point",
    "base_url",
    "created_at",
    "payment_json",
}
_MOVING = [name for name in _FIELDS if name not in _FIXED]
_UPDATE = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _MOVING)} WHERE job_id = ?"
_SELECT = f"SELECT {_COLUMNS} FROM jobs"
# How the columns that are not plain text or numbers are read.
_READERS: dict[int, Callable[[Any], Any]] = {
    _FIELDS.index("state"): State,
    _FIELDS.index("reason"): Reason,
    _FIELDS.index("payment_step"): PaymentStep,
    _FIELDS.index("pending_locks"): lambda text: tuple(text.split()),
}
_LOCK_FIELDS = [field.name for field in dataclasses.fields(Lock)]
_LOCK_COLUMNS = ", ".join(_LOCK_FIELDS)
_CACHE_MAX = 10_000


class SqliteStore:
    """A `JobStore` and `AppStore` in one SQLite file.

    This process is the file's only writer, so jobs it has read or written are answered from a bounded cache.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[str, Job] = {}

    async def create(self, job: Job, events: Sequence[Event], request: Request | None) -> tuple[Job, list[Event]]:
        """See `JobStore.create`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, list[Event]]:
            try:
                connection.execute(_INSERT, _row(job))
            except sqlite3.IntegrityError:
                raise AlreadyExists("job exists", resource=f"jobs/{job.job_id}") from None
            if request is not None:
                _insert_request(connection, request, job.created_at)
            return _apply(connection, job.last_seq, Change(job=job, events=tuple(events)))

        return self._remember(await self._database.write(work))

    async def request(self, owner: str, request_id: str) -> Request | None:
        """See `JobStore.request`."""
        row = self._database.read_now(
            lambda connection: connection.execute(
                "SELECT body_hash, answer FROM requests WHERE owner = ? AND request_id = ?", (owner, request_id)
            ).fetchone()
        )
        if row is None:
            return None
        return Request(owner=owner, request_id=request_id, body_hash=row[0], answer=row[1])

    async def forget_requests(self, before: float) -> None:
        """See `JobStore.forget_requests`."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM requests WHERE created_at < ?", (before,)) and None
        )

    async def update(
        self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None
    ) -> tuple[Job, list[Event]]:
        """See `JobStore.update`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, list[Event]]:
            job = _get(connection, job_id)
            change = rule(job)
            if request is not None:
                _insert_request(connection, request, change.job.updated_at)
            return _apply(connection, job.last_seq, change)

        return self._remember(await self._database.write(work))

    def get(self, job_id: str) -> Job:
        """See `JobStore.get`."""
        job = self._cache.get(job_id)
        if job is None:
            # Not remembered: a write that is on its way would be overtaken by what was read before it.
            job = self._database.read_now(lambda connection: _get(connection, job_id))
        return job

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """See `JobStore.events`."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(
                "SELECT seq, kind, time, payload, detail FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (job_id, after_seq, limit),
            )
            return [Event(seq=r[0], kind=r[1], time=r[2], payload=r[3], detail=r[4]) for r in rows]

        return self._database.read_now(work)

    async def find(self, owner: str | None, query: str, before: str, limit: int) -> list[Job]:
        """See `JobStore.find`."""
        clauses, values = ["1"], []
        if owner is not None:
            clauses.append("owner = ?")
            values.append(owner)
        if before:
            clauses.append("job_id < ?")
            values.append(before)
        if query:
            text = "job_id || ' ' || flow || ' ' || state || ' ' || inputs_json || ' ' || result_json || ' ' || error"
            clauses.append(f"instr(lower({text} || ' ' || meta_json), ?) > 0")
            values.append(query.lower())
        statement = f"{_SELECT} WHERE {' AND '.join(clauses)} ORDER BY job_id DESC LIMIT ?"
        return await self._database.query(
            lambda connection: [_job(row) for row in connection.execute(statement, (*values, limit))]
        )

    def open_jobs(self) -> list[Job]:
        """See `JobStore.open_jobs`."""
        ended = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
        statement = f"{_SELECT} WHERE state NOT IN ({ended}) ORDER BY job_id"
        return self._database.read_now(lambda connection: [_job(row) for row in connection.execute(statement)])

    def todo_jobs(self) -> list[Job]:
        """See `JobStore.todo_jobs`."""
        statement = f"{_SELECT} WHERE payment_todo <> '' ORDER BY job_id"
        return self._database.read_now(lambda connection: [_job(row) for row in connection.execute(statement)])

    def get_lock(self, lock_id: str) -> Lock:
        """See `JobStore.get_lock`."""
        statement = f"SELECT {_LOCK_COLUMNS} FROM locks WHERE lock_id = ?"
        row = self._database.read_now(lambda connection: connection.execute(statement, (lock_id,)).fetchone())
        if row is None:
            raise NotFound("lock not found", resource=f"locks/{lock_id}")
        return _lock(row)

    def job_locks(self, job_id: str) -> list[Lock]:
        """See `JobStore.job_locks`."""
        statement = f"SELECT {_LOCK_COLUMNS} FROM locks WHERE job_id = ? ORDER BY created_at, lock_id"
        return self._database.read_now(
            lambda connection: [_lock(row) for row in connection.execute(statement, (job_id,))]
        )

    def pending_locks(self) -> list[Lock]:
        """See `JobStore.pending_locks`."""
        statement = f"SELECT {_LOCK_COLUMNS} FROM locks WHERE state = 'pending' ORDER BY expires_at, lock_id"
        return self._database.read_now(lambda connection: [_lock(row) for row in connection.execute(statement)])

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """See `JobStore.find_locks`."""
        clauses = ["1"]
        values: list[Any] = []
        for clause, value in (("owner = ?", query.owner), ("job_id = ?", query.job_id)):
            if value:
                clauses.append(clause)
                values.append(value)
        if not query.ended:
            clauses.append("state = 'pending'")
        if query.before is not None:
            clauses.append("(created_at, lock_id) < (?, ?)")
            values += query.before
        where = " AND ".join(clauses)
        statement = f"SELECT {_LOCK_COLUMNS} FROM locks WHERE {where} ORDER BY created_at DESC, lock_id DESC LIMIT ?"
        return await self._database.query(
            lambda connection: [_lock(row) for row in connection.execute(statement, (*values, limit))]
        )

    async def delete(self, job_id: str) -> None:
        """See `JobStore.delete`."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,)).rowcount == 0:
                raise NotFound("job not found", resource=f"jobs/{job_id}")
            connection.execute("DELETE FROM events WHERE job_id = ?", (job_id,))
            connection.execute("DELETE FROM locks WHERE job_id = ?", (job_id,))

        self._cache.pop(job_id, None)
        await self._database.write(work)
        self._cache.pop(job_id, None)

    async def save_app(self, app: PlacedApp) -> None:
        """See `AppStore.save_app`."""
        row = (app.expose, app.import_path, app.runtime_env_json, app.deployments_json, app.fork, app.host_id)
        await self._database.write(
            lambda connection: connection.execute("INSERT OR REPLACE INTO apps VALUES (?, ?, ?, ?, ?, ?)", row) and None
        )

    async def delete_app(self, expose: str) -> None:
        """See `AppStore.delete_app`."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM apps WHERE expose = ?", (expose,)) and None
        )

    def apps(self) -> list[PlacedApp]:
        """See `AppStore.apps`."""
        rows = self._database.read_now(
            lambda connection: connection.execute(
                "SELECT expose, import_path, runtime_env_json, deployments_json, fork, host_id FROM apps ORDER BY 1"
            ).fetchall()
        )
        return [
            PlacedApp(
                expose=r[0],
                import_path=r[1],
                runtime_env_json=r[2],
                deployments_json=r[3],
                fork=bool(r[4]),
                host_id=r[5],
            )
            for r in rows
        ]

    def _remember(self, written: tuple[Job, list[Event]]) -> tuple[Job, list[Event]]:
        job = written[0]
        # Answers arrive in the order of their commits, so the last one is the newest.
        if len(self._cache) >= _CACHE_MAX:
            self._cache.pop(next(iter(self._cache)))
        self._cache.pop(job.job_id, None)
        self._cache[job.job_id] = job
        return written


def _row(job: Job, names: Sequence[str] = _FIELDS) -> list[Any]:
    return [" ".join(job.pending_locks) if name == "pending_locks" else getattr(job, name) for name in names]


def _lock(row: Sequence[Any]) -> Lock:
    values = dict(zip(_LOCK_FIELDS, row, strict=True))
    return Lock(**{**values, "state": LockState(values["state"])})


def _job(row: Sequence[Any]) -> Job:
    values = list(row)
    for index, read in _READERS.items():
        values[index] = read(values[index])
    return Job(**dict(zip(_FIELDS, values, strict=True)))


def _get(connection: sqlite3.Connection, job_id: str) -> Job:
    row = connection.execute(f"{_SELECT} WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    return _job(row)


def _apply(connection: sqlite3.Connection, last_seq: int, change: Change) -> tuple[Job, list[Event]]:
    numbered = [event.numbered(seq) for seq, event in enumerate(change.events, start=last_seq + 1)]
    job = dataclasses.replace(change.job, last_seq=last_seq + len(numbered))
    connection.execute(_UPDATE, (*_row(job, _MOVING), job.job_id))
    connection.executemany(
        "INSERT INTO events (job_id, seq, kind, time, payload, detail) VALUES (?, ?, ?, ?, ?, ?)",
        [(job.job_id, event.seq, event.kind, event.time, event.payload, event.detail) for event in numbered],
    )
    for lock in change.opened:
        values = [getattr(lock, name) for name in _LOCK_FIELDS]
        connection.execute(f"INSERT INTO locks ({_LOCK_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    for end in change.ended:
        connection.execute(
            "UPDATE locks SET state = ?, answered_at = ?, answered_by = ?, result_json = ? WHERE lock_id = ?",
            (end.state, end.at if end.state == LockState.ANSWERED else 0.0, end.by, end.result_json, end.lock_id),
        )
    return job, numbered


def _insert_request(connection: sqlite3.Connection, request: Request, now: float) -> None:
    try:
        connection.execute(
            "INSERT INTO requests (owner, request_id, body_hash, answer, created_at) VALUES (?, ?, ?, ?, ?)",
            (request.owner, request.request_id, request.body_hash, request.answer, now),
        )
    except sqlite3.IntegrityError:
        raise AlreadyExists("request was made before", resource=request.request_id) from None
