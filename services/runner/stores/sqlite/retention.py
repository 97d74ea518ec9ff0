"""Policies of retention in SQLite, and what they say is to be forgotten."""

import dataclasses
import sqlite3

from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain.retention import Policy
from services.runner.ports.retention import TooManyPolicies
from services.runner.stores.remains import Sweeper
from services.runner.stores.rows import FORGETTABLE
from services.runner.stores.sqlite.requests import insert_request

_FIELDS = [field.name for field in dataclasses.fields(Policy)]
_COLUMNS = ", ".join(_FIELDS)


class SqliteRetention:
    """A `RetentionStore`."""

    def __init__(self, database: Database, sweeper: Sweeper) -> None:
        self._database = database
        self._sweeper = sweeper

    async def add(self, policy: Policy, request: Request | None, *, count_max: int | None = None) -> None:
        """As `RetentionStore.add`."""

        def work(connection: sqlite3.Connection) -> None:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM retention WHERE owner = ?", (policy.owner,)
            ).fetchall()
            if count_max is not None and count >= count_max:
                raise TooManyPolicies
            values = [getattr(policy, name) for name in _FIELDS]
            connection.execute(f"INSERT INTO retention ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
            if request is not None:
                insert_request(connection, request, policy.created_at)

        await self._database.write(work)

    async def get(self, policy_id: str) -> Policy:
        """As `RetentionStore.get`."""
        statement = f"SELECT {_COLUMNS} FROM retention WHERE policy_id = ?"
        row = await self._database.read(lambda connection: connection.execute(statement, (policy_id,)).fetchone())
        if row is None:
            raise NotFound("retention policy not found", resource=f"retentionPolicies/{policy_id}")
        return Policy(**dict(zip(_FIELDS, row, strict=True)))

    async def find(self, owner: str | None, before: str, limit: int) -> list[Policy]:
        """As `RetentionStore.find`."""
        statement = (
            f"SELECT {_COLUMNS} FROM retention WHERE (?1 IS NULL OR owner IN (?1, '')) "
            "AND (?2 = '' OR policy_id < ?2) ORDER BY policy_id DESC LIMIT ?3"
        )
        rows = await self._database.query(
            lambda connection: connection.execute(statement, (owner, before, limit)).fetchall()
        )
        return [Policy(**dict(zip(_FIELDS, row, strict=True))) for row in rows]

    async def delete(self, policy_id: str) -> None:
        """As `RetentionStore.delete`."""
        statement = "DELETE FROM retention WHERE policy_id = ?"
        if not await self._database.write(lambda connection: connection.execute(statement, (policy_id,)).rowcount):
            raise NotFound("retention policy not found", resource=f"retentionPolicies/{policy_id}")

    async def note(self, policy_id: str, forgotten: int) -> None:
        """As `RetentionStore.note`."""
        statement = "UPDATE retention SET forgotten_count = forgotten_count + ? WHERE policy_id = ?"
        await self._database.write(lambda connection: connection.execute(statement, (forgotten, policy_id)) and None)

    async def forgettable_jobs(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.forgettable_jobs`."""
        mine = "AND (:owner = '' OR owner = :owner) AND (:target = '' OR target = :target)"
        old = f"SELECT job_id FROM jobs WHERE {FORGETTABLE} {mine} AND :age_s > 0 AND finished_at < :now - :age_s"
        newest = "OVER (PARTITION BY owner ORDER BY job_id DESC)"
        ranked = (
            f"SELECT job_id, row_number() {newest} AS place, sum(stored_bytes) {newest} AS bytes FROM jobs "
            f"WHERE {FORGETTABLE} {mine} AND (:job_count > 0 OR :stored_bytes > 0)"
        )
        beyond = (
            f"SELECT job_id FROM ({ranked}) WHERE (:job_count > 0 AND place > :job_count) "
            "OR (:stored_bytes > 0 AND bytes > :stored_bytes)"
        )
        statement = f"{old} UNION {beyond} ORDER BY job_id LIMIT :limit"
        values = {**dataclasses.asdict(policy), "now": now, "limit": limit}
        rows = await self._database.query(lambda connection: connection.execute(statement, values).fetchall())
        return [row[0] for row in rows]

    async def silent_conversations(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.silent_conversations`."""
        if policy.target or not policy.age_s:
            return []
        statement = (
            "SELECT conversation_id FROM conversations WHERE last_message_at < ? AND (? = '' OR owner = ?) "
            "ORDER BY last_message_at LIMIT ?"
        )
        values = (now - policy.age_s, policy.owner, policy.owner, limit)
        rows = await self._database.query(lambda connection: connection.execute(statement, values).fetchall())
        return [row[0] for row in rows]

    async def give_back(self) -> bool:
        """As `RetentionStore.give_back`."""
        await self._sweeper.settle()
        return await self._database.give_back()
