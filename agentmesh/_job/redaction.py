"""Keeps secrets out of what a job says: each is replaced wherever it would leave the job's process.

It knows values, not patterns: what a job was given in confidence must not come out, in whatever field an API echoes it.
"""

import base64
import json
from collections.abc import Iterable

REDACTED = "[REDACTED]"
_CHARS_MIN = 4
"""A shorter value is no secret, and would garble what has it by chance."""


class Redactor:
    """Replaces the secrets of one job."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= _CHARS_MIN:
                # As it is, and as it stands in JSON, once and twice (a JSON text within JSON).
                once = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
                basic = base64.b64encode(secret.encode(errors="replace")).decode()  # as RFC 7617 sends it
                forms |= {secret, basic, *once, *(json.dumps(form)[1:-1] for form in once)}
        self._forms = sorted(forms, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def json(self, text: str) -> str:
        """Return JSON without secrets, as JSON: where a secret was no part of a string, nothing of it is left."""
        clean = self.text(text)
        if clean != text:
            try:
                json.loads(clean)
            except (ValueError, RecursionError):
                return json.dumps(REDACTED)
        return clean


NOTHING_SECRET = Redactor(())
"""Of a job that was given no secrets."""
