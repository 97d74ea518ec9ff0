"""What the runner's rooms in PostgreSQL share: statements and their values, pages that are bounded."""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from meshkit import paging
from meshkit.postgres import Connection, texts


@functools.lru_cache(maxsize=4096)
def _numbered(statement: str) -> str:
    """Return a statement with `$1`, `$2`… where it has a `%s`: it is put together of pieces that do not count."""
    head, *rest = statement.split("%s")
    return head + "".join(f"${number}{piece}" for number, piece in zip(itertools.count(1), rest, strict=False))


async def rows(connection: Connection, statement: str, *values: Any) -> list[Any]:
    """Carry out a statement with a `%s` for each value; return the rows that it has."""
    found: list[Any] = await connection.fetch(_numbered(statement), *map(_stored, values))
    return found


async def each(connection: Connection, statement: str, values: Sequence[Sequence[Any]]) -> list[Any]:
    """Carry out a statement for each of some values, in one round trip; return the rows that there are, in order."""
    if not values:
        return []
    found: list[Any] = await connection.fetchmany(_numbered(statement), [list(map(_stored, one)) for one in values])
    return found


def _stored(value: Any) -> Any:
    """Return a value as PostgreSQL can hold it: texts in a list have no codec of their own."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [texts.stored(text) for text in value]
    return value


async def row(connection: Connection, statement: str, *values: Any) -> Any:
    """As `rows`, for the first one; None if there is none."""
    found = await rows(connection, statement, *values)
    return found[0] if found else None


def places(count: int) -> str:
    """Return that many placeholders."""
    return ", ".join(["%s"] * count)


def page(columns: str, source: str, order: str, size: str, bytes_max: int = paging.PAGE_BYTES_MAX) -> str:
    """Return a statement that reads no more rows of `source` than until a page is full, in an order.

    `size` are the bytes of a row.  Fewer bytes are read than twice `bytes_max`, or one row: `paging.until_full` ends
    it exactly.
    """
    total = f"sum({size}) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) - ({size})"
    return (
        f"SELECT {columns} FROM (SELECT *, {total} AS bytes_before FROM ({source}) AS found) AS measured "
        f"WHERE bytes_before <= {2 * bytes_max} ORDER BY {order}"
    )


def octets(columns: Iterable[str]) -> str:
    """Return how many bytes the texts of columns take, as SQL."""
    return " + ".join(f"octet_length({column})" for column in columns)
