"""What JSON Schema calls formats: dates and times as forms send them, addresses and colours.

They are those of HTML's inputs, with what RFC 3339 allows beside: `2025-12-31T09:30` is a date and time, and so is
`2025-12-31T09:30:00Z`.  `formatMinimum` and `formatMaximum` bound them.  Every function here answers for any text.
"""

import datetime
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_TEXT_CHARS_MAX = 10_000
_ZONE = re.compile(r"(?:Z|z|[+-]\d\d:?\d\d)\Z", re.ASCII)
_Parse = Callable[[str], Any]


def _date(text: str) -> Any:
    return _made(datetime.date, re.fullmatch(r"(\d{4,})-(\d\d)-(\d\d)", text, re.ASCII))


def _clock(text: str) -> Any:
    """Hours, minutes, and perhaps seconds."""
    match = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", text, re.ASCII)
    if match is None:
        return None
    hour, minute, second, fraction = match.groups()
    found = (int(hour), int(minute), int(second or 0), int((fraction or "").ljust(9, "0")))
    return found if found < (24,) and found[1] < 60 and found[2] < 60 else None


def _time(text: str) -> Any:
    return _clock(_ZONE.sub("", text))


def _datetime_local(text: str) -> Any:
    date, _, time = text.replace(" ", "T", 1).partition("T")
    first, second = _date(date), _clock(time)
    return None if first is None or second is None else (first, second)


def _datetime(text: str) -> Any:
    """In UTC; a text without zone counts as such."""
    zone = _ZONE.search(text)
    local = _datetime_local(_ZONE.sub("", text).replace("t", "T", 1))
    if local is None:
        return None
    date, (hour, minute, second, fraction) = local
    offset = _offset(zone.group()) if zone is not None else datetime.timedelta()
    if offset is None:
        return None
    moment = datetime.timedelta(days=date.toordinal(), hours=hour, minutes=minute, seconds=second) - offset
    return moment, fraction


def _offset(zone: str) -> datetime.timedelta | None:
    if zone in "Zz":
        return datetime.timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (-1 if zone[0] == "-" else 1) * datetime.timedelta(hours=hours, minutes=minutes)


def _month(text: str) -> Any:
    match = re.fullmatch(r"(\d{4,6})-(\d\d)", text, re.ASCII)
    if match is None or not (1 <= int(match[2]) <= 12 and int(match[1]) >= 1):
        return None
    return int(match[1]), int(match[2])


def _week(text: str) -> Any:
    match = re.fullmatch(r"(\d{4})-W(\d\d)", text, re.ASCII)
    return _made(lambda year, week: datetime.date.fromisocalendar(year, week, 1), match)


def _made(make: Callable[..., Any], match: "re.Match[str] | None") -> Any:
    if match is None:
        return None
    try:
        return make(*map(int, match.groups()))
    except (ValueError, OverflowError):
        return None


_MOMENTS: dict[str, tuple[_Parse, str]] = {
    "date": (_date, "a date such as 2025-12-31"),
    "time": (_time, "a time such as 09:30"),
    "datetime-local": (_datetime_local, "a date and time such as 2025-12-31T09:30"),
    "date-time": (_datetime, "a date and time such as 2025-12-31T09:30"),
    "month": (_month, "a month such as 2025-12"),
    "week": (_week, "a week such as 2025-W52"),
}


def _is_email(text: str) -> bool:
    return bool(_EMAIL.fullmatch(text.strip()))


def _is_url(text: str) -> bool:
    text = text.strip()
    try:
        parts = urllib.parse.urlsplit(text)
        return bool(parts.scheme and parts.hostname) and not re.search(r"[\s<>\"]", text)
    except ValueError:
        return False


def _is_color(text: str) -> bool:
    return bool(re.fullmatch(r"#[0-9a-fA-F]{6}", text))


def _bounded(holds: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda text: isinstance(text, str) and len(text) <= _TEXT_CHARS_MAX and holds(text)


def _is_moment(parse: _Parse) -> Callable[[str], bool]:
    return lambda text: parse(text) is not None


CHECKS: dict[str, Callable[[Any], bool]] = {
    **{name: _bounded(_is_moment(parse)) for name, (parse, _) in _MOMENTS.items()},
    "email": _bounded(_is_email),
    "url": _bounded(_is_url),
    "color": _bounded(_is_color),
}
"""Whether a text is of a format."""

WORDS = {
    **{name: words for name, (_, words) in _MOMENTS.items()},
    "email": "an email address such as name@example.com",
    "url": "a full address such as https://example.com",
    "uri": "a full address such as https://example.com",
    "color": "a colour such as #3498db",
    "uuid": "a UUID",
}
"""What a value must be, for people."""


class _Bound:
    """A bound of a moment, as a keyword of JSON Schema.  One that cannot be read is no bound, as in a browser."""

    def __init__(self, parent: dict[str, Any], value: Any, path: list[str | int]) -> None:
        self._said = str(value)
        self._at = parent.get("format") == "time"
        self._parse = _MOMENTS.get(str(parent.get("format")), (_nothing, ""))[0]
        self._bound = self._parse(self._said)
        # From 22:00 to 06:00 goes over midnight (HTML Standard, "reversed range").
        low, high = (self._parse(str(parent.get(key))) for key in (MINIMUM, MAXIMUM))
        self._reversed = self._at and low is not None and high is not None and low > high
        self._range = (low, high)
        self._between = f"must be between {parent.get(MINIMUM)} and {parent.get(MAXIMUM)}"

    def validate(self, instance: Any) -> None:
        """Raise `ValueError` saying what the value must be."""
        found = self._parse(instance) if isinstance(instance, str) and len(instance) <= _TEXT_CHARS_MAX else None
        if found is None or self._bound is None:
            return
        if self._reversed:
            low, high = self._range
            if high < found < low:
                raise ValueError(self._between)
        elif self.breaks(found, self._bound):
            raise ValueError(self.words())

    def breaks(self, found: Any, bound: Any) -> bool:
        """Return whether a moment lies beyond the bound."""
        raise NotImplementedError

    def words(self) -> str:
        """Return what a value must be."""
        raise NotImplementedError


class _Minimum(_Bound):
    def breaks(self, found: Any, bound: Any) -> bool:
        return bool(found < bound)

    def words(self) -> str:
        return f"must be {self._said} or later" if self._at else f"must be on or after {self._said}"


class _Maximum(_Bound):
    def breaks(self, found: Any, bound: Any) -> bool:
        return bool(found > bound)

    def words(self) -> str:
        return f"must be {self._said} or earlier" if self._at else f"must be on or before {self._said}"


def _nothing(text: str) -> None:
    return None


MINIMUM, MAXIMUM = "formatMinimum", "formatMaximum"
KEYWORDS: dict[str, Any] = {MINIMUM: _Minimum, MAXIMUM: _Maximum}
"""For the validator."""
