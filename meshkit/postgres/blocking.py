"""Works that must not await, for stores whose port is a plain function over a transaction (`meshkit.sql`).

Such a work runs in a thread of its own and waits there, while the loop carries out its statements: some 0.1 ms each
beside what they cost anyway.  For what is seldom written; the hot path awaits (`meshkit.postgres`).
"""

import asyncio
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg

from meshkit.postgres.database import Connection, Work

T = TypeVar("T")
_WAIT_S = 60.0
"""For a statement whose connection has limits of its own: only a loop that has ended takes longer."""
_MARK = re.compile(r"\?|(?<!:):([a-z_]+)")


def blocking(work: "Callable[[Blocking], T]") -> Work[T]:
    """Return a work that runs `work` in a thread."""

    async def run(connection: Connection) -> T:
        return await asyncio.to_thread(work, Blocking(connection, asyncio.get_running_loop()))

    return run


class Blocking:
    """A `meshkit.sql.Sql` on a connection of the loop's; for one thread, which is not the loop's."""

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = (), /) -> "Rows":
        """Carry out a statement with values for its marks.  Raises `asyncpg.PostgresError`."""
        numbered, names = _numbered(sql)
        given = [values[name] for name in names] if isinstance(values, Mapping) else values
        return asyncio.run_coroutine_threadsafe(self._execute(numbered, given), self._loop).result(_WAIT_S)

    async def _execute(self, sql: str, values: Sequence[Any]) -> "Rows":
        if sql.lstrip()[:6].upper() == "SELECT" or "RETURNING" in sql:
            found = await self._connection.fetch(sql, *values)
            return Rows(found, len(found))
        done = await self._connection.execute(sql, *values)  # such as "INSERT 0 1"
        count = done.rpartition(" ")[2]
        return Rows([], int(count) if count.isdigit() else -1)


class Rows:
    """A `meshkit.sql.Rows`."""

    def __init__(self, found: "list[asyncpg.Record]", rowcount: int) -> None:
        self.rowcount = rowcount
        self._left = iter(found)

    def fetchone(self) -> "asyncpg.Record | None":
        """Return the next row."""
        return next(self._left, None)

    def fetchall(self) -> "list[asyncpg.Record]":
        """Return the rows that are left."""
        return list(self._left)

    def __iter__(self) -> "Iterator[asyncpg.Record]":
        """Go through the rows that are left."""
        return self._left


@functools.lru_cache(maxsize=512)
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement with PostgreSQL's marks, and the names of the values, if they have names.

    No statement of ours has a question mark or a colon in a literal.
    """
    names: list[str] = []
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found[1] is None:
            count += 1
            return f"${count}"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return _MARK.sub(mark, sql), tuple(names)
