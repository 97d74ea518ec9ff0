"""What a flow may return: shown as people expect, or an error that says what to return instead."""

import asyncio
import base64
import collections
import dataclasses
import datetime
import decimal
import io
import json
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import narwhals
import numpy as np
import pandas as pd
import plotly.graph_objects
import pydantic
import pytest
from matplotlib.figure import Figure
from PIL import Image as Pictures

from agentmesh import HTML, Image, KodosumiError, Markdown, ServeAPI, Table, Tracer
from agentmesh._job.execution import execute
from agentmesh._job.results import result_json
from agentmesh._values.rich import IMAGE_BYTES_MAX, CannotShow
from agentmesh._values.serialize import plain, serialize


def typed(value: Any, *, is_declared: bool = True) -> Any:
    """Return the result for a returned value."""
    return json.loads(result_json("flow", value, is_declared=is_declared))


def table(value: Any) -> dict[str, Any]:
    """Return the table that is made of a value."""
    found: dict[str, Any] = typed(value)["Table"]
    return found


def picture(value: Any) -> Pictures.Image:
    """Return the image that is made of a value, read back."""
    url = typed(value)["Image"]["url"]
    head, _, data = url.partition(",")
    assert head in (
        "data:image/png;base64",
        "data:image/jpeg;base64",
        "data:image/gif;base64",
        "data:image/webp;base64",
    )
    return Pictures.open(io.BytesIO(base64.b64decode(data)))


def encoded(form: str) -> bytes:
    """Return a small picture in a format."""
    buffer = io.BytesIO()
    Pictures.new("RGB", (3, 2), "red").save(buffer, format=form)
    return buffer.getvalue()


def test_a_frame_becomes_a_table() -> None:
    """Its own numbering is left out; what is missing is empty."""
    frame = pd.DataFrame(
        {"name": ["Ada", None], "age": [36.5, float("nan")], "on": [pd.Timestamp("1815-12-10"), pd.NaT]}
    )

    expected = {
        "columns": ["name", "age", "on"],
        "rows": [["Ada", 36.5, "1815-12-10T00:00:00"], [None] * 3],
        "more": 0,
    }
    assert expected == table(frame)


def test_an_index_that_says_something_is_shown() -> None:
    """Named or of labels; levels become columns, as do those of columns."""
    assert {"columns": ["", "n"], "rows": [["a", 1], ["b", 2]], "more": 0} == table(
        pd.DataFrame({"n": [1, 2]}, index=["a", "b"])
    )
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("x", "y"), ("x", "z")]))
    frame.index = pd.MultiIndex.from_tuples([("de", 5)], names=["land", "zone"])
    assert {"columns": ["land", "zone", "x / y", "x / z"], "rows": [["de", 5, 1, 2]], "more": 0} == table(frame)
    assert {"columns": ["n"], "rows": [[1]], "more": 0} == table(pd.Series([1], name="n"))


def test_a_frame_is_bounded() -> None:
    """In rows, columns, cells and characters; what is beyond is counted."""
    assert (1000, 4000, [0]) == (
        len((found := table(pd.DataFrame({"n": range(5000)})))["rows"]),
        found["more"],
        found["rows"][0],
    )
    wide = table(pd.DataFrame([range(300)]))
    assert (100, 100) == (len(wide["columns"]), len(wide["rows"][0]))
    long = table(pd.DataFrame({"a": ["x" * 5000] * 2000, "b": ["y" * 5000] * 2000}))
    assert [1000, 1000] == [len(cell) for cell in long["rows"][0]]
    assert 520 < len(long["rows"]) < 524
    assert 2000 == len(long["rows"]) + long["more"]


def test_a_frame_that_gives_its_rows_becomes_a_table() -> None:
    """As those of polars and narwhals do; one that is not computed yet is refused."""
    frame = narwhals.from_native(pd.DataFrame({"a": range(1500)}))

    found = table(frame)

    assert (["a"], [[0], [1]], 500) == (found["columns"], found["rows"][:2], found["more"])
    with pytest.raises(CannotShow, match=r"a LazyFrame has not been computed: return its `\.collect\(\)`"):
        typed(frame.lazy())


def test_an_author_may_make_a_table() -> None:
    """Of rows of anything."""
    made = Table(["a", "b"], ((n, datetime.date(2025, 1, n)) for n in range(1, 4)), more=2)

    expected = {"columns": ["a", "b"], "rows": [[1, "2025-01-01"], [2, "2025-01-02"], [3, "2025-01-03"]], "more": 2}
    assert expected == table(made)


