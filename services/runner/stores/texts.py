"""The text of a job that a query is looked for in: what every store agrees on.

Case does not matter for the letters A to Z; any other letter must be given as it is written.  (So says `lower()` of
SQLite, and of PostgreSQL with the collation "C": a database can then compare by itself.)
"""

import string

from services.runner.domain import Job

CHARS_MAX = 16_000
"""Of inputs, result, error and what the author said, each: what is behind is not searched."""
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

SQL = (
    "lower(job_id || ' ' || flow || ' ' || state || ' ' || "
    + " || ' ' || ".join(f"substr({name}, 1, {CHARS_MAX})" for name in ("inputs_json", "result_json", "error"))
    + f" || ' ' || substr(meta_json, 1, {CHARS_MAX}))"
)
"""`text_of` as an expression over a row of `jobs`."""


def folded(text: str) -> str:
    """Return a text without the case of its letters A to Z."""
    return text.translate(_LOWER)


def text_of(job: Job) -> str:
    """Return the text of a job, folded."""
    parts = (job.inputs_json, job.result_json, job.error, job.meta_json)
    return folded(" ".join((job.job_id, job.flow, job.state, *map(_searched, parts))))


def _searched(part: str) -> str:
    # A text ends at NUL for `substr`, and nobody can type one.
    return part[:CHARS_MAX].partition("\0")[0]
