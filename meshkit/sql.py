"""SQL for a function that must not await: what connections of SQLite and of `meshkit.postgres.blocking` share.

Marks are `?` or `:name`.  What both databases understand: `ON CONFLICT … DO UPDATE`, `RETURNING`, `LIMIT ?`; not
`INSERT OR REPLACE`, booleans, `LIMIT -1`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol


class Rows(Protocol):
    """What a statement has found, or done."""

    @property
    def rowcount(self) -> int:
        """How many rows it has changed."""

    def fetchone(self) -> Any:
        """Return the next row, which is a sequence; `None` if there is none."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the rows that are left."""


class Sql(Protocol):
    """Carries out statements, within whatever transaction there is."""

    def execute(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ..., /) -> Rows:
        """Carry out a statement with values for its marks."""
