"""Bodies as System.Text.Json takes them on the web: names in any case, numbers as text too, unknown fields ignored.

The text of the API prints examples with `//` comments, so these are taken as well.
"""

from typing import Annotated, Any, TypeVar

import pydantic
from google.api import httpbody_pb2
from pydantic import BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from gateway.dialects.codex import ids, words
from gateway.http import bodies
from gateway.http.answers import JSON
from gateway.http.errors import HttpError
from meshkit.errors import Invalid

ROOT = "$"
"""The JSON path of the whole body."""


class Sent(pydantic.BaseModel):
    """What a command or query takes."""

    model_config = pydantic.ConfigDict(alias_generator=to_camel, use_attribute_docstrings=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _in_any_case(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        known = {str(field.alias).lower(): str(field.alias) for field in cls.model_fields.values()}
        return {known.get(name.lower(), name): value for name, value in sent.items()}


Model = TypeVar("Model", bound=Sent)


def read(body: httpbody_pb2.HttpBody, model: type[Model]) -> Model:
    """Return the body as a `model`.  Raises `HttpError` 415 if it is not said to be JSON, and `Invalid`."""
    kind = body.content_type.partition(";")[0].strip().lower()
    if kind != JSON and not kind.endswith("+json"):
        raise HttpError(415, f"send the body as {JSON}, not {kind[:80] or 'without a content-type'}")
    try:
        return bodies.validate(bodies.parse_commented_json(body), model)
    except Invalid as error:
        # The whole body is `$`, as in JSON paths; one that is no object is told so by pydantic with no field.
        fields = {ROOT if name == "body" else name: texts for name, texts in error.fields.items()}
        raise Invalid(str(error), fields) from None


# -- types -------------------------------------------------------------------------------------------------------------


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _guid(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a GUID as text")
    return ids.guid(value)


def choice(names: tuple[str, ...], *, least: int = 0) -> Any:
    """Return the type of an enum: its number or name comes in, and the number is what is got."""

    def check(value: Any) -> int:
        number = words.number(value, names)
        if number < least:
            raise ValueError(f"must be {least} to {len(names) - 1}")
        return number

    schema = {
        "type": "integer",
        "enum": list(range(least, len(names))),
        "x-enum-varnames": list(names[least:]),
    }
    return Annotated[int, BeforeValidator(check), WithJsonSchema(schema)]


Guid = Annotated[str, BeforeValidator(_guid), WithJsonSchema({"type": "string", "format": "uuid"})]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
NotBlank = pydantic.AfterValidator(_not_blank)


def text(most: int, *, least: int = 0) -> Any:
    """Return the type of a text of so many characters; one that must have some must not be blank."""
    some = (NotBlank,) if least else ()
    return Annotated[(str, StringConstraints(min_length=least, max_length=most), *some)]
