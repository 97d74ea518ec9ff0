"""What may stand in a field: one collector for all that is wrong with a definition, so that it is told at once."""

import re
from collections.abc import Mapping, Sequence

from meshkit.errors import Invalid

LABELS_MAX = 64
LABEL_CHARS_MAX = 63
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SHOWN_MAX = 80


class Checks:
    """Collects what is wrong; `done` raises it.  Fields are named with `prefix` before them, as in `agent.slug`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._problems: dict[str, list[str]] = {}

    def refuse(self, field: str, problem: str) -> None:
        """Note a problem."""
        self._problems.setdefault(f"{self._prefix}.{field}", []).append(problem)

    def text(self, field: str, value: str, *, chars_max: int, chars_min: int = 0, lines: bool = True) -> None:
        """A text of so many characters, blanks around it not counted; on one line unless it may have `lines`."""
        if problem := unreadable(value, lines=lines):
            self.refuse(field, problem)
        elif len(value) > chars_max:
            self.refuse(field, f"at most {chars_max:,} characters")
        elif len(value.strip()) < chars_min:
            self.refuse(field, "must not be empty" if chars_min == 1 else f"at least {chars_min} characters")

    def pattern(self, field: str, value: str, pattern: "re.Pattern[str]") -> None:
        """A text of a form."""
        if not pattern.fullmatch(value):
            self.refuse(field, f"{value[:_SHOWN_MAX]!r} does not match {pattern.pattern}")

    def number(self, field: str, value: float | None, low: float, high: float) -> None:
        """A number between two others, which may be they; None is fine.  NaN is between none."""
        if value is not None and not low <= value <= high:
            self.refuse(field, f"must be {low:,} to {high:,}")

    def several(self, field: str, values: Sequence[str], count_max: int) -> None:
        """Different names, not too many."""
        if len(values) > count_max:
            self.refuse(field, f"at most {count_max}")
        elif len(set(values)) < len(values):
            self.refuse(field, "names one twice")

    def labels(self, values: Mapping[str, str]) -> None:
        """Labels: not too many, not too long."""
        if len(values) > LABELS_MAX:
            self.refuse("labels", f"at most {LABELS_MAX}")
            return
        for key, value in values.items():
            self.text("labels", key, chars_min=1, chars_max=LABEL_CHARS_MAX, lines=False)
            self.text("labels", value, chars_max=LABEL_CHARS_MAX, lines=False)

    def done(self, what: str) -> None:
        """Raise `Invalid` with all problems, if there are any."""
        if self._problems:
            first = next(iter(self._problems.items()))
            raise Invalid(f"{what} cannot be kept: {first[0]}: {first[1][0]}", self._problems)


def unreadable(text: str, *, lines: bool = True) -> str:
    """Return why a text cannot be kept; empty if it can."""
    if _CONTROL.search(text) or (not lines and ("\n" in text or "\r" in text)):
        return "must not have control characters" if lines else "must be one line without control characters"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must be Unicode text: it has half of a surrogate pair"
    return ""


def check_secret(field: str, text: str, chars_max: int) -> None:
    """Raise `Invalid` unless a key or token can go into an HTTP header.  Nothing of it is in what is said."""
    if len(text) > chars_max:
        problem = f"at most {chars_max:,} characters"
    elif not all("!" <= character <= "~" for character in text):
        problem = "must be visible ASCII characters, without spaces"
    else:
        return
    raise Invalid(f"{field} cannot be kept: {problem}", {field: [problem]})
