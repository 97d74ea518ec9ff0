"""Checks of values against what an element says about them, in the terms of HTML (HTML Standard §4.10).

Each returns a message or None.  An author's own bound that cannot be read is no bound, as in a browser.
"""

import datetime
import functools
import math
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import regex

TEXT_CHARS_MAX = 100_000
"""Longest text that is matched against anything."""
PATTERN_CHARS_MAX = 10_000
"""Longest text that is matched against an author's pattern."""
PATTERN_S_MAX = 0.25
"""How long one match may take: a pattern such as `(a+)+` takes for ever on the wrong text."""

# HTML Standard, "valid email address".
_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
# HTML Standard, "valid floating-point number"; Python's float() takes more.
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


def text(title: str, value: Any) -> str | None:
    """A scalar of bounded length."""
    if isinstance(value, dict | list):
        return f"{title} must be text"
    if len(str(value)) > TEXT_CHARS_MAX:
        return f"{title} must be at most {TEXT_CHARS_MAX} characters long"
    return None


def length(title: str, value: str, min_length: Any, max_length: Any) -> str | None:
    """Within a number of characters; a line break counts as one."""
    size = len(value.replace("\r\n", "\n"))
    if (low := number_of(min_length)) is not None and size < low:
        return f"{title} must be at least {_shown(low)} character{'' if low == 1 else 's'} long"
    if (high := number_of(max_length)) is not None and size > high:
        return f"{title} must be at most {_shown(high)} character{'' if high == 1 else 's'} long"
    return None


def pattern(title: str, value: str, expression: str | None) -> str | None:
    """The whole text matches the author's pattern."""
    if not expression or (found := compiled(expression)) is None:
        return None
    if len(value) > PATTERN_CHARS_MAX:
        return f"{title} must be at most {PATTERN_CHARS_MAX} characters long"
    try:
        matched = found.fullmatch(value, timeout=PATTERN_S_MAX)
    except TimeoutError:
        return f"{title} takes too long to check; enter something shorter"
    return None if matched else f"{title} does not have the expected format"


@functools.lru_cache(maxsize=512)
def compiled(expression: str) -> "regex.Pattern[str] | None":
    """Return an author's pattern, or None if it cannot be read."""
    try:
        return regex.compile(expression)
    except (regex.error, OverflowError, RecursionError):
        return None


def email(title: str, value: str) -> str | None:
    """A valid email address."""
    return None if _EMAIL.fullmatch(value) else f"{title} must be an email address such as name@example.com"


def url(title: str, value: str) -> str | None:
    """An absolute address with a host."""
    try:
        parts = urllib.parse.urlsplit(value.strip())
        valid = bool(parts.scheme and parts.hostname) and not re.search(r"[\s<>\"]", value.strip())
    except ValueError:
        valid = False
    return None if valid else f"{title} must be a full address such as https://example.com"


def color(title: str, value: str) -> str | None:
    """A simple colour."""
    return None if _COLOR.fullmatch(value) else f"{title} must be a colour such as #3498db"


def number(title: str, value: Any, min_value: Any, max_value: Any) -> str | None:
    """A finite number, or the text of one, within bounds."""
    found = number_of(value)
    if found is None:
        return f"{title} must be a number"
    if (low := number_of(min_value)) is not None and found < low:
        return f"{title} must be at least {_shown(low)}"
    if (high := number_of(max_value)) is not None and found > high:
        return f"{title} must be at most {_shown(high)}"
    return None


def number_of(value: Any) -> int | float | None:
    """Return a value as a finite number, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 100 or not _NUMBER.fullmatch(value):
            return None
        value = int(value) if value.lstrip("+-").isdecimal() else float(value)
    if isinstance(value, int):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def moment(kind: str, title: str, value: Any, low: Any, high: Any) -> str | None:
    """A date, time, datetime-local, month or week in its HTML form, within bounds."""
    parse, form, article = _MOMENTS[kind]
    found = parse(str(value))
    if found is None:
        return f"{title} must be a {article} such as {form}"
    first, last = parse(str(low)) if low else None, parse(str(high)) if high else None
    if kind == "time" and first is not None and last is not None and first > last:
        # Over midnight: 22:00 to 06:00 (HTML Standard, "reversed range").
        return None if found >= first or found <= last else f"{title} must be between {low} and {high}"
    at = kind == "time"
    if first is not None and found < first:
        return f"{title} must be {low} or later" if at else f"{title} must be on or after {low}"
    if last is not None and found > last:
        return f"{title} must be {high} or earlier" if at else f"{title} must be on or before {high}"
    return None


def _date(value: str) -> Any:
    return _made(datetime.date, re.fullmatch(r"(\d{4,})-(\d\d)-(\d\d)", value, re.ASCII))


def _time(value: str) -> Any:
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?", value, re.ASCII)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    numbers = (int(hour), int(minute), int(second or 0), int((fraction or "").ljust(6, "0")))
    return numbers if numbers < (24,) and numbers[1] < 60 and numbers[2] < 60 else None


def _datetime(value: str) -> Any:
    date, _, time = value.replace(" ", "T", 1).partition("T")
    first, second = _date(date), _time(time)
    return None if first is None or second is None else (first, second)


def _month(value: str) -> Any:
    match = re.fullmatch(r"(\d{4,})-(\d\d)", value, re.ASCII)
    if match is None or not (1 <= int(match[2]) <= 12 and int(match[1]) >= 1):
        return None
    return int(match[1]), int(match[2])


def _week(value: str) -> Any:
    match = re.fullmatch(r"(\d{4})-W(\d\d)", value, re.ASCII)
    return _made(lambda year, week: datetime.date.fromisocalendar(year, week, 1), match)


def _made(make: Callable[..., Any], match: "re.Match[str] | None") -> Any:
    if match is None:
        return None
    try:
        return make(*map(int, match.groups()))
    except (ValueError, OverflowError):
        return None


_MOMENTS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "date": (_date, "2025-12-31", "date"),
    "time": (_time, "09:30", "time"),
    "datetime-local": (_datetime, "2025-12-31T09:30", "date and time"),
    "month": (_month, "2025-12", "month"),
    "week": (_week, "2025-W52", "week"),
}
