"""Slugs: short names of agents, made of what people call them."""

import re
import unicodedata
from collections.abc import Iterator

CHARS_MAX = 63
PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FOLDED = {"ß": "ss", "æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l"}
"""What Unicode does not take apart into a letter and a mark."""
_TABLE = str.maketrans(_FOLDED)
_TRIES = 9


def slug_of(text: str, fallback: str) -> str:
    """Return the slug of a display name: `Café Noir` becomes `cafe-noir`; `fallback` if no letter or digit is left."""
    plain = unicodedata.normalize("NFKD", text.translate(_TABLE)).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:CHARS_MAX].strip("-")
    return slug if slug and not is_id(slug) else fallback


def candidates(slug: str, own_id: str) -> Iterator[str]:
    """Yield slugs to try: it, it with a number, and at last it with the end of an id, which nobody else has."""
    yield slug
    for number in range(2, _TRIES + 1):
        yield _with(slug, str(number))
    yield _with(slug, own_id[-12:])


def is_id(text: str) -> bool:
    """Return whether a text looks like an id, which no slug or name may."""
    return _UUID.fullmatch(text) is not None


def _with(slug: str, tail: str) -> str:
    return f"{slug[: CHARS_MAX - len(tail) - 1].strip('-')}-{tail}"
