"""What flows and people wrote, as HTML that is safe to show.

These are the pure functions; those who show pages ask `gateway.core.renderer`, which knows when they may take long.

Everything that leaves here is either escaped or has gone through the sanitiser (nh3, an allow-list): no script, no
event handler, no style, only http, https and mailto addresses, and images as `data:` only where they are images.
Typed JSON is an object whose one key names the type, such as `{"Markdown": {"body": ..}}` (panel API document, "Output
formats").
"""

import html
import json
import re
from collections.abc import Callable
from typing import Any

import markdown_it
import markupsafe
import nh3
import yaml

from gateway.core import trees

TEXT_BYTES_MAX = 1024 * 1024
"""Of what is shown; the rest is cut off, and said to be."""
MARKDOWN_CHARS_MAX = 200_000
"""Longer text is shown as it is."""
_HTML_DEPTH_MAX = 256
"""Elements within each other; what is deeper is shown as text: to parse it takes the square of its length."""
_DEPTH_MAX = 20

_markdown = markdown_it.MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])

_TAGS = nh3.ALLOWED_TAGS | {"video"}
_ATTRIBUTES = {
    **nh3.ALLOWED_ATTRIBUTES,
    "code": {"class"},
    "video": {"src", "controls", "width", "height"},
}
_IGNORED_IN_URLS = re.compile(r"[\x00-\x20]+")
_IMAGE_DATA = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[a-z0-9+/=]*\Z")


def safe(fragment: str) -> markupsafe.Markup:
    """Mark what a function of this module returned, so that a page does not escape it again."""
    return markupsafe.Markup(fragment)


def sanitise(fragment: str) -> str:
    """Return HTML without anything that acts; what is nested too deeply comes out as text."""
    if _too_deep(fragment):
        return f"<pre>{html.escape(fragment)}</pre>"
    return nh3.clean(
        fragment,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "data"},
        attribute_filter=_without_data,
    )


_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)[^>]*", re.IGNORECASE)
# These are never in one of their own kind, closed or not, unless in one that is counted.
_NEVER_DEEP = frozenset(
    (
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
            "wbr",
        ),
        *("p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "option"),
    )
)


def _too_deep(fragment: str) -> bool:
    depth = 0
    for match in _TAG.finditer(fragment):
        if match[2].lower() in _NEVER_DEEP:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > _HTML_DEPTH_MAX:
            return True
    return False


def _without_data(tag: str, attribute: str, value: str) -> str | None:
    plain = _IGNORED_IN_URLS.sub("", value).lower()  # browsers read `da\tta:` as `data:`
    if plain.startswith("data:") and not (tag == "img" and attribute == "src" and _IMAGE_DATA.match(plain)):
        return None
    return value


def from_markdown(text: str) -> str:
    """Return CommonMark with tables and hard breaks as sanitised HTML."""
    if len(text) > MARKDOWN_CHARS_MAX:
        return f"<pre>{html.escape(text)}</pre>"
    return sanitise(_markdown.render(text)).rstrip()


# -- terminal output -------------------------------------------------------------------------------------------------

_ESCAPES = re.compile(r"\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?")
_COLORS = ("black", "#c00", "#0a0", "#a60", "#06c", "#a0a", "#088", "#888")


def from_ansi(text: str) -> str:
    """Return terminal output as escaped HTML; the 16 colours, bold and underline become spans, other codes vanish."""
    if "\x1b" not in text:
        return html.escape(text)
    parts: list[str] = []
    style: dict[str, str] = {}
    end = 0
    for match in _ESCAPES.finditer(text):
        _append_styled(parts, text[end : match.start()], style)
        end = match.end()
        if match.group(1) is not None:
            _apply(match.group(1), style)
    _append_styled(parts, text[end:], style)
    return "".join(parts)


def _append_styled(parts: list[str], text: str, style: dict[str, str]) -> None:
    if text and style:
        rules = ";".join(f"{name}:{value}" for name, value in style.items())
        parts.append(f'<span style="{rules}">{html.escape(text)}</span>')
    elif text:
        parts.append(html.escape(text))


def _apply(codes: str, style: dict[str, str]) -> None:
    numbers = [int(code[:4]) if code else 0 for code in codes.split(";")]
    while numbers:
        number = numbers.pop(0)
        if number in (38, 48):  # 256 colours or RGB follow: not shown
            del numbers[: 2 if numbers[:1] == [5] else 4]
        elif number == 0:
            style.clear()
        elif number == 1:
            style["font-weight"] = "bold"
        elif number == 4:
            style["text-decoration"] = "underline"
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style["color"] = _COLORS[number % 10]
        elif 40 <= number <= 47 or 100 <= number <= 107:
            style["background"] = _COLORS[number % 10]
        else:
            unset = {22: "font-weight", 24: "text-decoration", 39: "color", 49: "background"}.get(number, "")
            style.pop(unset, None)


# -- typed JSON ------------------------------------------------------------------------------------------------------


