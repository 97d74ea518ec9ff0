"""Bits of HTML: everything that an author or user wrote is escaped on its way in."""

import html
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any


def escape(value: Any) -> str:
    """Return `value` as text that is safe within an element or a quoted attribute."""
    return html.escape("" if value is None else str(value))


def tag(name: str, attributes: Mapping[str, Any]) -> str:
    """Return an opening tag.  Attributes that are None or False are left out; True is an attribute without value."""
    parts = [name]
    for key, value in attributes.items():
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{escape(value)}"')
    return f"<{' '.join(parts)}>"


def legend(label: str | None) -> str:
    """Return the label above an input."""
    return f'<legend class="inputs-label">{escape(label)}</legend>'


def errors(messages: Iterable[str] | None) -> str:
    """Return the messages below an input, or nothing."""
    text = " ".join(messages or ())
    return f'<span class="error">{escape(text)}</span>' if text else ""


def field(label: str | None, control: str, messages: Iterable[str] | None, css: str = "field border fill") -> str:
    """Return an input with its label above and its messages below."""
    parts = [legend(label), f'<div class="{css}">', control, errors(messages), "</div>"]
    return "\n".join(part for part in parts if part)


def sanitised(text: str) -> str:
    """Return an author's HTML without what could run: a form may show what another user wrote."""
    import nh3

    attributes = {name: set(allowed) for name, allowed in nh3.ALLOWED_ATTRIBUTES.items()}
    attributes["*"] = {"class", "id", "title"}
    return nh3.clean(text, attributes=attributes)


def markdown(text: str) -> str:
    """Return Markdown as sanitised HTML."""
    from markdown_it import MarkdownIt

    rendered = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(textwrap.dedent(text))
    return sanitised(rendered)
