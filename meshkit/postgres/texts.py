"""Texts that PostgreSQL cannot hold: with U+0000 in them.

Every `text` goes through these two (`meshkit.postgres` sets them as the codec of the type), so a store need not think
of it: what SQLite keeps, PostgreSQL keeps.  U+FDD0, which no text should have (it is a noncharacter), escapes NUL and
itself; every other text is stored as it is.  JSON belongs into `text`, too: `jsonb` refuses `\\u0000`.
"""

_ESCAPE = "\ufdd0"
_NUL, _ITSELF = f"{_ESCAPE}0", f"{_ESCAPE}1"


def stored(text: str) -> str:
    """Return the text as PostgreSQL keeps it."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ITSELF).replace("\0", _NUL)
    return text


def read(text: str) -> str:
    """Return the text that is kept like this."""
    return text.replace(_NUL, "\0").replace(_ITSELF, _ESCAPE) if _ESCAPE in text else text