def from_typed(payload: str) -> str:
    """Return typed JSON as sanitised HTML; what is no JSON is shown as text."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return _preformatted(payload)
    return _typed(value, 0)


def from_result(payload: str) -> str:
    """Return typed JSON as `from_typed` does, but what is neither text nor picture as a tree that can be folded.

    What is too long for a page is cut off there, as text.
    """
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return from_typed(payload)
    ((kind, content),) = value.items() if isinstance(value, dict) and len(value) == 1 else [("", value)]
    if kind in _RENDERERS or kind == "__list__":
        return _typed(value, 0)
    if len(payload.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        return plain("result", payload)
    return trees.tree_of(content) or _typed(value, 0)


def _typed(value: Any, depth: int) -> str:
    if depth > _DEPTH_MAX or not isinstance(value, dict) or len(value) != 1:
        return _preformatted(value)
    ((kind, content),) = value.items()
    if kind == "__list__" and isinstance(content, list):
        return "\n".join(_typed(item, depth + 1) for item in content)
    known = _RENDERERS.get(kind)
    rendered = known(content) if known is not None and isinstance(content, dict) else None
    if rendered is not None:
        return rendered
    return f"<h4>{html.escape(kind)}</h4>{_preformatted(content)}"


def _preformatted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return f"<pre>{html.escape(text)}</pre>"


def _text(content: dict[str, Any]) -> str | None:
    body = content.get("body")
    return f"<blockquote><code>{html.escape(body)}</code></blockquote>" if isinstance(body, str) else None


def _markdown_body(content: dict[str, Any]) -> str | None:
    body = content.get("body")
    return from_markdown(body) if isinstance(body, str) else None


def _html_body(content: dict[str, Any]) -> str | None:
    body = content.get("body")
    return sanitise(body) if isinstance(body, str) else None


def _crew(content: dict[str, Any]) -> str | None:
    raw = content.get("raw")
    return f"<h4>CrewOutput</h4>{from_markdown(raw)}" if isinstance(raw, str) else None


def _link(content: dict[str, Any]) -> str | None:
    url = content.get("url")
    if not isinstance(url, str):
        return None
    return sanitise(f'<p><a href="{html.escape(url)}">{html.escape(str(content.get("title") or url))}</a></p>')


def _image(content: dict[str, Any]) -> str | None:
    url = content.get("url")
    if not isinstance(url, str):
        return None
    return sanitise(f'<p><img src="{html.escape(url)}" alt="{html.escape(str(content.get("alt") or ""))}"></p>')


def _video(content: dict[str, Any]) -> str | None:
    url = content.get("url")
    return sanitise(f'<video controls src="{html.escape(url)}"></video>') if isinstance(url, str) else None


def _table(content: dict[str, Any]) -> str | None:
    columns, rows, more = content.get("columns"), content.get("rows"), content.get("more")
    if not isinstance(columns, list) or not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return None
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in columns)
    lines = ["".join(f"<td>{'' if cell is None else html.escape(str(cell))}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    rest = f"<p>… {more} more rows</p>" if isinstance(more, int) and more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


_RENDERERS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "Text": _text,
    "Markdown": _markdown_body,
    "HTML": _html_body,
    "CrewOutput": _crew,
    "Link": _link,
    "Image": _image,
    "Video": _video,
    "Table": _table,
}


# -- events ----------------------------------------------------------------------------------------------------------


def from_inputs(payload: str) -> str:
    """Return a job's inputs as escaped YAML."""
    try:
        value = json.loads(payload)
        value = value.get("dict", value) if isinstance(value, dict) else value
        text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False).rstrip()
    except (ValueError, RecursionError, yaml.YAMLError):
        text = payload
    return html.escape(text)


def inert(payload: str) -> str:
    """Return what programs read, as the same JSON without a character that HTML knows: some put it into a page."""
    return payload.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


WAYS: dict[str, Callable[[str], str]] = {
    "markdown": from_markdown,
    "html": sanitise,
    "typed": from_typed,
    "result": from_result,
    "inputs": from_inputs,
    "ansi": from_ansi,
    "text": html.escape,
    "inert": inert,
}
"""How a text becomes HTML, by name."""
_EVENTS = {
    "inputs": "inputs",
    "stdout": "ansi",
    "stderr": "ansi",
    "debug": "text",
    "error": "text",
    "action": "typed",
    "result": "typed",
    "final": "typed",
}


def way_of(kind: str) -> str:
    """Return the way in which an event's payload becomes HTML.

    Kinds that programs read (agent, upload, lock, lease, meta, payment ..) stay the JSON that they are, made inert.
    """
    return _EVENTS.get(kind, "inert")


def from_event(kind: str, payload: str) -> str:
    """Return an event's payload as HTML."""
    return WAYS[way_of(kind)](payload)


def plain(way: str, text: str) -> str:
    """Return the same as text, cut where it is too long: what there is to show when the way takes too long."""
    if way == "inert":
        return inert(text)
    if way in ("typed", "result"):
        text = _body(text)
    elif way == "ansi":
        text = _ESCAPES.sub("", text)
    data = text.encode("utf-8", "replace")
    if len(data) > TEXT_BYTES_MAX:
        text = f"{data[:TEXT_BYTES_MAX].decode(errors='ignore')}\n… (cut off here: it has {len(data)} bytes)"
    shown = html.escape(text)
    return shown if way in ("ansi", "text", "inputs") else f"<pre>{shown}</pre>"


def _body(payload: str) -> str:
    """Return the text in typed JSON, or the JSON where there is none."""
    if len(payload) > TEXT_BYTES_MAX:
        return payload
    try:
        (content,) = json.loads(payload).values()
        body = content.get("body", content.get("raw"))
    except (ValueError, RecursionError, AttributeError):
        return payload
    return body if isinstance(body, str) else payload
