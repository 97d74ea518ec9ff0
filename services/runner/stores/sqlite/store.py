"""The runner's store in SQLite, over the group commit of `meshkit.sqlite`."""

import dataclasses
import functools
import json
import sqlite3
from collections.abc import Callable, Sequence

from meshkit import paging
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain import (
    Asked,
    Birth,
    Change,
    Event,
    Isolation,
    Job,
    Lock,
    LockEnd,
    PlacedApp,
    Retrying,
    State,
    pages,
)
from services.runner.ports.store import (
    ANY,
    EVENTS_BYTES_MAX,
    JobFilter,
    LockQuery,
    TooManyOpen,
    TooMuchStored,
    Written,
)
from services.runner.stores.remains import JOBS, ROWS_MAX, there
from services.runner.stores.rows import ENDED, OPEN, SELECT, SOLD, job_of
from services.runner.stores.sqlite import conversations, dues, index, jobs, locks, remains, search, webhooks
from services.runner.stores.sqlite.conversations import SqliteConversations
from services.runner.stores.sqlite.indexer import Indexer
from services.runner.stores.sqlite.memories import SqliteMemories
from services.runner.stores.sqlite.requests import insert_request
from services.runner.stores.sqlite.retention import SqliteRetention
from services.runner.stores.sqlite.schedules import SqliteSchedules
from services.runner.stores.sqlite.webhooks import SqliteWebhooks
from services.runner.stores.texts import folded

_APP_COLUMNS = "expose, import_path, runtime_env_json, deployments_json, fork, isolation, bounds, host_ids, sealed"
# As the index `jobs_late` has it, word by word; what is being stopped is told apart behind it.
_TIMED = f"deadline_at > 0 AND {OPEN} AND state <> 'stopping'"
_THERE = there(JOBS, "?1")
"""What is left of the log of a job that was deleted is nobody's to read."""
_CACHE_MAX = 10_000
_CACHE_BYTES_MAX = 64 * 1024 * 1024


