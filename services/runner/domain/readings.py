"""How texts are read that jobs have chosen: what cannot be read or kept is told apart here, once.

JSON may say half of a pair of surrogates (`"\\ud800"`), which no store and no message can carry, and may be nested more
deeply than it can be read.
"""

import json
import math
import re
from typing import Any

# Each escape as a whole, so that an escaped backslash begins none: a pair of surrogates, half of one, any other.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT = r"\ufffd"


def parsed(text: str) -> Any:
    """Return what a text of JSON says, with U+FFFD for lone surrogates.  Raises `ValueError` if it cannot be read."""
    try:
        return json.loads(_paired(text), parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def checked(text: str) -> str:
    """Return a text of JSON without lone surrogates.  Raises `ValueError` if it cannot be read."""
    parsed(text)
    return _paired(text)


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    if math.isinf(value := float(digits)):
        raise ValueError("a number is too large")
    return value


def _paired(text: str) -> str:
    if r"\ud" not in text and r"\uD" not in text:
        return text
    return _ESCAPE.sub(lambda escape: escape[0] if escape["half"] is None else _REPLACEMENT, text)


def readable(text: str) -> str:
    """Return a text without halves of surrogate pairs, which nobody can write down."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_finite(value: object) -> bool:
    """Return whether something is a number that a float can hold."""
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # JSON has whole numbers of any length
        return False
