"""What people may call themselves and their keys: the form of every text field."""

import re
import uuid
from collections.abc import Iterable, Mapping

from meshkit.errors import Invalid
from services.auth.domain import policy

LOGIN_CHARS_MAX = 64
EMAIL_CHARS_MAX = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
PASSWORD_BYTES_MAX = 1024
DISPLAY_NAME_CHARS_MAX = 128

# Simple on purpose: whether an address exists is known only by writing to it.
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f.]+(\.[^@\s\x00-\x1f\x7f.]+)*")


def check_fields(fields: Mapping[str, str], *, names: Iterable[str] = (), weak: bool = False) -> None:
    """Raise `Invalid`, naming every wrong field at once.

    `fields` maps `login`, `email`, `password`, `new_password` or `display_name` to what was sent.  A password may not
    be one of those two, nor of `names`; `weak` lets one be as easy to guess as it is.
    """
    checks = {"login": _login, "email": _email, "display_name": _display_name}
    wrong = {name: list(checks[name](text)) for name, text in fields.items() if name in checks}
    known_by = [*names, fields.get("login", ""), fields.get("email", "")]
    for name in ("password", "new_password"):
        if name in fields:
            text = fields[name]
            wrong[name] = list(_password(text)) or ([] if weak else list(policy.too_easy(text, known_by)))
    wrong = {name: texts for name, texts in wrong.items() if texts}
    if wrong:
        raise Invalid(f"{', '.join(wrong)}: {next(iter(wrong.values()))[0]}", wrong)


def _login(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text) > LOGIN_CHARS_MAX:
        yield f"must have at most {LOGIN_CHARS_MAX} characters"
    elif not text.isprintable() or text != text.strip() or "/" in text:
        yield "must have no control characters, no slash and no space at its ends"
    elif looks_like_id(text):
        # `users/{login}` and `users/{uuid}` share one name space.
        yield "must not look like a UUID"


def _email(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text) > EMAIL_CHARS_MAX or not _EMAIL.fullmatch(text):
        yield "must be an e-mail address, such as ada@example.com"


def _password(text: str) -> Iterable[str]:
    if not text:
        yield "is required"
    elif len(text.encode()) > PASSWORD_BYTES_MAX:
        yield f"must have at most {PASSWORD_BYTES_MAX} bytes"


def _display_name(text: str) -> Iterable[str]:
    if not text.strip():
        yield "is required"
    elif len(text) > DISPLAY_NAME_CHARS_MAX or not text.isprintable():
        yield f"must have at most {DISPLAY_NAME_CHARS_MAX} printable characters"


def looks_like_id(text: str) -> bool:
    """Return whether the text is a UUID in its canonical form, in either case."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