class SqliteStore:
    """A `JobStore` and `AppStore` in one SQLite file.

    This process is the file's only writer, so jobs it has read or written are answered from a bounded cache.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[str, Job] = {}
        self._cached_bytes = 0
        self.indexer = Indexer(database)
        """Makes jobs that have ended fast to find; they are found without it, too."""
        self.sweeper = remains.sweeper(database)
        """Takes away what is left of what was deleted; nobody sees that, while it is there."""
        self.conversations = SqliteConversations(database, self.sweeper)
        self.memories = SqliteMemories(database)
        self.schedules = SqliteSchedules(database)
        self.webhooks = SqliteWebhooks(database, self.sweeper)
        self.retention = SqliteRetention(database, self.sweeper)

    async def create(
        self,
        births: Sequence[Birth],
        request: Request | None,
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
    ) -> list[Written]:
        """As `JobStore.create`."""

        def work(connection: sqlite3.Connection) -> list[Written]:
            if open_max is not None and jobs.open_count(connection, births[0].job.owner) + len(births) > open_max:
                raise TooManyOpen
            if stored_max is not None and jobs.stored_bytes(connection, births[0].job.owner) >= stored_max:
                raise TooMuchStored
            written = []
            for birth in births:
                numbered = [event.numbered(seq) for seq, event in enumerate(birth.events, start=1)]
                job = dataclasses.replace(birth.job, last_seq=len(numbered), stored_bytes=pages.kept_at_birth(birth))
                jobs.insert(connection, job)
                jobs.append(connection, job.job_id, numbered)
                conversations.append(connection, birth.said)
                if birth.brief:
                    connection.execute("INSERT INTO briefs (job_id, brief) VALUES (?, ?)", (job.job_id, birth.brief))
                if job.ended:
                    index.enlist(connection, job.job_id)
                webhooks.tell(connection, None, job, Change(job=job))
                written.append((job, numbered))
            if request is not None:
                insert_request(connection, request, births[0].job.created_at)
            return written

        return [self._remember(one) for one in await self._database.write(work)]

    async def stored_bytes(self, owner: str) -> int:
        """As `JobStore.stored_bytes`."""
        return await self._database.read(lambda connection: jobs.stored_bytes(connection, owner))

    async def request(self, owner: str, request_id: str) -> Request | None:
        """As `JobStore.request`."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT body_hash, answer FROM requests WHERE owner = ? AND request_id = ?", (owner, request_id)
            ).fetchone()
        )
        if row is None:
            return None
        return Request(owner=owner, request_id=request_id, body_hash=row[0], answer=row[1])

    async def forget_requests(self, before: float) -> None:
        """As `JobStore.forget_requests`."""
        statement = f"SELECT owner, request_id FROM requests WHERE created_at < ? LIMIT {ROWS_MAX}"

        def forget(connection: sqlite3.Connection, found: list[tuple[str, str]]) -> None:
            connection.executemany(
                "DELETE FROM requests WHERE owner = ? AND request_id = ? AND created_at < ?",
                [(*one, before) for one in found],
            )

        # Looked for aside, as there is no index: a scan within a write would keep every other waiting.
        while found := await self._database.query(
            lambda connection: connection.execute(statement, (before,)).fetchall()
        ):
            await self._database.write(functools.partial(forget, found=found))

    async def update(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Written:
        """As `JobStore.update`."""

        def work(connection: sqlite3.Connection) -> Written:
            job = jobs.get(connection, job_id)
            change = rule(job)
            if request is not None:
                insert_request(connection, request, change.job.updated_at)
            return jobs.apply(connection, job, change)

        return self._remember(await self._database.write(work))

    async def get(self, job_id: str) -> Job:
        """As `JobStore.get`."""
        job = self._cache.get(job_id)
        if job is None:
            # Not remembered: a write that is on its way would be overtaken by what was read before it.
            job = await self._database.read(lambda connection: jobs.get(connection, job_id))
        return job

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """As `JobStore.events`."""

        def work(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(
                f"SELECT seq, kind, time, payload, detail FROM events WHERE job_id = ?1 AND seq > ?2 AND {_THERE} "
                "ORDER BY seq LIMIT ?3",
                (job_id, after_seq, limit),
            )
            found = (Event(seq=r[0], kind=r[1], time=r[2], payload=r[3], detail=r[4]) for r in rows)
            return list(paging.until_full(found, pages.bytes_of_event))

        return await self._database.read(work)

    async def events_of(self, job_id: str, kinds: Sequence[str]) -> list[Event]:
        """As `JobStore.events_of`."""
        statement = (
            "SELECT seq, kind, time, payload, detail, sealed FROM events "
            f"WHERE job_id = ?1 AND kind IN ({', '.join('?' * len(kinds))}) AND {_THERE} ORDER BY seq"
        )

        def work(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(statement, (job_id, *kinds))
            found = (Event(seq=r[0], kind=r[1], time=r[2], payload=r[3], detail=r[4], sealed=r[5]) for r in rows)
            return list(paging.until_full(found, pages.bytes_of_event, EVENTS_BYTES_MAX))

        return await self._database.query(work)

    async def brief(self, job_id: str) -> bytes:
        """As `JobStore.brief`."""
        statement = "SELECT brief FROM briefs WHERE job_id = ?"
        row = await self._database.read(lambda connection: connection.execute(statement, (job_id,)).fetchone())
        return b"" if row is None else bytes(row[0])

    async def find(
        self,
        owner: str | None,
        query: str,
        before: str,
        limit: int,
        only: JobFilter = ANY,
        *,
        text_bytes_max: int = 0,
    ) -> list[Job]:
        """As `JobStore.find`."""
        wanted = search.Wanted(
            owner=owner, query=folded(query), before=before, limit=limit, only=only, text_bytes_max=text_bytes_max
        )
        return await search.find(self._database, wanted)

    async def count(self, owner: str | None, targets: Sequence[str]) -> dict[tuple[str, State], int]:
        """As `JobStore.count`."""
        mine, values = ("1", ()) if owner is None else ("owner = ?", (owner,))
        statement = (
            "SELECT target, state, count(*) FROM jobs WHERE target IN (SELECT value FROM json_each(?)) "
            f"AND {mine} GROUP BY target, state"
        )
        chosen = json.dumps(list(targets))
        rows = await self._database.query(
            lambda connection: connection.execute(statement, (chosen, *values)).fetchall()
        )
        return {(target, State(state)): count for target, state, count in rows}

    async def retrying_jobs(self, after: str, limit: int) -> list[Retrying]:
        """As `JobStore.retrying_jobs`."""
        return await self._database.query(lambda connection: dues.retrying(connection, after, limit))

    async def late_jobs(self, before: float, limit: int) -> list[str]:
        """As `JobStore.late_jobs`."""
        statement = f"SELECT job_id FROM jobs WHERE {_TIMED} AND deadline_at <= ? ORDER BY deadline_at, job_id LIMIT ?"
        rows = await self._database.read(lambda connection: connection.execute(statement, (before, limit)).fetchall())
        return [row[0] for row in rows]

    async def next_deadline(self) -> float | None:
        """As `JobStore.next_deadline`."""
        statement = f"SELECT min(deadline_at) FROM jobs WHERE {_TIMED}"
        row = await self._database.read(lambda connection: connection.execute(statement).fetchone())
        return None if row[0] is None else float(row[0])

    async def open_jobs(self) -> list[Job]:
        """As `JobStore.open_jobs`."""
        statement = f"{SELECT} INDEXED BY jobs_open WHERE {OPEN} ORDER BY job_id"
        return await self._database.query(lambda connection: [job_of(row) for row in connection.execute(statement)])

    async def todo_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.todo_jobs`."""
        return await self._database.query(lambda connection: dues.todo(connection, after, limit))

    async def unpaid_jobs(self, after: str, limit: int) -> list[str]:
        """As `JobStore.unpaid_jobs`."""
        return await self._database.query(lambda connection: dues.unpaid(connection, after, limit))

    async def sold_jobs(self) -> list[str]:
        """As `JobStore.sold_jobs`."""
        statement = f"SELECT job_id FROM jobs WHERE {ENDED} AND {SOLD} ORDER BY job_id"
        return await self._database.query(lambda connection: [row[0] for row in connection.execute(statement)])

    async def get_lock(self, lock_id: str) -> Lock:
        """As `JobStore.get_lock`."""
        return await self._database.query(lambda connection: locks.get(connection, lock_id))

    async def asked(self, job_id: str) -> list[Asked]:
        """As `JobStore.asked`."""
        return await self._database.query(lambda connection: locks.asked(connection, job_id))

    async def lock_ends(self, job_id: str, after: str, limit: int) -> list[LockEnd]:
        """As `JobStore.lock_ends`."""
        return await self._database.query(lambda connection: locks.ends(connection, job_id, after, limit))

    async def pending_locks(self, owner: str = "") -> list[str]:
        """As `JobStore.pending_locks`."""
        clause, values = ("AND owner = ?", (owner,)) if owner else ("", ())
        statement = f"SELECT lock_id FROM locks WHERE state = 'pending' {clause} ORDER BY expires_at, lock_id"
        return await self._database.query(lambda connection: [row[0] for row in connection.execute(statement, values)])

    async def due_locks(self, before: float, limit: int) -> list[tuple[str, str]]:
        """As `JobStore.due_locks`."""
        return await self._database.query(lambda connection: dues.locks(connection, before, limit))

    async def next_expiry(self) -> float | None:
        """As `JobStore.next_expiry`."""
        statement = "SELECT expires_at FROM locks WHERE state = 'pending' ORDER BY expires_at LIMIT 1"
        row = await self._database.read(lambda connection: connection.execute(statement).fetchone())
        return None if row is None else float(row[0])

    async def bring_back_locks(self, now: float) -> None:
        """As `JobStore.bring_back_locks`."""
        statement = (
            "UPDATE locks SET expires_at = ? + expires_at - created_at, created_at = ?"
            " WHERE state = 'pending' AND created_at > ?"
        )
        await self._database.write(lambda connection: connection.execute(statement, (now, now, now)))

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """As `JobStore.find_locks`."""
        return await self._database.query(lambda connection: locks.find(connection, query, limit))

    async def delete(self, job_id: str, at: float) -> None:
        """As `JobStore.delete`."""

        self._forget(job_id)
        if await self._database.write(lambda connection: jobs.delete(connection, job_id, at)):
            self.sweeper.left()
        self._forget(job_id)

    async def deleted(self, owner: str, since: float, limit: int) -> list[str]:
        """As `JobStore.deleted`."""
        statement = (
            "SELECT job_id FROM deleted_jobs WHERE owner = ? AND deleted_at >= ?"
            " ORDER BY deleted_at DESC, job_id DESC LIMIT ?"
        )
        rows = await self._database.read(
            lambda connection: connection.execute(statement, (owner, since, limit)).fetchall()
        )
        return [row[0] for row in rows]

    async def save_app(self, app: PlacedApp) -> None:
        """As `AppStore.save_app`."""
        row = (
            app.expose,
            app.import_path,
            app.runtime_env_json,
            app.deployments_json,
            app.fork,
            app.isolation or "",
            app.bounds,
            " ".join(app.host_ids),
            app.sealed,
        )
        statement = f"INSERT OR REPLACE INTO apps ({_APP_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        await self._database.write(lambda connection: connection.execute(statement, row) and None)

    async def delete_app(self, expose: str) -> None:
        """As `AppStore.delete_app`."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM apps WHERE expose = ?", (expose,)) and None
        )

    async def apps(self) -> list[PlacedApp]:
        """As `AppStore.apps`."""
        statement = f"SELECT {_APP_COLUMNS} FROM apps ORDER BY expose"
        rows = await self._database.read(lambda connection: connection.execute(statement).fetchall())
        return [
            PlacedApp(
                expose=r[0],
                import_path=r[1],
                runtime_env_json=r[2],
                deployments_json=r[3],
                fork=bool(r[4]),
                isolation=Isolation(r[5]) if r[5] else None,
                bounds=r[6],
                host_ids=tuple(r[7].split()),
                sealed=r[8],
            )
            for r in rows
        ]

    def _remember(self, written: Written) -> Written:
        job = written[0]
        # Answers arrive in the order of their commits, so the last one is the newest.
        self._forget(job.job_id)
        self._cache[job.job_id] = job
        self._cached_bytes += pages.held_by_job(job)
        while len(self._cache) > _CACHE_MAX or (self._cached_bytes > _CACHE_BYTES_MAX and self._cache):
            self._forget(next(iter(self._cache)))
        if job.ended:
            self.indexer.job_ended()
        return written

    def _forget(self, job_id: str) -> None:
        known = self._cache.pop(job_id, None)
        if known is not None:
            self._cached_bytes -= pages.held_by_job(known)
