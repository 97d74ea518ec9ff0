"""Errors a flow's author raises on purpose, and what people get to see of any error.

- KodosumiError: the message is for the user
  - BudgetExceeded: the job may not consume any more
  - StepsDiffer: another attempt of a job does not take the steps that are in its log
  - InputsError: what is wrong with a form's values

`describe` is the only way an exception becomes text for a user: no traceback, no path of this machine.
"""

import functools
import os
import re
import sys
from collections.abc import Iterable, Mapping

GLOBAL = "_global_"
"""The key of messages that belong to no field (spec: kodosumi §2.4)."""

DESCRIPTION_CHARS_MAX = 8_192
# What is looked at of a longer text: to look for paths in all of it takes seconds for a few megabytes.
_LOOKED_AT_CHARS = 4 * DESCRIPTION_CHARS_MAX


class KodosumiError(Exception):
    """An error whose message is meant for the user of the flow (seed: panel API, "Runtime Error Handling")."""


class BudgetExceeded(KodosumiError):
    """The job may not consume any more: it ends as BUDGET_EXCEEDED."""


class StepsDiffer(KodosumiError):
    """Another attempt of a job does not take the steps that are in its log: it cannot go on from there."""


class InputsError(KodosumiError):
    """What is wrong with the values of a form.

    Positional arguments concern the form as a whole, keyword arguments the field of that name::

        raise InputsError("Please fill in the form.", topic="Please give me a topic.")

    It is truthy if it has messages, so a handler can collect first and raise at the end.
    """

    def __init__(self, *messages: str, **fields: str | Iterable[str]) -> None:
        super().__init__(*messages)
        self.errors: dict[str, list[str]] = {}
        for message in messages:
            self.flash(message)
        self.add(**fields)

    def add(self, **fields: str | Iterable[str]) -> None:
        """Add a message, or several, to each named field."""
        for name, message in fields.items():
            texts = [message] if isinstance(message, str) or not isinstance(message, Iterable) else message
            self.errors.setdefault(name, []).extend(str(text) for text in texts)

    def flash(self, message: str) -> None:
        """Add a message that belongs to no field."""
        self.errors.setdefault(GLOBAL, []).append(str(message))

    def has_errors(self) -> bool:
        """Return whether there is any message."""
        return any(self.errors.values())

    def __bool__(self) -> bool:
        return self.has_errors()

    def __str__(self) -> str:
        lines = list(self.errors.get(GLOBAL, []))
        lines += [f"{name}: {text}" for name, texts in self.errors.items() if name != GLOBAL for text in texts]
        return "\n".join(lines)


def refusal(error: InputsError, problems: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what is wrong with values, by field: the author's words, and the form's where the author says nothing."""
    said = error.errors if error.has_errors() else {GLOBAL: ["The values are not accepted."]}
    return {**said, **{name: messages for name, messages in problems.items() if not said.get(name)}}


def in_order(errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return messages by field as clients show them: lists, none empty, and `_global_` always there and last."""
    # An author may have put a plain string where a list belongs.
    lists = {name: [texts] if isinstance(texts, str) else list(texts) for name, texts in errors.items() if texts}
    overall = lists.pop(GLOBAL, [])
    return {**lists, GLOBAL: overall}


def describe(exc: BaseException, groups_max: int = 8) -> str:
    """Return what a user may see of `exc`: the message of a `KodosumiError`, else its type and text.

    Absolute paths of this machine become `<path>`; the text is cut at `DESCRIPTION_CHARS_MAX` characters.
    Of a group, within at most `groups_max` others, the first exception is told as well.
    """
    try:
        text = str(exc)
    except Exception:  # an author's __str__ may be broken; the type is still worth telling
        text = ""
    name = type(exc).__name__
    text = text or name if isinstance(exc, KodosumiError) else f"{name}: {text}" if text else name
    if isinstance(exc, BaseExceptionGroup) and exc.exceptions and groups_max:
        text += f"; first: {describe(exc.exceptions[0], groups_max - 1)}"
    shown = hide_paths(text[:_LOOKED_AT_CHARS])
    if len(text) > _LOOKED_AT_CHARS or len(shown) > DESCRIPTION_CHARS_MAX:
        shown = shown[:DESCRIPTION_CHARS_MAX] + "…"
    return shown


def hide_paths(text: str) -> str:
    """Replace absolute paths of this machine by `<path>`; paths of URLs and of web APIs stay."""
    return _paths().sub(lambda match: (match.group("quote") or "") + "<path>", text)


@functools.cache
def _paths() -> re.Pattern[str]:
    # A path of this machine starts with a folder that this machine's root has; `/api/login` does not.
    try:
        entries = os.listdir("/")
    except OSError:  # a confined job may not look: what it works with says where things are
        entries = [path.split("/")[1] for path in (*sys.path, sys.prefix, __file__) if path.startswith("/")]
    roots = [re.escape(entry) for entry in sorted(entries, reverse=True) if entry and not entry.startswith(".")]
    # What other machines have: an exception may have travelled.
    roots += ["home", "Users", "root", "tmp", "var", "usr", "opt", "etc", "private", "Library"]
    posix = rf"/(?:{'|'.join(dict.fromkeys(roots))})(?=/)"
    windows = r"[A-Za-z]:[\\/](?=[^\\/])"
    start = rf"(?:{posix}|{windows})"
    # Within quotes a path may have spaces and ends with the quote.
    return re.compile(
        rf"(?P<quote>['\"]){start}[^'\"\n]*(?=['\"])"
        rf"|(?<![\w:/.\-~]){start}[^\s'\"<>|,;()\[\]{{}}]*?(?=[:.]?(?:[\s'\"<>|,;()\[\]{{}}:]|$))"
    )
