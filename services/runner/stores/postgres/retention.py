"""Policies of retention in PostgreSQL, and what they say is to be forgotten."""

import dataclasses

from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests
from services.runner.domain.retention import Policy
from services.runner.ports.retention import TooManyPolicies
from services.runner.stores.postgres.rows import places, row, rows
from services.runner.stores.rows import FORGETTABLE

_FIELDS = [field.name for field in dataclasses.fields(Policy)]
_COLUMNS = ", ".join(_FIELDS)
_MINE = "($1::text = '' OR owner = $1) AND ($2::text = '' OR target = $2)"
_NEWEST = "OVER (PARTITION BY owner ORDER BY job_id DESC)"
_FORGETTABLE = f"""
SELECT job_id FROM jobs WHERE {FORGETTABLE} AND {_MINE} AND $3::float8 > 0 AND finished_at < $6::float8 - $3
UNION
SELECT job_id FROM (
  SELECT job_id, row_number() {_NEWEST} AS place, sum(stored_bytes) {_NEWEST} AS bytes
  FROM jobs WHERE {FORGETTABLE} AND {_MINE} AND ($4::bigint > 0 OR $5::bigint > 0)
) AS ranked WHERE ($4 > 0 AND place > $4) OR ($5 > 0 AND bytes > $5)
ORDER BY job_id LIMIT $7
"""


class PostgresRetention:
    """A `RetentionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, policy: Policy, request: Request | None, *, count_max: int | None = None) -> None:
        """As `RetentionStore.add`."""

        async def work(connection: Connection) -> None:
            if count_max is not None:
                # Whoever adds for the same owner, on whatever replica, counts behind us.
                await rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))", policy.owner)
                (count,) = await row(connection, "SELECT count(*) FROM retention WHERE owner = %s", policy.owner)
                if count >= count_max:
                    raise TooManyPolicies
            values = [getattr(policy, name) for name in _FIELDS]
            await rows(connection, f"INSERT INTO retention ({_COLUMNS}) VALUES ({places(len(values))})", *values)
            await requests.keep(connection, request, policy.created_at)

        await self._database.write(work)

    async def get(self, policy_id: str) -> Policy:
        """As `RetentionStore.get`."""
        found = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM retention WHERE policy_id = $1", policy_id)
        if found is None:
            raise _absent(policy_id)
        return Policy(**dict(zip(_FIELDS, tuple(found), strict=True)))

    async def find(self, owner: str | None, before: str, limit: int) -> list[Policy]:
        """As `RetentionStore.find`."""
        statement = (
            f"SELECT {_COLUMNS} FROM retention WHERE ($1::text IS NULL OR owner IN ($1, '')) "
            "AND ($2::text = '' OR policy_id < $2) ORDER BY policy_id DESC LIMIT $3"
        )
        found = await self._database.fetch(statement, owner, before, limit)
        return [Policy(**dict(zip(_FIELDS, tuple(each), strict=True))) for each in found]

    async def delete(self, policy_id: str) -> None:
        """As `RetentionStore.delete`."""

        async def work(connection: Connection) -> None:
            statement = "DELETE FROM retention WHERE policy_id = %s RETURNING 1"
            if await row(connection, statement, policy_id) is None:
                raise _absent(policy_id)

        await self._database.write(work)

    async def note(self, policy_id: str, forgotten: int) -> None:
        """As `RetentionStore.note`."""

        async def work(connection: Connection) -> None:
            statement = "UPDATE retention SET forgotten_count = forgotten_count + %s WHERE policy_id = %s"
            await rows(connection, statement, forgotten, policy_id)

        await self._database.write(work)

    async def forgettable_jobs(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.forgettable_jobs`."""
        limits = (float(policy.age_s), policy.job_count, policy.stored_bytes)
        found = await self._database.fetch(_FORGETTABLE, policy.owner, policy.target, *limits, now, limit)
        return [each[0] for each in found]

    async def silent_conversations(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.silent_conversations`."""
        if policy.target or not policy.age_s:
            return []
        statement = (
            "SELECT conversation_id FROM conversations WHERE last_message_at < $1 AND ($2::text = '' OR owner = $2) "
            "ORDER BY last_message_at LIMIT $3"
        )
        return [each[0] for each in await self._database.fetch(statement, now - policy.age_s, policy.owner, limit)]

    async def give_back(self) -> bool:
        """As `RetentionStore.give_back`: what is free is autovacuum's, and is used again by what comes next."""
        return False


def _absent(policy_id: str) -> NotFound:
    return NotFound("retention policy not found", resource=f"retentionPolicies/{policy_id}")
