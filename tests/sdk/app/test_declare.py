"""Flows that declare their inputs: what is read from a function, and what its job gets."""

import json
from typing import Any

import jsonschema_rs
import pydantic
import pytest

from agentmesh import InputsError, KodosumiError, ServeAPI, Tracer, TracerMock, forms
from agentmesh._app.loading import FlowInfo, flows_of
from agentmesh._job.execution import execute
from tests.sdk import declared
from tests.sdk.calling import calling

FLOWS = {flow.path: flow for flow in flows_of(declared.app)}


def schema(path: str) -> dict[str, Any]:
    """Return the schema of a flow's inputs."""
    found: dict[str, Any] = json.loads(FLOWS[path].input_schema_json)
    return found


def elements(path: str) -> list[dict[str, Any]]:
    """Return a flow's form, without what is not set."""
    return [
        {key: item for key, item in one.items() if item is not None} for one in json.loads(FLOWS[path].elements_json)
    ]


async def run(name: str, inputs: dict[str, Any]) -> Any:
    """Run a flow as a job does; return its result."""
    return json.loads(await execute(f"tests.sdk.declared:{name}", inputs, Tracer("f1", lambda kind, payload: None)))


def test_a_flow_says_how_it_is_launched() -> None:
    """Its path, what the author said, who checks, what runs, and what separates its jobs."""
    shown = FLOWS["/"]

    assert ("Greeter", "Says hello.", ["a", "b"], "1.0") == (
        shown.summary,
        shown.description,
        shown.tags,
        shown.version,
    )
    assert ("schema", "tests.sdk.declared:greet", "shared") == (shown.launcher, shown.entry_point, shown.isolation)
    assert ("process", True) == (FLOWS["/sync"].isolation, FLOWS["/sync"].deprecated)


def test_a_handlers_flow_tells_its_form() -> None:
    """The mesh asks its handler, but knows its elements; a flow of plain FastAPI has neither."""
    shown = FLOWS["/enter"]

    assert ("handler", "", "", "process") == (
        shown.launcher,
        shown.input_schema_json,
        shown.entry_point,
        shown.isolation,
    )
    assert ["text"] == [element["type"] for element in elements("/enter")]
    app = ServeAPI(isolation="shared")
    app.get("/plain", entry=True)(lambda: None)
    assert [FlowInfo(path="/plain", summary="<Lambda>", isolation="shared")] == flows_of(app)


def test_the_schema_is_that_of_the_model() -> None:
    """JSON Schema 2020-12 with defaults, closed, and valid by its own dialect."""
    shown = schema("/")

    assert "https://json-schema.org/draft/2020-12/schema" == shown["$schema"]
    assert (["name"], False) == (shown["required"], shown["additionalProperties"])
    assert {"default": 1, "minimum": 1, "exclusiveMaximum": 10} == {
        key: shown["properties"]["count"][key] for key in ("default", "minimum", "exclusiveMaximum")
    }
    for path in ("/", "/kinds", "/form", "/nothing", "/point"):
        jsonschema_rs.meta.validate(schema(path))


def test_recursion_is_cut() -> None:
    """The mesh takes no schema without end; what is within is checked in the job."""
    address = schema("/kinds")["$defs"]["Address"]

    assert [{}, {"type": "null"}] == address["properties"]["neighbour"]["anyOf"]
    assert address["additionalProperties"] is False


def test_the_form_is_derived() -> None:
    """The model's text, a field for each property, and the buttons."""
    assert [
        {"type": "markdown", "text": "Whom to greet, and **how**."},
        {"type": "text", "name": "name", "label": "Name", "required": True, "placeholder": "Ada"},
        {
            "type": "number",
            "name": "count",
            "label": "Count",
            "value": 1,
            "required": False,
            "placeholder": "How often",
            "min_value": 1,
            "max_value": 9,
            "step": 1,
        },
        {"type": "boolean", "name": "loud", "label": "Loud", "value": False, "option": "In capitals"},
        {
            "type": "select",
            "name": "tone",
            "label": "Tone",
            "value": "warm",
            "option": [
                {"type": "option", "name": "warm", "label": "warm", "value": True},
                {"type": "option", "name": "cold", "label": "cold", "value": False},
            ],
        },
        {"type": "date", "name": "day", "label": "Day", "required": False},
        {"type": "submit", "text": "Start"},
        {"type": "cancel", "text": "Cancel"},
    ] == elements("/")


