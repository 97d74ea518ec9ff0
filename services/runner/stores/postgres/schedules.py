"""Schedules and their history in PostgreSQL."""

import dataclasses

from meshkit import paging
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests
from services.runner.domain.schedules import FIRINGS_KEPT, Fired, Firing, Schedule
from services.runner.ports.schedules import Rule, TooManySchedules
from services.runner.stores.postgres.rows import places, row, rows
from services.runner.stores.sqlite.schedules import firing_of, schedule_of

_FIELDS = [field.name for field in dataclasses.fields(Schedule)]
_COLUMNS = ", ".join(_FIELDS)
_FIRING_FIELDS = [field.name for field in dataclasses.fields(Firing)]
_FIRING_COLUMNS = ", ".join(_FIRING_FIELDS)
# As the index `firings_open` has it.
_OPEN = "state IN ('launching', 'queued')"
_KEEP = (
    f"INSERT INTO firings ({_FIRING_COLUMNS}) VALUES ({places(len(_FIRING_FIELDS))}) "
    "ON CONFLICT (schedule_id, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _FIRING_FIELDS if name not in ("schedule_id", "number"))
)


class PostgresSchedules:
    """A `ScheduleStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, schedule: Schedule, request: Request | None, *, count_max: int | None = None) -> None:
        """As `ScheduleStore.add`."""

        async def work(connection: Connection) -> None:
            if count_max is not None:
                # Whoever adds for the same owner, on whatever replica, counts behind us.
                await rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", schedule.owner)
                (count,) = await row(connection, "SELECT count(*) FROM schedules WHERE owner = %s", schedule.owner)
                if count >= count_max:
                    raise TooManySchedules
            values = [getattr(schedule, name) for name in _FIELDS]
            statement = f"INSERT INTO schedules ({_COLUMNS}) VALUES ({places(len(values))})"
            if await row(connection, f"{statement} ON CONFLICT DO NOTHING RETURNING 1", *values) is None:
                raise AlreadyExists("schedule exists", resource=schedule.name)
            await requests.keep(connection, request, schedule.created_at)

        await self._database.write(work)

    async def get(self, schedule_id: str) -> Schedule:
        """As `ScheduleStore.get`."""
        return await self._database.read(lambda connection: _get(connection, schedule_id))

    async def find(self, owner: str | None, target: str, before: str, limit: int) -> list[Schedule]:
        """As `ScheduleStore.find`."""
        asked = (("owner = %s", owner or ""), ("target = %s", target), ("schedule_id < %s", before))
        given = [(clause, value) for clause, value in asked if value]
        where = " AND ".join(["true", *(clause for clause, _ in given)])
        statement = f"SELECT {_COLUMNS} FROM schedules WHERE {where} ORDER BY schedule_id DESC LIMIT %s"
        values = [*(value for _, value in given), limit]
        found = await self._database.read(lambda connection: rows(connection, statement, *values))
        return list(paging.until_full(map(schedule_of, found)))

    async def change(self, schedule_id: str, rule: Rule, request: Request | None = None) -> Fired:
        """As `ScheduleStore.change`."""

        async def work(connection: Connection) -> Fired:
            before = await _get(connection, schedule_id, locked=True)
            fired = rule(before, await _open(connection, schedule_id))
            if fired.schedule != before:
                values = [getattr(fired.schedule, name) for name in _FIELDS]
                changed = ", ".join(f"{name} = %s" for name in _FIELDS)
                await rows(connection, f"UPDATE schedules SET {changed} WHERE schedule_id = %s", *values, schedule_id)
            for firing in fired.firings:
                await rows(connection, _KEEP, *(getattr(firing, name) for name in _FIRING_FIELDS))
            if fired.firings:
                statement = f"DELETE FROM firings WHERE schedule_id = %s AND number <= %s AND NOT {_OPEN}"
                await rows(connection, statement, schedule_id, fired.schedule.firing_count - FIRINGS_KEPT)
            await requests.keep(connection, request, fired.schedule.updated_at)
            return fired

        return await self._database.write(work, key=schedule_id)

    async def delete(self, schedule_id: str) -> None:
        """As `ScheduleStore.delete`."""

        async def work(connection: Connection) -> None:
            await _get(connection, schedule_id, locked=True)
            await rows(connection, "DELETE FROM firings WHERE schedule_id = %s", schedule_id)
            await rows(connection, "DELETE FROM schedules WHERE schedule_id = %s", schedule_id)

        await self._database.write(work, key=schedule_id)

    async def due(self, before: float, limit: int) -> list[str]:
        """As `ScheduleStore.due`."""
        statement = "SELECT schedule_id FROM schedules WHERE next_at > 0 AND next_at <= $1 ORDER BY next_at LIMIT $2"
        return [found[0] for found in await self._database.fetch(statement, before, limit)]

    async def next_due(self) -> float | None:
        """As `ScheduleStore.next_due`."""
        found: float | None = await self._database.fetchval("SELECT min(next_at) FROM schedules WHERE next_at > 0")
        return found

    async def firing(self, schedule_id: str, number: int) -> Firing:
        """As `ScheduleStore.firing`."""
        for firing in await self.firings(schedule_id, number + 1, 1):
            if firing.number == number:
                return firing
        raise NotFound("firing not found", resource=f"schedules/{schedule_id}/firings/{number}")

    async def firings(self, schedule_id: str, before: int, limit: int) -> list[Firing]:
        """As `ScheduleStore.firings`."""
        where = "schedule_id = $1 AND number < $2"
        statement = f"SELECT {_FIRING_COLUMNS} FROM firings WHERE {where} ORDER BY number DESC LIMIT $3"
        found = await self._database.fetch(statement, schedule_id, before or 2**62, limit)
        return [firing_of(tuple(each)) for each in found]

    async def open_firings(self, schedule_id: str) -> list[Firing]:
        """As `ScheduleStore.open_firings`."""
        return await self._database.read(lambda connection: _open(connection, schedule_id))

    async def unsettled(self, before: float) -> list[str]:
        """As `ScheduleStore.unsettled`."""
        statement = f"SELECT DISTINCT schedule_id FROM firings WHERE {_OPEN} AND at <= $1 ORDER BY schedule_id"
        return [found[0] for found in await self._database.fetch(statement, before)]

    async def last_launched(self, schedule_id: str, before: int) -> Firing | None:
        """As `ScheduleStore.last_launched`."""
        statement = (
            f"SELECT {_FIRING_COLUMNS} FROM firings WHERE schedule_id = $1 AND number < $2 AND state = 'launched' "
            "ORDER BY number DESC LIMIT 1"
        )
        found = await self._database.fetchrow(statement, schedule_id, before)
        return None if found is None else firing_of(tuple(found))


async def _get(connection: Connection, schedule_id: str, *, locked: bool = False) -> Schedule:
    statement = f"SELECT {_COLUMNS} FROM schedules WHERE schedule_id = %s"
    found = await row(connection, statement + " FOR UPDATE" if locked else statement, schedule_id)
    if found is None:
        raise NotFound("schedule not found", resource=f"schedules/{schedule_id}")
    return schedule_of(found)


async def _open(connection: Connection, schedule_id: str) -> list[Firing]:
    statement = f"SELECT {_FIRING_COLUMNS} FROM firings WHERE schedule_id = %s AND {_OPEN} ORDER BY number"
    return list(map(firing_of, await rows(connection, statement, schedule_id)))
