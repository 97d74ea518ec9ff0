"""What agents remember, in SQLite: found by words (FTS5, bm25) and by the rare words that records share.

Every statement names the owner and the scope: nobody's memory is a filter away from somebody else's.
"""

import functools
import json
import re
import sqlite3
from collections.abc import Sequence
from typing import Any

from meshkit import paging
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from meshkit.sqlite.erasing import zeroing
from services.runner.domain import Layer, Memory
from services.runner.domain.memories import SHORT_MAX, Ranked, fuse, terms
from services.runner.stores.sqlite.index import merge
from services.runner.stores.sqlite.requests import insert_request

_COLUMNS = "number, owner, scope, layer, content, type, category, importance, job_id, created_at"
_FIELDS = [name.strip() for name in _COLUMNS.split(",")]
_ALIASED = ", ".join(f"m.{name}" for name in _FIELDS)
_SEEDS = 10
_FOUND_MAX = 50
_CLEARED_MAX = 200
"""Of memory, in one write: others write in between."""
_DEAD_END = 100
"""A word that more records of a memory have tells nothing of two that share it."""
_WORD = re.compile(r"\w+")
_MERGE_PAGES = 200
"""A piece of merging: a few milliseconds in which nobody else writes."""


class SqliteMemories:
    """A `MemoryRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: Memory, request: Request | None) -> Memory:
        """As `MemoryRecords.add`."""

        def work(connection: sqlite3.Connection) -> Memory:
            (kept,) = write(connection, [record])
            if request is not None:
                insert_request(connection, request.answered(str(kept.number).encode()), record.created_at)
            return kept

        return await self._database.write(work)

    async def get(self, owner: str, number: int) -> Memory | None:
        """As `MemoryRecords.get`."""
        statement = f"SELECT {_COLUMNS} FROM memories WHERE number = ? AND owner = ?"
        row = await self._database.read(lambda connection: connection.execute(statement, (number, owner)).fetchone())
        return None if row is None else _memory(row)

    async def find(self, owner: str, scope: str, layer: Layer | None, before: int, limit: int) -> list[Memory]:
        """As `MemoryRecords.find`."""
        layers, chosen = _layers(layer)
        statement = (
            f"SELECT {_COLUMNS} FROM memories WHERE owner = ? AND scope = ? AND {layers} AND number < ? "
            "ORDER BY number DESC LIMIT ?"
        )
        values = (owner, scope, *chosen, before or 2**62, limit)
        return await self._database.query(
            lambda connection: list(paging.until_full(map(_memory, connection.execute(statement, values))))
        )

    async def search(self, owner: str, scope: str, layer: Layer | None, query: str, limit: int) -> list[Ranked]:
        """As `MemoryRecords.search`."""

        def work(connection: sqlite3.Connection) -> list[Ranked]:
            lexical = _lexical(connection, owner, scope, layer, query)
            seeds = [record.number for record in lexical[:_SEEDS]]
            return fuse(lexical, [], _graph(connection, owner, scope, layer, seeds), limit)

        return await self._database.query(work)

    async def clear(self, owner: str, scope: str, layer: Layer | None) -> int:
        """As `MemoryRecords.clear`."""
        layers, chosen = _layers(layer)
        mine = f"FROM memories WHERE owner = ? AND scope = ? AND {layers}"

        def work(connection: sqlite3.Connection) -> int:
            statement = f"SELECT number {mine} AND number <= ? ORDER BY number LIMIT {_CLEARED_MAX}"
            numbers = [row[0] for row in connection.execute(statement, (owner, scope, *chosen, last))]
            with zeroing(connection):
                _delete(connection, numbers)
            return len(numbers)

        ((last,),) = await self._database.query(
            lambda connection: connection.execute(
                f"SELECT coalesce(max(number), 0) {mine}", (owner, scope, *chosen)
            ).fetchall()
        )
        count = 0
        while cleared := await self._database.write(work):
            count += cleared
        if count:
            # FTS5 keeps what was deleted until all its segments are merged: in steps, that others write in between.
            pages = -_MERGE_PAGES
            while await self._database.write(functools.partial(_merge, pages=pages)):
                pages = _MERGE_PAGES
            # What the write-ahead log still has of them goes with it.
            await self._database.query(
                lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            )
        return count


def _merge(connection: sqlite3.Connection, pages: int) -> bool:
    """Go on merging the index into one segment, or begin to if `pages` are negative; return whether there is more."""
    with zeroing(connection):
        return merge(connection, "memory_texts", pages)


def write(connection: sqlite3.Connection, records: Sequence[Memory]) -> list[Memory]:
    """Keep records; of the short layer the oldest go when there are too many."""
    kept = []
    for record in records:
        names = _FIELDS[1:]
        values = [getattr(record, name) for name in names]
        number = connection.execute(
            f"INSERT INTO memories ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) RETURNING number", values
        ).fetchall()[0][0]
        connection.execute("INSERT INTO memory_texts (rowid, content) VALUES (?, ?)", (number, record.content))
        found = terms(f"{record.category} {record.content}")
        connection.executemany(
            "INSERT INTO memory_terms (number, term) VALUES (?, ?)", [(number, term) for term in found]
        )
        if record.layer == Layer.SHORT:
            _trim(connection, record.owner, record.scope)
        kept.append(_numbered(record, number))
    return kept


def _trim(connection: sqlite3.Connection, owner: str, scope: str) -> None:
    statement = (
        "SELECT number FROM memories WHERE owner = ? AND scope = ? AND layer = ? ORDER BY number DESC LIMIT -1 OFFSET ?"
    )
    _delete(connection, [row[0] for row in connection.execute(statement, (owner, scope, Layer.SHORT, SHORT_MAX))])


def _delete(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    chosen = [(number,) for number in numbers]
    connection.executemany("DELETE FROM memory_texts WHERE rowid = ?", chosen)
    connection.executemany("DELETE FROM memory_terms WHERE number = ?", chosen)
    connection.executemany("DELETE FROM memories WHERE number = ?", chosen)


def _lexical(connection: sqlite3.Connection, owner: str, scope: str, layer: Layer | None, query: str) -> list[Memory]:
    """Return records with words of the query, the best first."""
    words = terms(query) or _WORD.findall(query.lower())[:10]
    if not words:
        return []
    layers, chosen = _layers(layer, "m.")
    statement = (
        f"SELECT {_ALIASED} FROM memory_texts JOIN memories m ON m.number = memory_texts.rowid "
        f"WHERE memory_texts MATCH ? AND m.owner = ? AND m.scope = ? AND {layers} "
        f"ORDER BY bm25(memory_texts), m.number DESC LIMIT {_FOUND_MAX}"
    )
    match = " OR ".join(f'"{word}"' for word in words)
    return [_memory(row) for row in connection.execute(statement, (match, owner, scope, *chosen))]


def _graph(
    connection: sqlite3.Connection, owner: str, scope: str, layer: Layer | None, seeds: Sequence[int]
) -> list[Memory]:
    """Return records one step away from the seeds: those that share words with them, rare ones count more."""
    if not seeds:
        return []
    layers, chosen = _layers(layer, "m.")
    statement = f"""
        WITH seeds (number) AS (SELECT value FROM json_each(?1)),
        shared (term, weight) AS (
          SELECT t.term, 1.0 / count(*) FROM memory_terms t JOIN memories m USING (number)
          WHERE t.term IN (SELECT term FROM memory_terms WHERE number IN (SELECT number FROM seeds))
            AND m.owner = ?2 AND m.scope = ?3
          GROUP BY t.term HAVING count(*) BETWEEN 2 AND {_DEAD_END}
        )
        SELECT {_ALIASED} FROM shared JOIN memory_terms t USING (term) JOIN memories m USING (number)
        WHERE m.owner = ?2 AND m.scope = ?3 AND m.number NOT IN (SELECT number FROM seeds)
          AND {layers.replace("?", "?4")}
        GROUP BY m.number ORDER BY sum(shared.weight) DESC, m.number DESC LIMIT {_FOUND_MAX}
    """
    return [_memory(row) for row in connection.execute(statement, (json.dumps(seeds), owner, scope, *chosen))]


def _layers(layer: Layer | None, prefix: str = "") -> tuple[str, tuple[str, ...]]:
    return ("1", ()) if layer is None else (f"{prefix}layer = ?", (layer,))


def _numbered(record: Memory, number: int) -> Memory:
    return Memory(**{name: getattr(record, name) for name in _FIELDS[1:]}, number=number)


def _memory(row: Sequence[Any]) -> Memory:
    values = dict(zip(_FIELDS, row, strict=True))
    return Memory(**{**values, "layer": Layer(values["layer"])})
