"""Definitions in a SQLite file: one table for the four kinds, whose JSON says the rest."""

import heapq
import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from meshkit import clock, sqlite_requests
from meshkit.clock import Now
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.registry import definition_rows
from services.registry.domain.crews import Crew
from services.registry.domain.records import ARCHIVED, Kind, Record, taken
from services.registry.domain.taskdefs import TaskDef
from services.registry.ports.definitions import PAGE_BYTES_MAX, Transaction

R = TypeVar("R", bound=Record)
T = TypeVar("T")

MIGRATION = """
    CREATE TABLE definitions (
        kind TEXT NOT NULL,           -- agents, crews, taskDefs, tools
        id TEXT NOT NULL,             -- UUID of version 7: sorts by creation
        owner TEXT NOT NULL,          -- users/{uuid}
        standing TEXT NOT NULL,       -- ACTIVE, ARCHIVED; of agents also DRAFT, PAUSED
        handle TEXT NOT NULL,         -- slug or name; empty if it has none
        crew TEXT NOT NULL,           -- of a task definition, its crew's id; else empty
        record TEXT NOT NULL,         -- JSON of the whole
        PRIMARY KEY (kind, id)
    ) STRICT;
    CREATE INDEX definitions_of_owner ON definitions (kind, owner, standing, id);
    CREATE INDEX definitions_of_all ON definitions (kind, standing, id);
    CREATE UNIQUE INDEX definitions_by_handle ON definitions (kind, owner, handle)
        WHERE handle <> '' AND standing <> 'ARCHIVED';
    CREATE INDEX definitions_of_crew ON definitions (crew, standing, id) WHERE crew <> '';

    CREATE TABLE crew_agents (        -- of crews that are not archived
        agent TEXT NOT NULL,
        crew TEXT NOT NULL,
        PRIMARY KEY (agent, crew)
    ) STRICT;
    CREATE INDEX crew_agents_by_crew ON crew_agents (crew);

    CREATE TABLE definition_counts (  -- kept by the triggers, so that a total costs no scan
        kind TEXT NOT NULL,
        scope TEXT NOT NULL,          -- users/{uuid}; of task definitions also their crew's id; * is everybody
        standing TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (kind, scope, standing)
    ) STRICT;
    CREATE TRIGGER definitions_added AFTER INSERT ON definitions BEGIN
        INSERT INTO definition_counts VALUES
            (new.kind, new.owner, new.standing, 1), (new.kind, '*', new.standing, 1),
            (new.kind, new.crew, new.standing, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER definitions_moved AFTER UPDATE OF standing, crew ON definitions
        WHEN old.standing <> new.standing OR old.crew <> new.crew BEGIN
        UPDATE definition_counts SET count = count - 1
            WHERE kind = old.kind AND scope IN (old.owner, '*', old.crew) AND standing = old.standing;
        INSERT INTO definition_counts VALUES
            (new.kind, new.owner, new.standing, 1), (new.kind, '*', new.standing, 1),
            (new.kind, new.crew, new.standing, 1)
            ON CONFLICT DO UPDATE SET count = count + 1;
    END;

    CREATE TABLE secrets (
        name TEXT NOT NULL,           -- agents/{id}
        field TEXT NOT NULL,          -- api_key
        key_id TEXT NOT NULL,         -- which key sealed it
        sealed BLOB NOT NULL,         -- meshkit.secrets
        PRIMARY KEY (name, field)
    ) STRICT;
    CREATE INDEX secrets_by_key ON secrets (key_id);
"""
"""For the registry's list of migrations."""


