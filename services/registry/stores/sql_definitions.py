"""Definitions within one transaction, in SQL that SQLite and PostgreSQL both understand."""

import heapq
import sqlite3
from collections.abc import Collection, Iterable
from typing import ClassVar, TypeVar

from meshkit.clock import Now
from meshkit.idempotency import Request
from meshkit.sql import Sql
from meshkit.sqlite import requests
from services.registry import definition_rows
from services.registry.domain.crews import Crew
from services.registry.domain.records import ARCHIVED, Kind, Record, taken
from services.registry.domain.taskdefs import TaskDef
from services.registry.ports.definitions import PAGE_BYTES_MAX

R = TypeVar("R", bound=Record)


class SqlTransaction:
    """Definitions as they are, and what becomes of them."""

    taken: ClassVar[type[Exception]] = sqlite3.IntegrityError
    """What the database raises when a living one of the same owner has the handle."""

    def __init__(self, connection: Sql, now: Now) -> None:
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
        values = [[*parameters, standing, limit + 1] for standing in set(standings)]
        cursors = [self._connection.execute(f"{sql} LIMIT ?", each) for each in values]
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
        except self.taken:  # the one constraint that can fail: another living one has its handle
            raise taken(record) from None
        if isinstance(record, Crew):
            self._connection.execute("DELETE FROM crew_agents WHERE crew = ?", (record.id,))
            if record.standing != ARCHIVED:
                for agent in record.agents:
                    self._connection.execute("INSERT INTO crew_agents (agent, crew) VALUES (?, ?)", (agent, record.id))

    def keep_secret(self, name: str, field: str, key_id: str, sealed: bytes) -> None:
        self._connection.execute(
            "INSERT INTO secrets (name, field, key_id, sealed) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name, field) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed",
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
        requests.keep(self._connection, request, self._now())
