"""Markdown that a site's builder reads as it is meant."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")
_SOURCES = re.compile(r" \((?:seed|spec): [^)]*\)")
"""What comments say to those who change the code."""


def prose(text: str) -> str:
    """Return a text on one line, in which only what stands in backticks is markup."""
    parts = _CODE.split(_SOURCES.sub("", " ".join(text.split())))
    return "".join(part if part.startswith("`") else re.sub(r"([<>*_\[\]{}])", r"\\\1", part) for part in parts)


def opening(text: str | None) -> str:
    """Return the first paragraph of a docstring as prose."""
    return prose((text or "").strip().partition("\n\n")[0])


def code(text: str) -> str:
    """Return a text as code; nothing for an empty one."""
    return f"`{text}`" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
