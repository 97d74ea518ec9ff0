"""What a flow can return or send besides plain values: texts in a format, and things at an address.

Each becomes typed JSON of its class's name, such as `{"Markdown": {"body": "# Hello"}}`
(seed: panel API, "Output formats").
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from agentmesh._values import rich, serialize

__all__ = ["HTML", "Image", "Link", "Markdown", "Table", "Text", "Video"]


def _body(parts: tuple[Any, ...], body: str | None) -> str:
    if len(parts) == 1 and isinstance(parts[0], list | tuple):
        parts = tuple(parts[0])
    return "\n".join(str(part) for part in parts) if body is None else body


# Each class has its own constructor: type checkers derive one for a model that has none, without the positional form.
class Markdown(BaseModel):
    """Text in Markdown: the arguments, or the items of a single list, one per line."""

    body: str

    def __init__(self, *parts: Any, body: str | None = None) -> None:
        super().__init__(body=_body(parts, body))


class HTML(BaseModel):
    """Text in HTML, given like `Markdown`; it is sanitised before anybody sees it."""

    body: str

    def __init__(self, *parts: Any, body: str | None = None) -> None:
        super().__init__(body=_body(parts, body))


class Text(BaseModel):
    """Plain text, given like `Markdown`."""

    body: str

    def __init__(self, *parts: Any, body: str | None = None) -> None:
        super().__init__(body=_body(parts, body))


class Link(BaseModel):
    """A link to a page."""

    url: str
    title: str | None

    def __init__(self, url: str, title: str | None = None) -> None:
        super().__init__(url=url, title=title)


class Image(BaseModel):
    """An image; `alt` says what it shows."""

    url: str
    alt: str | None

    def __init__(self, url: str, alt: str | None = None) -> None:
        super().__init__(url=url, alt=alt)


class Video(BaseModel):
    """A video."""

    url: str

    def __init__(self, url: str) -> None:
        super().__init__(url=url)


class Table(BaseModel):
    """Rows of cells, such as `Table(["name", "age"], [["Ada", 36]])`; data frames become one by themselves.

    `more` is how many rows there are beyond these.  What is too much to look at is left out: rows beyond `ROWS_MAX`
    count as `more`, columns beyond `COLUMNS_MAX` do not come along, long texts are cut.
    """

    ROWS_MAX: ClassVar[int] = 1_000
    COLUMNS_MAX: ClassVar[int] = 100
    CELL_CHARS_MAX: ClassVar[int] = 1_000
    CHARS_MAX: ClassVar[int] = 1024 * 1024
    """Of all cells together."""

    columns: list[str]
    rows: list[list[Any]]
    more: int

    def __init__(self, columns: Sequence[Any], rows: Iterable[Iterable[Any]], more: int = 0) -> None:
        shown, beyond = rich.head(rows, self.ROWS_MAX)
        cells = [[_cell(cell) for cell in list(row)[: self.COLUMNS_MAX]] for row in shown]
        fitting = _fitting(cells, self.CHARS_MAX)
        super().__init__(
            columns=[str(column) for column in columns][: self.COLUMNS_MAX],
            rows=cells[:fitting],
            more=more + beyond + len(cells) - fitting,
        )


def _cell(value: Any) -> Any:
    found = serialize.plain(value)
    if not isinstance(found, str) or len(found) <= Table.CELL_CHARS_MAX:
        return found
    return found[: Table.CELL_CHARS_MAX - 1] + serialize.CUT


def _fitting(rows: list[list[Any]], chars_max: int) -> int:
    """Return how many of the rows fit into a result."""
    for count, row in enumerate(rows):
        chars_max -= sum(len(str(cell)) + 4 for cell in row)
        if chars_max < 0:
            return count
    return len(rows)