def test_each_kind_has_its_element() -> None:
    """By type, by format, or as the author hints."""
    shown = {element["name"]: element for element in elements("/kinds") if "name" in element}

    assert {
        "line": "text",
        "lines": "textarea",
        "ratio": "number",
        "level": "range",
        "pick": "select",
        "size": "radio",
        "tags": "textarea",
        "days": "textarea",
        "at": "datetime-local",
        "clock": "time",
        "week": "week",
        "link": "url",
        "key": "password",
        "file": "file",
        "code": "text",
        "home": "textarea",
        "extra": "textarea",
        "anything": "text",
    } == {name: element["type"] for name, element in shown.items()}
    assert ("a", "one per line: a, b") == (shown["tags"]["value"], shown["tags"]["placeholder"])
    assert ["", "a", "b"] == [option["name"] for option in shown["pick"]["option"]]
    assert ["1", "2"] == [option["name"] for option in shown["size"]["option"]]
    assert ("[a-z]+", "Code word") == (shown["code"]["pattern"], shown["code"]["label"])
    assert (0, 10, "a poem", "Home") == (
        shown["level"]["min_value"],
        shown["level"]["max_value"],
        shown["lines"]["placeholder"],
        shown["home"]["label"],
    )


async def test_the_function_stays_what_it_is() -> None:
    """It can be called as if it were not decorated."""
    result = await declared.greet(declared.Greeting(name="Ada", count=2), TracerMock())

    assert "warm: Hello **Ada**! Hello **Ada**! " == result.body


async def test_the_job_gets_the_model() -> None:
    """Made of the checked inputs; a dict for a form, nothing for who takes nothing."""
    assert {"Markdown": {"body": "COLD: HELLO **ADA**! "}} == await run(
        "greet", {"name": "Ada", "loud": True, "tone": "cold", "day": "2025-06-01"}
    )
    assert {"str": "Ada"} == await run("greet_sync", {"name": "Ada"})
    assert {"dict": {"name": "Ada", "count": 2}} == await run("by_form", {"name": "Ada", "count": 2})
    assert {"str": "f1"} == await run("nothing_in", {})
    assert {"Point": {"x": 1, "y": 0}} == await run("point", {"x": 1})
    assert {"str": "ADA"} == await run("wrapped", {"name": "Ada"})


async def test_strict_models_take_what_json_says() -> None:
    """A date is text there, so that even a strict field takes it."""
    inputs = {
        "line": "a",
        "size": 1,
        "at": "2025-06-01T09:30:00Z",
        "days": ["2025-06-01"],
        "key": "s",
        "home": {"street": "x"},
    }

    names = [next(iter(item.values())) for item in (await run("kinds", inputs))["__list__"]]

    assert ["str", "str", "NoneType", "int", "NoneType", "int", "list", "list", "datetime", "time"] == names[:10]
    assert ["NoneType", "NoneType", "SecretStr", "NoneType", "str", "Address", "dict", "NoneType"] == names[10:]


async def test_an_authors_validator_fails_the_job_in_words() -> None:
    """By field, without pydantic's own text around."""
    with pytest.raises(InputsError) as caught:
        await run("greet", {"name": "Bob", "count": 99})

    assert {"name": ["Bob has been greeted"], "count": ["Input should be less than 10"]} == caught.value.errors
    assert "name: Bob has been greeted\ncount: Input should be less than 10" == str(caught.value)


async def test_a_forgotten_return_is_told() -> None:
    """Unless the annotation says that nothing may come back."""
    with pytest.raises(
        KodosumiError, match="forgot returned nothing: end it with a `return`, or annotate it with `-> None`"
    ):
        await run("forgot", {"name": "Ada"})
    assert {"TypeError": "None"} == await run("meant", {"name": "Ada"})


