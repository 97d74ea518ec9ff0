"""What a flow can return or send besides plain values: texts in a format, and things at an address.

Each becomes typed JSON of its class's name, such as `{"Markdown": {"body": "# Hello"}}`
(seed: panel API, "Output formats").
"""

from typing import Any

from pydantic import BaseModel

__all__ = ["HTML", "Image", "Link", "Markdown", "Text", "Video"]


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
