"""Schedules and their firings in SQLite."""

import dataclasses
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from meshkit import paging
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain.schedules import (
    FIRINGS_KEPT,
    Fired,
    Firing,
    FiringState,
    Missed,
    Overlap,
    Schedule,
    ScheduleState,
)
from services.runner.ports.schedules import Rule, TooManySchedules
from services.runner.stores.sqlite.requests import insert_request

_FIELDS = [field.name for field in dataclasses.fields(Schedule)]
_COLUMNS = ", ".join(_FIELDS)
_FIRING_FIELDS = [field.name for field in dataclasses.fields(Firing)]
_FIRING_COLUMNS = ", ".join(_FIRING_FIELDS)
# As the index `firings_open` has it, word by word.
_OPEN = "state IN ('launching', 'queued')"


class SqliteSchedules:
    """A `ScheduleStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, schedule: Schedule, request: Request | None, *, count_max: int | None = None) -> None:
        """As `ScheduleStore.add`."""

        def work(connection: sqlite3.Connection) -> None:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM schedules WHERE owner = ?", (schedule.owner,)
            ).fetchall()
            if count_max is not None and count >= count_max:
                raise TooManySchedules
            values = [getattr(schedule, name) for name in _FIELDS]
            connection.execute(f"INSERT INTO schedules ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
            if request is not None:
                insert_request(connection, request, schedule.created_at)

        await self._database.write(work)

    async def get(self, schedule_id: str) -> Schedule:
        """As `ScheduleStore.get`."""
        return await self._database.read(lambda connection: _get(connection, schedule_id))

    async def find(self, owner: str | None, target: str, before: str, limit: int) -> list[Schedule]:
        """As `ScheduleStore.find`."""
        asked = (("owner = ?", owner or ""), ("target = ?", target), ("schedule_id < ?", before))
        given = [(clause, value) for clause, value in asked if value]
        where = " AND ".join(["1", *(clause for clause, _ in given)])
        statement = f"SELECT {_COLUMNS} FROM schedules WHERE {where} ORDER BY schedule_id DESC LIMIT ?"
        values = [*(value for _, value in given), limit]
        return await self._database.query(
            lambda connection: list(paging.until_full(map(schedule_of, connection.execute(statement, values))))
        )

    async def change(self, schedule_id: str, rule: Rule, request: Request | None = None) -> Fired:
        """As `ScheduleStore.change`."""

        def work(connection: sqlite3.Connection) -> Fired:
            before = _get(connection, schedule_id)
            fired = rule(before, _open(connection, schedule_id))
            if fired.schedule != before:
                values = [getattr(fired.schedule, name) for name in _FIELDS]
                connection.execute(
                    f"UPDATE schedules SET {', '.join(f'{name} = ?' for name in _FIELDS)} WHERE schedule_id = ?",
                    (*values, schedule_id),
                )
            for firing in fired.firings:
                values = [getattr(firing, name) for name in _FIRING_FIELDS]
                marks = ", ".join("?" * len(values))
                connection.execute(f"REPLACE INTO firings ({_FIRING_COLUMNS}) VALUES ({marks})", values)
            if fired.firings:
                connection.execute(
                    f"DELETE FROM firings WHERE schedule_id = ? AND number <= ? AND NOT {_OPEN}",
                    (schedule_id, fired.schedule.firing_count - FIRINGS_KEPT),
                )
            if request is not None:
                insert_request(connection, request, fired.schedule.updated_at)
            return fired

        return await self._database.write(work)

    async def delete(self, schedule_id: str) -> None:
        """As `ScheduleStore.delete`."""

        def work(connection: sqlite3.Connection) -> None:
            _get(connection, schedule_id)
            connection.execute("DELETE FROM firings WHERE schedule_id = ?", (schedule_id,))
            connection.execute("DELETE FROM schedules WHERE schedule_id = ?", (schedule_id,))

        await self._database.write(work)

    async def due(self, before: float, limit: int) -> list[str]:
        """As `ScheduleStore.due`."""
        statement = "SELECT schedule_id FROM schedules WHERE next_at > 0 AND next_at <= ? ORDER BY next_at LIMIT ?"
        return await self._database.read(lambda connection: _first(connection.execute(statement, (before, limit))))

    async def next_due(self) -> float | None:
        """As `ScheduleStore.next_due`."""
        statement = "SELECT next_at FROM schedules WHERE next_at > 0 ORDER BY next_at LIMIT 1"
        found = await self._database.read(lambda connection: _first(connection.execute(statement)))
        return found[0] if found else None

    async def firing(self, schedule_id: str, number: int) -> Firing:
        """As `ScheduleStore.firing`."""
        for firing in await self.firings(schedule_id, number + 1, 1):
            if firing.number == number:
                return firing
        raise NotFound("firing not found", resource=f"schedules/{schedule_id}/firings/{number}")

    async def firings(self, schedule_id: str, before: int, limit: int) -> list[Firing]:
        """As `ScheduleStore.firings`."""
        statement = (
            f"SELECT {_FIRING_COLUMNS} FROM firings WHERE schedule_id = ? AND number < ? ORDER BY number DESC LIMIT ?"
        )
        values = (schedule_id, before or 2**62, limit)
        return await self._database.read(
            lambda connection: [firing_of(row) for row in connection.execute(statement, values)]
        )

    async def open_firings(self, schedule_id: str) -> list[Firing]:
        """As `ScheduleStore.open_firings`."""
        return await self._database.read(lambda connection: _open(connection, schedule_id))

    async def unsettled(self, before: float) -> list[str]:
        """As `ScheduleStore.unsettled`."""
        statement = f"SELECT DISTINCT schedule_id FROM firings WHERE {_OPEN} AND at <= ? ORDER BY schedule_id"
        return await self._database.read(lambda connection: _first(connection.execute(statement, (before,))))

    async def last_launched(self, schedule_id: str, before: int) -> Firing | None:
        """As `ScheduleStore.last_launched`."""
        statement = (
            f"SELECT {_FIRING_COLUMNS} FROM firings WHERE schedule_id = ? AND number < ? AND state = 'launched' "
            "ORDER BY number DESC LIMIT 1"
        )
        row = await self._database.read(
            lambda connection: connection.execute(statement, (schedule_id, before)).fetchone()
        )
        return None if row is None else firing_of(row)


def schedule_of(row: Sequence[Any]) -> Schedule:
    """Return the schedule of a row, in the order of its fields."""
    values = dict(zip(_FIELDS, row, strict=True))
    values["state"] = ScheduleState(values["state"])
    values["missed"], values["overlap"] = Missed(values["missed"]), Overlap(values["overlap"])
    return Schedule(**values)


def firing_of(row: Sequence[Any]) -> Firing:
    """Return the firing of a row, in the order of its fields."""
    values = dict(zip(_FIRING_FIELDS, row, strict=True))
    return Firing(**{**values, "state": FiringState(values["state"]), "manual": bool(values["manual"])})


def _get(connection: sqlite3.Connection, schedule_id: str) -> Schedule:
    row = connection.execute(f"SELECT {_COLUMNS} FROM schedules WHERE schedule_id = ?", (schedule_id,)).fetchone()
    if row is None:
        raise NotFound("schedule not found", resource=f"schedules/{schedule_id}")
    return schedule_of(row)


def _open(connection: sqlite3.Connection, schedule_id: str) -> list[Firing]:
    statement = f"SELECT {_FIRING_COLUMNS} FROM firings WHERE schedule_id = ? AND {_OPEN} ORDER BY number"
    return [firing_of(row) for row in connection.execute(statement, (schedule_id,))]


def _first(rows: Iterable[Sequence[Any]]) -> list[Any]:
    return [row[0] for row in rows]