async def test_get_answers_the_form() -> None:
    """As for a form of kodosumi's."""
    async with calling(declared.app) as (client, _):
        answer = (await client.get("/")).json()

    assert ("Greeter", ["b", "a"]) == (answer["summary"], answer["tags"])
    assert json.loads(FLOWS["/"].elements_json) == answer["elements"]
    assert {"x-kodosumi": True, "x-author": "me@example.com", "x-version": "1.0"} == answer["openapi_extra"]


async def test_an_app_can_be_tried_without_a_mesh() -> None:
    """POST checks and notes the launch, for JSON and for forms."""
    async with calling(declared.app) as (client, launches):
        job = (await client.post("/", json={"name": "Ada", "count": "3", "day": "", "submit": "Go"})).json()["result"]
        await client.post("/form", data={"name": "Ada"})
        refused = (await client.post("/", json={"name": "", "count": 11, "x": 1})).json()["errors"]
        missed = (await client.post("/form", json={"name": ""})).json()["errors"]

    assert [(job, "tests.sdk.declared:greet", "/"), (launches[1].job_id, "tests.sdk.declared:by_form", "/form")] == [
        (spec.job_id, spec.entry_point, spec.path) for spec in launches
    ]
    assert [{"name": "Ada", "count": "3"}, {"name": "Ada", "count": 2}] == [
        json.loads(spec.inputs_json) for spec in launches
    ]
    assert {"name", "count", "x", "_global_"} == refused.keys()
    assert {"name": ["Name is required"], "_global_": []} == missed


class Small(pydantic.BaseModel):
    """A model."""

    name: str


def test_what_declares_nothing_is_refused() -> None:
    """With the remedy, when the module is imported."""
    app = ServeAPI()

    def bare(inputs): ...  # type: ignore[no-untyped-def]

    def plain(inputs: dict[str, Any]) -> None: ...

    def opaque(inputs: int) -> None: ...

    def greedy(inputs: Small, database: Any) -> None: ...

    cases: list[tuple[Any, str]] = [
        (bare, "annotate `inputs` with a pydantic model, or pass `model="),
        (plain, "`inputs` must be a pydantic model"),
        (opaque, "`inputs` must be a pydantic model"),
        (greedy, "needs `database`"),
        (Small(name="x"), "decorate a function"),
    ]
    for function, words in cases:
        with pytest.raises(TypeError, match=words):
            app.flow("/x")(function)
    with pytest.raises(TypeError, match=r"model must be a forms\.Model"):
        app.flow("/x", model=Small)(plain)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="isolation must be 'process' or 'shared', not 'none'"):
        app.flow("/x", isolation="none")(plain)  # type: ignore[arg-type]


def test_hints_that_cannot_be_followed_are_refused() -> None:
    """An element that there is not, and a choice without options."""

    class Wrong(pydantic.BaseModel):
        name: str = pydantic.Field(json_schema_extra={"element": "slider"})

    class Empty(pydantic.BaseModel):
        name: str = pydantic.Field(json_schema_extra={"element": "radio"})

    def wrong(inputs: Any) -> None: ...

    wrong.__annotations__["inputs"] = Wrong
    with pytest.raises(ValueError, match="field 'name': there is no element 'slider'"):
        ServeAPI().flow("/x")(wrong)
    wrong.__annotations__["inputs"] = Empty
    with pytest.raises(ValueError, match="a radio needs something to choose from"):
        ServeAPI().flow("/x")(wrong)


def test_one_function_may_be_several_flows() -> None:
    """If it takes the same in each."""
    app = ServeAPI()

    def twice(inputs: Small) -> str:
        return inputs.name

    app.flow("/a", isolation="process")(twice)
    app.flow("/b", isolation="shared")(twice)

    assert {"/a": "process", "/b": "shared"} == {path: offer.isolation for path, offer in app.offers.items()}
    with pytest.raises(ValueError, match="declared twice, with a model and with an annotation"):
        app.flow("/c", model=forms.Model())(twice)


def test_a_function_that_no_job_can_find_is_refused_at_the_boot() -> None:
    """Within another function it has no name for another process."""
    app = ServeAPI()

    @app.flow("/x")
    def hidden(inputs: Small) -> str:
        return inputs.name

    with pytest.raises(ValueError, match="move it out of the function it is defined in"):
        flows_of(app)