def test_arrays() -> None:
    """One or two dimensions are a table, none is a number; of more the shape, and the values if they are few."""
    assert {"int": 3} == typed(np.int64(3))
    assert {"float": 0.5} == typed(np.array(0.5))
    assert {"bool": True} == typed(np.bool_(True))
    assert {"columns": ["value"], "rows": [[1], [2]], "more": 0} == table(np.array([1, 2]))
    assert {"columns": ["0", "1"], "rows": [[1, 2], [3, 4]], "more": 0} == table(np.array([[1, 2], [3, 4]]))
    assert 500 == table(np.zeros(1500))["more"]
    cube = {"shape": [1, 1, 2], "dtype": "int64", "values": [[[1, 2]]]}
    assert {"dict": cube} == typed(np.array([[[1, 2]]]))
    assert {"dict": {"shape": [30, 30, 30], "dtype": "float64"}} == typed(np.zeros((30, 30, 30)))
    assert {"x": [1, 2], "y": 3} == plain({"x": np.array([1, 2]), "y": np.int64(3)})


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_bytes_of_an_image_are_an_image(form: str) -> None:
    """By their first bytes."""
    assert (form, (3, 2)) == ((found := picture(encoded(form))).format, found.size)


def test_bytes_of_text_are_text() -> None:
    """Others cannot be shown, and the words say what to do."""
    assert {"str": "Grüße"} == typed("Grüße".encode())
    for value in (b"\xff\xfe\x00", bytearray(b"\xff"), memoryview(b"\xff")):
        with pytest.raises(CannotShow, match=r"are neither an image .* nor text: .* return a Link"):
            typed(value)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "HSV"])
def test_pictures(mode: str) -> None:
    """Of every mode."""
    assert (4, 3) == picture(Pictures.new(mode, (4, 3))).size


def test_a_large_picture_is_made_smaller_or_refused() -> None:
    """A photograph is fit for JPEG; what is too large even so comes with advice."""
    noise = Pictures.frombytes("RGB", (1100, 1100), random.Random(1).randbytes(1100 * 1100 * 3))
    assert "JPEG" == picture(noise).format
    with pytest.raises(CannotShow, match=r"too large for a result, at most .* or put it where it can be fetched"):
        typed(Pictures.frombytes("RGB", (3000, 3000), random.Random(1).randbytes(3000 * 3000 * 3)))
    with pytest.raises(CannotShow, match="an image of"):
        typed(b"\x89PNG\r\n\x1a\n" + b"\0" * IMAGE_BYTES_MAX)


def test_figures_are_drawn() -> None:
    """A figure of matplotlib, and axes by their figure."""
    figure = Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([1, 2, 3])

    assert "PNG" == picture(figure).format
    assert "PNG" == picture(axes).format
    with pytest.raises(CannotShow, match="return its Figure"):
        typed(axes.lines[0].get_transform())


def test_an_interactive_figure_is_drawn_or_refused_with_advice() -> None:
    """plotly draws with a package of its own, which is not here."""
    with pytest.raises(CannotShow, match=r"Figure of plotly could not be drawn .* install kaleido"):
        typed(plotly.graph_objects.Figure())


class Notebook:
    """Shows itself in a notebook."""

    def _repr_html_(self) -> str:
        return "<b>me</b>"


class Noted:
    """Shows itself in a notebook, in Markdown and as nothing."""

    def _repr_html_(self) -> None:
        return None

    def _repr_markdown_(self) -> str:
        return "*me*"


def test_what_shows_itself_in_a_notebook_does_so_here() -> None:
    """By the methods that notebooks ask."""
    assert {"HTML": {"body": "<b>me</b>"}} == typed(Notebook())
    assert {"Markdown": {"body": "*me*"}} == typed(Noted())


@dataclasses.dataclass
class Report:
    """A report."""

    title: str
    data: Any


class Answer(pydantic.BaseModel):
    """An answer."""

    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    day: datetime.date
    data: Any = None


