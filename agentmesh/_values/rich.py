"""What libraries make, as something that can be shown: data frames as tables, pictures and figures as images.

No library is imported here: a value of pandas is there only where pandas is loaded.  Which library a value is of is
told by the module of its class, or of one it inherits from.
"""

import base64
import io
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from agentmesh.errors import KodosumiError

IMAGE_BYTES_MAX = 2 * 1024 * 1024
"""Largest image within a result; a result is at most 4 MiB, and base64 takes a third more."""
ARRAY_VALUES_MAX = 10_000
"""Most values of an array that has too many dimensions for a table."""

_MAGIC = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}


class CannotShow(KodosumiError):
    """A value that nobody could look at; the message says what to return instead."""


def library_of(value: Any) -> str:
    """Return which of the libraries that are known here made the class of a value; empty if none."""
    for cls in type(value).__mro__:
        root = str(cls.__module__).partition(".")[0]
        if root in _CONVERTERS:
            return root
    return ""


def converted(value: Any) -> Any:
    """Return what to show for a value: a `Table`, an `Image`, a text, plain values, or the value itself.

    Raises `CannotShow` for what belongs to a library and cannot be shown, and for bytes that are no image and no text.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return _from_bytes(bytes(value))
    if library := library_of(value):
        return _CONVERTERS[library](value)
    return _as_notebooks_do(value)


def _as_notebooks_do(value: Any) -> Any:
    """Return what a value shows of itself in a notebook, if it is one of a library that cares about that."""
    kind = type(value)
    if hasattr(kind, "model_dump") or hasattr(kind, "__dataclass_fields__"):
        return value
    for name, show in _NOTEBOOK:
        method = getattr(kind, name, None)
        if callable(method) and (shown := method(value)):
            return show(shown)
    return value


def _html(text: Any) -> Any:
    from agentmesh.response import HTML

    return HTML(str(text))


def _markdown(text: Any) -> Any:
    from agentmesh.response import Markdown

    return Markdown(str(text))


def _from_bytes(data: bytes) -> Any:
    if (kind := image_kind(data)) is not None:
        return _image(data, kind)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CannotShow(
            f"{len(data)} bytes are neither an image (PNG, JPEG, GIF, WebP) nor text: put them where they can be "
            "fetched and return a Link"
        ) from None


def image_kind(data: bytes) -> str | None:
    """Return `png`, `jpeg`, `gif` or `webp`; None for what is no such image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _image(data: bytes, kind: str) -> Any:
    from agentmesh.response import Image

    if len(data) > IMAGE_BYTES_MAX:
        raise CannotShow(
            f"an image of {len(data)} bytes is too large for a result, at most {IMAGE_BYTES_MAX} are taken: "
            "make it smaller, or put it where it can be fetched and return Image(url)"
        )
    return Image(f"data:image/{kind};base64,{base64.b64encode(data).decode()}")


# -- tables ----------------------------------------------------------------------------------------------------------


def _table(columns: Iterable[Any], rows: Iterable[Iterable[Any]], more: int) -> Any:
    from agentmesh.response import Table

    return Table([str(column) for column in columns], rows, more)


def _from_pandas(value: Any) -> Any:
    from agentmesh.response import Table

    name = type(value).__name__
    if hasattr(value, "to_frame") and not hasattr(value, "columns"):  # a Series or an Index
        value = value.to_frame()
    if not hasattr(value, "columns"):
        return _scalar_of(value, name)
    shown = value.iloc[: Table.ROWS_MAX]
    index = value.index
    if type(index).__name__ != "RangeIndex" or index.name is not None:  # an index that says something
        names = [f"index {at}" if one is None else one for at, one in enumerate(index.names)]
        labels = [label if isinstance(label, tuple) else (label,) for label in shown.index]
        heads = ["" if name == "index 0" and len(names) == 1 else name for name in names]
        rows = ((*label, *row) for label, row in zip(labels, shown.itertuples(index=False, name=None), strict=True))
        return _table([*heads, *map(_column, value.columns)], map(_without_nan, rows), len(value) - len(shown))
    rows = shown.itertuples(index=False, name=None)
    return _table(map(_column, value.columns), map(_without_nan, rows), len(value) - len(shown))


def _column(name: Any) -> str:
    return " / ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _without_nan(row: Iterable[Any]) -> list[Any]:
    # What is missing is no number, no date and no text to pandas; to people it is an empty cell.
    return [None if cell is None or (not isinstance(cell, str) and _is_nan(cell)) else cell for cell in row]


