"""An app of flows that declare their inputs, for the tests of the SDK."""

import dataclasses
import datetime
import enum
import functools
from collections.abc import Callable
from typing import Any, Literal

import pydantic

from agentmesh import Launch, Markdown, ServeAPI, Tracer, forms
from agentmesh.forms import InputNumber, InputText

app = ServeAPI(isolation="shared")


class Tone(enum.Enum):
    """How to say it."""

    WARM = "warm"
    COLD = "cold"


class Address(pydantic.BaseModel):
    """Where somebody lives."""

    street: str
    neighbour: "Address | None" = None


class Greeting(pydantic.BaseModel):
    """Whom to greet, and **how**."""

    name: str = pydantic.Field(min_length=1, max_length=40, examples=["Ada"])
    count: int = pydantic.Field(default=1, ge=1, lt=10, description="How often")
    loud: bool = pydantic.Field(default=False, description="In capitals")
    tone: Tone = Tone.WARM
    day: datetime.date | None = None

    @pydantic.field_validator("name")
    @classmethod
    def not_bob(cls, name: str) -> str:
        """Refuse what no schema can say."""
        if name == "Bob":
            raise ValueError("Bob has been greeted")
        return name


@app.flow(summary="Greeter", description="Says hello.", tags=["b", "a"], version="1.0", author="me@example.com")
async def greet(inputs: Greeting, tracer: Tracer) -> Markdown:
    """Greet somebody."""
    await tracer.debug("greeting")
    text = f"{inputs.tone.value}: " + f"Hello **{inputs.name}**! " * inputs.count
    return Markdown(text.upper() if inputs.loud else text)


@app.flow("/sync", isolation="process", deprecated=True)
def greet_sync(inputs: Greeting) -> str:
    """Greet without `async` or tracer."""
    return inputs.name


FORM = forms.Model(
    InputText("name", "Name", required=True), InputNumber("count", "Count", value="2"), forms.Submit("Go")
)


@app.flow("/form/", model=FORM)
async def by_form(inputs: dict[str, Any]) -> dict[str, Any]:
    """Take what a form says."""
    return inputs


@app.flow("/nothing")
def nothing_in(tracer: Tracer) -> str:
    """Take no inputs."""
    return tracer.fid


@dataclasses.dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


@app.flow("/point")
def point(inputs: Point) -> Point:
    """Take a dataclass."""
    return inputs


class Kinds(pydantic.BaseModel):
    """One of each."""

    model_config = pydantic.ConfigDict(strict=True)

    line: str
    lines: str = pydantic.Field("", json_schema_extra={"multiline": True, "placeholder": "a poem"})
    ratio: float | None = pydantic.Field(None, ge=0, le=1)
    level: int = pydantic.Field(5, ge=0, le=10, json_schema_extra={"element": "range"})
    pick: Literal["a", "b"] | None = None
    size: Literal[1, 2] = pydantic.Field(json_schema_extra={"element": "radio"})
    tags: list[Literal["a", "b"]] = ["a"]
    days: list[datetime.date] = pydantic.Field(default_factory=list)
    at: datetime.datetime
    clock: datetime.time = datetime.time(9, 30)
    week: str | None = pydantic.Field(None, json_schema_extra={"element": "week"})
    link: pydantic.AnyUrl | None = None
    key: pydantic.SecretStr | None = None
    file: str | None = pydantic.Field(None, json_schema_extra={"element": "file"})
    code: str = pydantic.Field("ab", pattern="^[a-z]+$", title="Code word")
    home: Address | None = None
    extra: dict[str, int] = {}
    anything: Any = None


@app.flow("/kinds")
def kinds(inputs: Kinds) -> list[str]:
    """Take one of each."""
    return [type(value).__name__ for value in dict(inputs).values()]


def shouting(function: Callable[..., str]) -> Callable[..., str]:
    """Decorate a flow from outside."""

    @functools.wraps(function)
    def shout(**given: Any) -> str:
        return function(**given).upper()

    return shout


@shouting
@app.flow("/wrapped")
def wrapped(inputs: Greeting) -> str:
    """Be wrapped."""
    return inputs.name


@app.enter("/enter", model=forms.Model(InputText("name")), isolation="process")
def enter(request: Any) -> Launch:
    """Be a form of kodosumi's."""
    return Launch(request, greet_sync, inputs={"name": "Ada"})


@app.flow("/forgot")
def forgot(inputs: Greeting):  # type: ignore[no-untyped-def]  # as people write it
    """Forget to return."""
    inputs.name.upper()


@app.flow("/meant")
def meant(inputs: Greeting) -> str | None:
    """Return nothing on purpose."""