def test_records_are_shown_by_their_fields() -> None:
    """Dataclasses and models, with frames and pictures within."""
    frame = pd.DataFrame({"n": [1]})
    shown = {"columns": ["n"], "rows": [[1]], "more": 0}

    assert {"Report": {"title": "t", "data": shown}} == typed(Report("t", frame))
    assert {"Answer": {"day": "2025-01-02", "data": shown}} == typed(Answer(day=datetime.date(2025, 1, 2), data=frame))
    assert {"dict": {"frame": shown, "list": [shown]}} == typed({"frame": frame, "list": [frame]})
    assert {"__list__": [{"Table": shown}, {"str": "and"}]} == typed([frame, "and"])
    told = typed({"figure": plotly.graph_objects.Figure()})["dict"]["figure"]
    assert told.startswith("a Figure of plotly could not be drawn")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime.date(2025, 1, 2), {"str": "2025-01-02"}),
        (datetime.timedelta(minutes=1), {"float": 60.0}),
        (decimal.Decimal("1.10"), {"str": "1.10"}),
        ({2, 1}, {"__list__": [{"int": 1}, {"int": 2}]}),
        (range(2), {"__list__": [{"int": 0}, {"int": 1}]}),
        (collections.deque(["a"]), {"__list__": [{"str": "a"}]}),
        ({"a": 1}.keys(), {"__list__": [{"str": "a"}]}),
        (collections.Counter("aab"), {"dict": {"a": 2, "b": 1}}),
        (ValueError("no"), {"ValueError": {"message": "no"}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_declared_flow_may_return_what_has_a_plain_form(value: Any, shown: Any) -> None:
    """Dates, sets and ranges; kodosumi's flows keep their form."""
    assert shown == typed(value)
    assert {"TypeError": "2025-01-02"} == typed(datetime.date(2025, 1, 2), is_declared=False)


def test_what_has_nothing_to_see_is_refused() -> None:
    """With what to return instead."""
    for value in (len, Report, json, test_arrays, lambda: 1):
        for is_declared in (True, False):
            with pytest.raises(CannotShow, match=r"flow returned a .*, which cannot be shown: return text, a number"):
                typed(value, is_declared=is_declared)
    with pytest.raises(CannotShow, match="flow returned a object, which cannot be shown"):
        typed(object())
    assert "TypeError" in typed(object(), is_declared=False)


async def helper() -> str:
    """Be awaited."""
    return "late"


async def forgot_await() -> Coroutine[Any, Any, str]:
    """Forget an await."""
    return helper()


async def leaves_a_task() -> Any:
    """Return a task."""
    return asyncio.ensure_future(asyncio.sleep(0))


def generates() -> Iterator[int]:
    """Be a generator."""
    yield 1


async def streams() -> AsyncIterator[int]:
    """Be an async generator."""
    yield 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("forgot_await", "forgot_await returned a coroutine, not a result: an `await` is missing before it"),
        ("leaves_a_task", "leaves_a_task returned a Task, not a result: an `await` is missing before it"),
        ("generates", "generates returned a generator, not a result: send interim results with `tracer.result"),
        ("streams", "streams returned an async generator, not a result"),
    ],
)
async def test_what_is_unfinished_is_no_result(name: str, words: str) -> None:
    """For flows of every kind; nothing is left that was never awaited."""
    with pytest.raises(KodosumiError, match=words.replace("(", r"\(")):
        await execute(f"tests.sdk.job.test_results:{name}", {}, Tracer("f1", lambda kind, payload: None))


app = ServeAPI()


@app.flow("/")
def chart() -> Figure:
    """Draw."""
    return Figure(figsize=(1, 1))


async def test_a_job_may_return_a_figure() -> None:
    """From the entry point to the result."""
    result = json.loads(await execute("tests.sdk.job.test_results:chart", {}, Tracer("f1", lambda kind, payload: None)))

    assert result["Image"]["url"].startswith("data:image/png;base64,")


async def test_interim_results_are_shown_the_same_way() -> None:
    """What cannot be shown there says so in its place, and the job goes on."""
    events: list[Any] = []
    tracer = Tracer("f1", lambda kind, payload: events.append(json.loads(payload)))

    await tracer.result(pd.DataFrame({"n": [1]}), Markdown("x"), b"\xff")
    await tracer.action(HTML("x"), Image("u"))

    assert {"Table": {"columns": ["n"], "rows": [[1]], "more": 0}} == events[0]
    assert "1 bytes are neither an image" in events[2]["TypeError"]
    assert [{"HTML": {"body": "x"}}, {"Image": {"url": "u", "alt": None}}] == events[3:]
    assert {"TypeError": "None"} == json.loads(serialize(None))
