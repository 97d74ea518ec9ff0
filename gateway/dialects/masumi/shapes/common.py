"""What the bodies of all nouns are made of."""

from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar

import pydantic
from pydantic import Field

from gateway.http.shapes import Body, Shape, json

Network = Literal["Preprod", "Mainnet"]
Text = Annotated[str, Field(max_length=8000)]
Short = Annotated[str, Field(max_length=250)]
Iso = Annotated[str, Field(description="ISO 8601, in UTC: `2026-07-20T12:00:00.000Z`.")]
Millis = Annotated[str, Field(description="Milliseconds since 1970.", pattern=r"^[0-9]{1,15}$")]
AgentIdentifier = Annotated[str, Field(min_length=57, max_length=250)]
Purchaser = Annotated[str, Field(min_length=14, max_length=26)]
T = TypeVar("T")


class Model(pydantic.BaseModel):
    """What every body is."""

    model_config = pydantic.ConfigDict(use_attribute_docstrings=True)


class Success(pydantic.BaseModel, Generic[T]):
    """An answer."""

    status: Literal["success"]
    data: T


class Message(Model):
    """What went wrong."""

    message: str


class Error(Model):
    """What went wrong, and what to do."""

    status: Literal["error"]
    error: Message


class Funds(Model):
    """An amount of one currency."""

    amount: Annotated[str, Field(max_length=25, pattern=r"^[0-9]{1,25}$")]
    """In the smallest unit."""
    unit: Annotated[str, Field(max_length=150)]
    """Empty or `lovelace`, or policy id and asset name in hex."""


SomeFunds = Annotated[list[Funds], Field(max_length=7)]


def ok(model: Any) -> Body:
    """Return the answer of a success."""
    return (json(Success[model]),)


def call(takes: Any, answers: Any, headers: Mapping[str, str] | None = None) -> Shape:
    """Return the shape of a call with a body."""
    return Shape(takes=(json(takes),), answers=ok(answers), headers=headers or {})
