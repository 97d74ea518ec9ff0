"""Where exposes are kept: in SQLite, or in memory for as long as the process lives."""

import bisect
import dataclasses
import datetime
import json
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

from meshkit.errors import AlreadyExists, NotFound
from meshkit.sqlite import Database
from services.registry.domain import Expose, FlowMeta, FoundFlow

MIGRATIONS = (
    """
    CREATE TABLE exposes (
        name TEXT PRIMARY KEY,
        display_name TEXT,
        network TEXT,
        enabled INTEGER NOT NULL,
        bootstrap TEXT NOT NULL,
        meta TEXT,                    -- JSON list of FlowMeta; NULL if never given
        created_at TEXT NOT NULL,     -- ISO 8601, UTC, microseconds
        updated_at TEXT NOT NULL,
        flows TEXT NOT NULL,          -- JSON list of FoundFlow
        booted_etag TEXT NOT NULL,
        failure TEXT NOT NULL
    ) STRICT;
    """,
)


class ExposeStore(Protocol):
    """Keeps exposes by name.  `tests/registry/test_store.py` holds every one to this."""

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""

    async def put(self, name: str, original: str, decide: Callable[[Expose | None], Expose]) -> Expose:
        """Keep what `decide` makes of the stored expose (None if there is none), in one step.

        With an `original` other than `name`, that one is renamed: raises `NotFound` if it does not exist and
        `AlreadyExists` if `name` is taken.  What `decide` raises comes out, and nothing has changed.
        """

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose, in one step.  Raises `NotFound`."""

    async def delete(self, name: str) -> None:
        """Forget the expose, or raise `NotFound`."""


def not_found(name: str) -> NotFound:
    """Return the error for an expose that does not exist (wording: spec/kodosumi.md §6.1)."""
    return NotFound(f"Expose '{name}' not found", resource=f"exposes/{name}")


def taken(name: str) -> AlreadyExists:
    """Return the error for a name that is in use."""
    return AlreadyExists(f"Expose '{name}' already exists: choose another name", resource=f"exposes/{name}")


class MemoryStore:
    """A store in memory; each step happens between two awaits, so none is seen half done."""

    def __init__(self) -> None:
        self._exposes: dict[str, Expose] = {}

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        try:
            return self._exposes[name]
        except KeyError:
            raise not_found(name) from None

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        names = sorted(self._exposes)
        start = bisect.bisect_right(names, after) if after else 0
        stop = None if limit is None else start + limit
        return [self._exposes[name] for name in names[start:stop]]

    async def put(self, name: str, original: str, decide: Callable[[Expose | None], Expose]) -> Expose:
        """Keep what `decide` makes of the stored expose."""
        source = original or name
        if source != name:
            if source not in self._exposes:
                raise not_found(source)
            if name in self._exposes:
                raise taken(name)
        expose = decide(self._exposes.get(source))
        self._exposes.pop(source, None)
        self._exposes[name] = expose
        return expose

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose."""
        self._exposes[name] = change(await self.get(name))
        return self._exposes[name]

    async def delete(self, name: str) -> None:
        """Forget the expose."""
        if self._exposes.pop(name, None) is None:
            raise not_found(name)


class SqliteStore:
    """A store in a SQLite file; a change is on disk before its caller goes on."""

    def __init__(self, database: Database) -> None:
        """`database` is open and was made with `MIGRATIONS`."""
        self._database = database

    async def get(self, name: str) -> Expose:
        """Return the expose, or raise `NotFound`."""
        return self._database.read_now(lambda connection: _get(connection, name))

    async def select(self, after: str = "", limit: int | None = None) -> list[Expose]:
        """Return exposes by name, those behind `after`, at most `limit`."""
        sql = f"SELECT {_COLUMNS} FROM exposes WHERE name > ? ORDER BY name LIMIT ?"
        parameters = (after, -1 if limit is None else limit)
        rows = self._database.read_now(lambda connection: connection.execute(sql, parameters).fetchall())
        return [_load(row) for row in rows]

    async def put(self, name: str, original: str, decide: Callable[[Expose | None], Expose]) -> Expose:
        """Keep what `decide` makes of the stored expose."""

        def work(connection: sqlite3.Connection) -> Expose:
            source = original or name
            stored = _find(connection, source)
            if source != name:
                if stored is None:
                    raise not_found(source)
                if _find(connection, name) is not None:
                    raise taken(name)
            expose = decide(stored)
            if source != name:
                connection.execute("DELETE FROM exposes WHERE name = ?", (source,))
            _write(connection, expose)
            return expose

        return await self._database.write(work)

    async def change(self, name: str, change: Callable[[Expose], Expose]) -> Expose:
        """Keep what `change` makes of the stored expose."""

        def work(connection: sqlite3.Connection) -> Expose:
            before = _get(connection, name)
            after = change(before)
            if after != before:
                _write(connection, after)
            return after

        return await self._database.write(work)

    async def delete(self, name: str) -> None:
        """Forget the expose."""

        def work(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM exposes WHERE name = ?", (name,)).rowcount == 0:
                raise not_found(name)

        await self._database.write(work)


_FIELDS = (
    "name",
    "display_name",
    "network",
    "enabled",
    "bootstrap",
    "meta",
    "created_at",
    "updated_at",
    "flows",
    "booted_etag",
    "failure",
)
_COLUMNS = ", ".join(_FIELDS)


def _find(connection: sqlite3.Connection, name: str) -> Expose | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM exposes WHERE name = ?", (name,)).fetchone()
    return None if row is None else _load(row)


def _get(connection: sqlite3.Connection, name: str) -> Expose:
    expose = _find(connection, name)
    if expose is None:
        raise not_found(name)
    return expose


def _write(connection: sqlite3.Connection, expose: Expose) -> None:
    values = {field: getattr(expose, field) for field in _FIELDS}
    values["meta"] = None if expose.meta is None else _json(expose.meta)
    values["flows"] = _json(expose.flows)
    values["created_at"] = expose.created_at.isoformat()
    values["updated_at"] = expose.updated_at.isoformat()
    marks = ", ".join("?" for _ in _FIELDS)
    connection.execute(f"INSERT OR REPLACE INTO exposes ({_COLUMNS}) VALUES ({marks})", tuple(values.values()))


def _json(records: tuple[FlowMeta, ...] | tuple[FoundFlow, ...]) -> str:
    return json.dumps([dataclasses.asdict(record) for record in records], default=_iso, ensure_ascii=False)


def _iso(value: datetime.datetime) -> str:
    return value.isoformat()


def _load(row: tuple[Any, ...]) -> Expose:
    values = dict(zip(_FIELDS, row, strict=True))
    values["enabled"] = bool(values["enabled"])
    values["created_at"] = datetime.datetime.fromisoformat(values["created_at"])
    values["updated_at"] = datetime.datetime.fromisoformat(values["updated_at"])
    if values["meta"] is not None:
        values["meta"] = tuple(_load_meta(item) for item in json.loads(values["meta"]))
    values["flows"] = tuple(FoundFlow(**{**item, "tags": tuple(item["tags"])}) for item in json.loads(values["flows"]))
    return Expose(**values)


def _load_meta(item: dict[str, Any]) -> FlowMeta:
    heartbeat_at = item.pop("heartbeat_at")
    return FlowMeta(**item, heartbeat_at=heartbeat_at and datetime.datetime.fromisoformat(heartbeat_at))
