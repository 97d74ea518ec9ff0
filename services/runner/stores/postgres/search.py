"""Finding jobs in PostgreSQL, newest first: what holds a query is found by the trigrams of jobs that have ended.

Jobs that have not ended are few, and looked at.  A query of less than three characters has no trigram: all jobs are.
"""

import dataclasses
from typing import Any

from meshkit import paging
from meshkit.postgres import Connection, Database
from services.runner.domain import Job, cuts, pages
from services.runner.ports.store import ANY, JobFilter
from services.runner.stores.postgres.rows import octets, page, rows
from services.runner.stores.postgres.schema import TEXT
from services.runner.stores.rows import COLUMNS, ENDED, OPEN, job_of

_GRAM = 3
_SIZE = octets(("inputs_json", "result_json", "meta_json", "extra_json", "error", "inputs_blob", "sealed"))
_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for."""

    owner: str | None
    query: str
    """Folded."""
    before: str
    limit: int
    only: JobFilter = ANY
    text_bytes_max: int = 0
    """What texts are cut to; 0 leaves them whole."""


async def find(database: Database, wanted: Wanted) -> list[Job]:
    """Return jobs as `JobStore.find`."""
    if "\0" in wanted.query:
        return []  # no text has one
    found: list[Job] = []
    read: list[Job] = []
    while len(found) < wanted.limit:
        before = read[-1].job_id if read else wanted.before
        rest = dataclasses.replace(wanted, before=before, limit=wanted.limit - len(found))
        read = await database.read(lambda connection, rest=rest: _read(connection, rest))  # type: ignore[misc]
        shown = [cuts.cut(job, wanted.text_bytes_max) for job in read] if wanted.text_bytes_max else read
        whole = len(found) + len(shown)
        found = list(paging.until_full([*found, *shown], pages.bytes_of_job))
        if not read or len(found) < whole or paging.full(found, pages.bytes_of_job) != found:
            break
    return found


async def _read(connection: Connection, wanted: Wanted) -> list[Job]:
    where, values = _scope(wanted)
    newest = "ORDER BY job_id DESC LIMIT %s"
    if not wanted.query:
        source, given = f"SELECT {COLUMNS} FROM jobs WHERE {where} {newest}", [*values, wanted.limit]
    else:
        where, values = f"{where} AND {TEXT} LIKE %s", [*values, f"%{wanted.query.translate(_LIKE)}%"]
        if len(wanted.query) < _GRAM:
            source, given = f"SELECT {COLUMNS} FROM jobs WHERE {where} {newest}", [*values, wanted.limit]
        else:
            either = (f"(SELECT {COLUMNS} FROM jobs WHERE {state} AND {where} {newest})" for state in (OPEN, ENDED))
            each = [*values, wanted.limit]
            source, given = (
                f"SELECT * FROM ({' UNION ALL '.join(either)}) AS both_ {newest}",
                [*each, *each, wanted.limit],
            )
    return list(map(job_of, await rows(connection, page(COLUMNS, source, "job_id DESC", _SIZE), *given)))


def _scope(wanted: Wanted) -> tuple[str, list[Any]]:
    """Return a condition, and its values."""
    clauses, values = ["true"], list[Any]()
    if wanted.before:
        clauses.append("job_id < %s")
        values.append(wanted.before)
    if wanted.owner is not None:
        clauses.append("owner = %s")
        values.append(wanted.owner)
    if wanted.only.targets:
        clauses.append(f"({' OR '.join(map(_of_target, wanted.only.targets))})")
        values += map(_pattern, wanted.only.targets)
    if wanted.only.states:
        clauses.append("state = ANY(%s::text[])")
        values.append([str(state) for state in wanted.only.states])
    if wanted.only.conversation:
        clauses.append("conversation = %s AND conversation <> ''")
        values.append(wanted.only.conversation)
    return " AND ".join(clauses), values


def _of_target(target: str) -> str:
    return "target LIKE %s" if target.endswith("/-") else "target = %s"


def _pattern(target: str) -> str:
    return f"{target[:-1].translate(_LIKE)}%" if target.endswith("/-") else target
