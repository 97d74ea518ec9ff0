"""The runner's store in SQLite, over the group commit of `meshkit.sqlite`."""

import dataclasses
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from meshkit.errors import AlreadyExists, NotFound
from meshkit.sqlite import Database
from services.runner.domain import TERMINAL, Change, Event, Job, PlacedApp, Reason, Request, State

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
]

_FIELDS = [field.name for field in dataclasses.fields(Job)]
_COLUMNS = ", ".join(_FIELDS)
_INSERT = f"INSERT INTO jobs ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))})"
# What never changes after the create is not written again.
_FIXED = {"job_id", "flow", "owner", "inputs_json", "meta_json", "extra_json", "entry_point", "base_url", "created_at"}
_MOVING = [name for name in _FIELDS if name not in _FIXED]
_UPDATE = f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _MOVING)} WHERE job_id = ?"
_SELECT = f"SELECT {_COLUMNS} FROM jobs"
_STATE, _REASON = _FIELDS.index("state"), _FIELDS.index("reason")
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
        row = self._database.read(
            lambda connection: connection.execute(
                "SELECT body_hash, answer FROM requests WHERE owner = ? AND request_id = ?", (owner, request_id)
            ).fetchone()
        )
        if row is None:
            return None
        return Request(owner=owner, request_id=request_id, body_hash=row[0], answer=row[1])

    async def update(self, job_id: str, rule: Callable[[Job], Change]) -> tuple[Job, list[Event]]:
        """See `JobStore.update`."""

        def work(connection: sqlite3.Connection) -> tuple[Job, list[Event]]:
            job = _get(connection, job_id)
            return _apply(connection, job.last_seq, rule(job))

        return self._remember(await self._database.write(work))

    def get(self, job_id: str) -> Job:
        """See `JobStore.get`."""
        job = self._cache.get(job_id)
        if job is None:
            # Not remembered: a write that is on its way would be overtaken by what was read before it.
            job = self._database.read(lambda connection: _get(connection, job_id))
        return job

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """See `JobStore.events`."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(
                "SELECT seq, kind, time, payload, detail FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (job_id, after_seq, limit),
            )
            return [Event(seq=r[0], kind=r[1], time=r[2], payload=r[3], detail=r[4]) for r in rows]

        return self._database.read(work)

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
        return self._database.read(lambda connection: [_job(row) for row in connection.execute(statement)])

    async def delete(self, job_id: str) -> None:
        """See `JobStore.delete`."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,)).rowcount == 0:
                raise NotFound("job not found", resource=f"jobs/{job_id}")
            connection.execute("DELETE FROM events WHERE job_id = ?", (job_id,))

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
        rows = self._database.read(
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


def _row(job: Job) -> tuple[Any, ...]:
    return tuple(getattr(job, name) for name in _FIELDS)


def _job(row: Sequence[Any]) -> Job:
    values = list(row)
    values[_STATE], values[_REASON] = State(values[_STATE]), Reason(values[_REASON])
    return Job(**dict(zip(_FIELDS, values, strict=True)))


def _get(connection: sqlite3.Connection, job_id: str) -> Job:
    row = connection.execute(f"{_SELECT} WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        raise NotFound("job not found", resource=f"jobs/{job_id}")
    return _job(row)


def _apply(connection: sqlite3.Connection, last_seq: int, change: Change) -> tuple[Job, list[Event]]:
    numbered = [dataclasses.replace(event, seq=last_seq + index) for index, event in enumerate(change.events, start=1)]
    job = dataclasses.replace(change.job, last_seq=last_seq + len(numbered))
    connection.execute(_UPDATE, (*(getattr(job, name) for name in _MOVING), job.job_id))
    connection.executemany(
        "INSERT INTO events (job_id, seq, kind, time, payload, detail) VALUES (?, ?, ?, ?, ?, ?)",
        [(job.job_id, event.seq, event.kind, event.time, event.payload, event.detail) for event in numbered],
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
