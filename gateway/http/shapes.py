"""What bodies look like that no message of the contract describes.

Most RPCs of a dialect answer a message, and the message says what the JSON looks like.  Where a body is parsed or
written by hand (`google.api.HttpBody`, `Struct`, `ListValue`), a dialect registers its `Shape` instead: a pydantic
model for JSON and forms, a media type for the rest.  The reference (`gateway.http.openapi`) is made of both, and the
tests hold every real answer to it.  A method that needs a shape and has none does not make a reference.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gateway.http.answers import JSON
from meshkit.idempotency import KEY_HEADER


@dataclasses.dataclass(frozen=True, slots=True)
class Many:
    """An array of a message of the contract."""

    item: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body of one media type."""

    media_type: str
    model: Any = None
    """A pydantic model, any other type that pydantic knows, a class of a protobuf message, or `Many` of those; None for
    what is not JSON."""
    example: Any = None
    """As the source of the dialect prints it."""


Body = tuple[Content, ...]
"""One of these; without any the body is empty."""


def json(model: Any, example: Any = None, media_type: str = JSON) -> Content:
    """Return a body of JSON."""
    return Content(media_type=media_type, model=model, example=example)


def form(model: Any) -> Content:
    """Return a body as browsers send forms."""
    return Content(media_type="application/x-www-form-urlencoded", model=model)


REPEATABLE = {KEY_HEADER: "The same key and body give the same answer, for a day; with another body it is refused."}
"""The header of whatever may be sent twice."""


def forms(model: Any) -> Body:
    """Return a body as browsers send forms, with a file control or without."""
    return (form(model), Content(media_type="multipart/form-data", model=model))


HTML = Content(media_type="text/html")
TEXT = Content(media_type="text/plain")
SSE = Content(media_type="text/event-stream")
ANYTHING = Content(media_type="*/*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an RPC takes and answers where its messages do not say."""

    takes: Body | None = None
    """The body of the request; None: as the contract says."""
    may_be_left_out: bool = False
    """Whether the request may come without its body."""
    answers: Body | None = None
    """The body of a success; None: as the contract says."""
    also: Mapping[int | str, Body] = dataclasses.field(default_factory=dict)
    """What else may come, by status, such as 302 without a body; of an error, what may come in place of the dialect's
    usual body.  With `default` any other status may come, and the dialect's errors are not named."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Headers that it reads, and what they are for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the reference of a dialect says beyond the contract."""

    title: str
    description: str
    """Markdown."""
    error: Any
    """The model of every error's body."""
    shapes: Mapping[str, Shape] = dataclasses.field(default_factory=dict)
    """By `Service.Method`."""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What a field of type `google.protobuf.Value` holds, by `Message.field`: a type that pydantic knows."""
    errors: tuple[int, ...] = (400, 401, 404, 409, 413, 415, 429, 500, 503, 504)
    """The statuses that errors may have."""
    also_at: tuple[str, ...] = ()
    """Where the original has its document: paths that are served beside `/openapi/{name}.json`."""
    browsers_sign_in: bool = False
    """Whether a browser without a token is sent to sign in (302) by methods that want one."""
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Headers with a key of the dialect's own, in place of the mesh's tokens, for its public methods: what they are."""