def _is_nan(cell: Any) -> bool:
    unequal = cell != cell
    return type(cell).__name__ in ("NAType", "NaTType") or (isinstance(unequal, bool) and unequal)


def _scalar_of(value: Any, name: str) -> Any:
    """Return a date as text, a number as Python's own."""
    for method in ("isoformat", "item"):
        if callable(make := getattr(value, method, None)):
            return make()
    raise CannotShow(f"a {name} cannot be shown: return a DataFrame, a dict, a list or text")


def _from_rows(value: Any) -> Any:
    """A frame that gives its rows, as those of polars do."""
    from agentmesh.response import Table

    name = type(value).__name__
    if hasattr(value, "collect"):
        raise CannotShow(f"a {name} has not been computed: return its `.collect()`")
    if hasattr(value, "to_frame") and not hasattr(value, "columns"):  # a Series
        value = value.to_frame()
    if not hasattr(value, "rows") or not hasattr(value, "columns"):
        raise CannotShow(f"a {name} cannot be shown: return a DataFrame, a dict, a list or text")
    shown = value.head(Table.ROWS_MAX)
    return _table(value.columns, shown.rows(), len(value) - len(shown))


def _from_numpy(value: Any) -> Any:
    """A number as it is, an array of one or two dimensions as a table, of more with its values if they are few."""
    from agentmesh.response import Table

    if not hasattr(value, "ndim") or not hasattr(value, "tolist"):
        raise CannotShow(f"a {type(value).__name__} of numpy cannot be shown: return an array, a list or text")
    if value.ndim == 0:
        return value.item()
    if value.ndim <= 2:
        shown = value[: Table.ROWS_MAX]
        rows = shown.tolist() if value.ndim == 2 else ([cell] for cell in shown.tolist())
        return _table(range(value.shape[1]) if value.ndim == 2 else ["value"], rows, len(value) - len(shown))
    found = {"shape": list(value.shape), "dtype": str(value.dtype)}
    return {**found, "values": value.tolist()} if value.size <= ARRAY_VALUES_MAX else found


# -- pictures --------------------------------------------------------------------------------------------------------


def _from_pillow(value: Any) -> Any:
    if not callable(getattr(value, "save", None)):
        raise CannotShow(f"a {type(value).__name__} of Pillow cannot be shown: return an Image")
    picture = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else value.convert("RGB")
    data = _saved(picture, "PNG")
    if len(data) > IMAGE_BYTES_MAX:  # photographs are smaller so
        return _image(_saved(picture.convert("RGB"), "JPEG", quality=85), "jpeg")
    return _image(data, "png")


def _saved(picture: Any, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def _from_matplotlib(value: Any) -> Any:
    figure = value if hasattr(value, "savefig") else getattr(value, "figure", None)  # Axes know their figure
    if figure is None or not callable(getattr(figure, "savefig", None)):
        raise CannotShow(f"a {type(value).__name__} of matplotlib cannot be shown: return its Figure")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return _image(buffer.getvalue(), "png")


def _from_plotly(value: Any) -> Any:
    if not callable(getattr(value, "to_image", None)):
        raise CannotShow(f"a {type(value).__name__} of plotly cannot be shown: return a Figure")
    try:
        data = value.to_image(format="png")
    except Exception as error:  # its exporter is a package of its own, which starts a browser
        raise CannotShow(
            f"a Figure of plotly could not be drawn ({type(error).__name__}): install kaleido and a browser, draw it "
            "with matplotlib, or return the data as a table; its own page needs scripts, which results may not have"
        ) from error
    return _image(data, "png")


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "pandas": _from_pandas,
    "polars": _from_rows,
    "narwhals": _from_rows,
    "numpy": _from_numpy,
    "PIL": _from_pillow,
    "matplotlib": _from_matplotlib,
    "seaborn": _from_matplotlib,
    "plotly": _from_plotly,
}
_NOTEBOOK: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("_repr_png_", _from_bytes),
    ("_repr_jpeg_", _from_bytes),
    ("_repr_html_", _html),
    ("_repr_markdown_", _markdown),
)


def head(rows: Iterable[Any], count: int) -> tuple[list[Any], int]:
    """Return the first rows, and how many there are beyond."""
    iterator = iter(rows)
    found = list(itertools.islice(iterator, count))
    return found, sum(1 for _ in iterator)