class SqliteDefinitions:
    """A store in a SQLite file; a change is on disk before its caller goes on."""

    def __init__(self, database: Database, now: Now = clock.now) -> None:
        """`database` is open and was made with `MIGRATION`."""
        self._database = database
        self._now = now

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return await self._database.read(lambda connection: sqlite_requests.find(connection, owner, request_id))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` makes of the definitions as they are at one moment."""

        def at_once(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            try:
                return work(_Transaction(connection, self._now))
            finally:
                connection.execute("COMMIT")

        return await self._database.query(at_once)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, and keep its changes unless it raises."""
        return await self._database.write(lambda connection: work(_Transaction(connection, self._now)))


class _Transaction:
    def __init__(self, connection: sqlite3.Connection, now: Now) -> None:
        self._connection = connection
        self._now = now

    def find(self, kind: type[R], record_id: str, owner: str | None) -> R | None:
        sql = "SELECT record FROM definitions WHERE kind = ? AND id = ?"
        parameters = [kind.kind.value, record_id]
        if owner is not None:
            sql, parameters = f"{sql} AND owner = ?", [*parameters, owner]
        row = self._connection.execute(sql, parameters).fetchone()
        return None if row is None else definition_rows.load(kind, row[0])

    def find_handle(self, kind: type[R], handle: str, owner: str) -> R | None:
        row = self._connection.execute(
            "SELECT record FROM definitions WHERE kind = ? AND owner = ? AND handle = ? AND handle <> ''"
            " AND standing <> 'ARCHIVED'",
            (kind.kind.value, owner, handle),
        ).fetchone()
        return None if row is None else definition_rows.load(kind, row[0])

    def select(
        self, kind: type[R], owner: str | None, standings: Collection[str], before: str, limit: int
    ) -> tuple[list[R], bool]:
        where, parameters = ["kind = ?"], [kind.kind.value]
        if owner is not None:
            where, parameters = [*where, "owner = ?"], [*parameters, owner]
        if before:
            where, parameters = [*where, "id < ?"], [*parameters, before]
        return self._page(kind, where, parameters, standings, limit, newest_first=True)

    def count(self, kind: type[Record], owner: str | None, standings: Collection[str]) -> int:
        return self._count(kind.kind, "*" if owner is None else owner, standings)

    def tasks(self, crew: str) -> list[TaskDef]:
        rows = self._connection.execute(
            "SELECT record FROM definitions WHERE crew = ? AND crew <> '' AND standing = 'ACTIVE' ORDER BY id", (crew,)
        )
        return [definition_rows.load(TaskDef, row[0]) for row in rows]

    def select_tasks(self, crew: str, standings: Collection[str], after: str, limit: int) -> tuple[list[TaskDef], bool]:
        where = ["crew = ?", "crew <> ''", "id > ?"]
        return self._page(TaskDef, where, [crew, after], standings, limit, newest_first=False)

    def count_tasks(self, crew: str, standings: Collection[str]) -> int:
        return self._count(Kind.TASK_DEFS, crew, standings)

    def _page(
        self,
        kind: type[R],
        where: list[str],
        parameters: list[str],
        standings: Collection[str],
        limit: int,
        *,
        newest_first: bool,
    ) -> tuple[list[R], bool]:
        order = "DESC" if newest_first else "ASC"
        sql = f"SELECT id, record FROM definitions WHERE {' AND '.join([*where, 'standing = ?'])} ORDER BY id {order}"
        # A cursor for each standing, every one in the order of an index, and read no further than is needed.
        cursors = [self._connection.execute(sql, [*parameters, standing]) for standing in set(standings)]
        chosen: list[R] = []
        size = 0
        for _, text in heapq.merge(*cursors, reverse=newest_first):
            size += len(text.encode())
            if chosen and (len(chosen) == limit or size > PAGE_BYTES_MAX):
                return chosen, True
            chosen.append(definition_rows.load(kind, text))
        return chosen, False

    def _count(self, kind: Kind, scope: str, standings: Collection[str]) -> int:
        marks = ", ".join("?" for _ in standings)
        row = self._connection.execute(
            "SELECT COALESCE(SUM(count), 0) FROM definition_counts"
            f" WHERE kind = ? AND scope = ? AND standing IN ({marks})",
            (kind.value, scope, *standings),
        ).fetchone()
        return int(row[0])

    def first_crew(self, agent: str) -> str:
        row = self._connection.execute("SELECT MIN(crew) FROM crew_agents WHERE agent = ?", (agent,)).fetchone()
        return row[0] or ""

    def standings(self, agents: Iterable[str]) -> dict[str, str]:
        found = {}
        for agent in set(agents):
            row = self._connection.execute(
                "SELECT standing FROM definitions WHERE kind = 'agents' AND id = ?", (agent,)
            ).fetchone()
            if row is not None:
                found[agent] = str(row[0])
        return found

    def put(self, record: Record) -> None:
        crew = record.crew if isinstance(record, TaskDef) else ""
        kind = record.kind.value
        values = (record.owner, record.standing, record.handle, crew, definition_rows.dump(record))
        try:
            self._connection.execute(
                "INSERT INTO definitions (kind, id, owner, standing, handle, crew, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET owner = excluded.owner,"
                " standing = excluded.standing, handle = excluded.handle, crew = excluded.crew,"
                " record = excluded.record",
                (kind, record.id, *values),
            )
        except sqlite3.IntegrityError:  # the one constraint that can fail: another living one has its handle
            raise taken(record) from None
        if isinstance(record, Crew):
            self._connection.execute("DELETE FROM crew_agents WHERE crew = ?", (record.id,))
            if record.standing != ARCHIVED:
                rows = [(agent, record.id) for agent in record.agents]
                self._connection.executemany("INSERT INTO crew_agents (agent, crew) VALUES (?, ?)", rows)

    def keep_secret(self, name: str, field: str, key_id: str, sealed: bytes) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO secrets (name, field, key_id, sealed) VALUES (?, ?, ?, ?)",
            (name, field, key_id, sealed),
        )

    def secret(self, name: str, field: str) -> bytes | None:
        row = self._connection.execute(
            "SELECT sealed FROM secrets WHERE name = ? AND field = ?", (name, field)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def forget_secret(self, name: str, field: str) -> None:
        self._connection.execute("DELETE FROM secrets WHERE name = ? AND field = ?", (name, field))

    def keep_request(self, request: Request | None) -> None:
        sqlite_requests.keep(self._connection, request, self._now())
