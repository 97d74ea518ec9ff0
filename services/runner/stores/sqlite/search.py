"""Finding jobs in SQLite, newest first, without holding up anybody.

A query of three characters or more is looked for in three places: among the open jobs, among those that have ended and
are not indexed yet, and in the index (`stores.index`).  A job only ever moves from one to the next, so whoever asks in
this order misses none; what is seen twice counts once.  A shorter query has no gram: it walks through the jobs.

Whatever walks does so in slices on the reading threads (`Database.query`): between two slices come the queries of
others, and a caller that has gone, or whose time is over, ends the walk.
"""

import dataclasses
import functools
import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from meshkit import paging
from meshkit.sqlite import Database
from services.runner.domain import Job, cuts, pages
from services.runner.domain.ids import is_job_id
from services.runner.ports.store import ANY, JobFilter
from services.runner.stores import texts
from services.runner.stores.rows import COLUMNS, OPEN, job_of
from services.runner.stores.sqlite import index

_SLICE = 1000
"""Jobs that are looked at in one piece."""
_CANDIDATES_MIN = 50
_NEWEST = "\U0010ffff"
"""Behind every id."""

_ALL = "jobs WHERE 1"
# The index is named: it is small, and an owner's may be large.
_OPEN = f"jobs INDEXED BY jobs_open WHERE {OPEN}"
_UNINDEXED = "unindexed_jobs CROSS JOIN jobs USING (job_id) WHERE 1"


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
    if not wanted.query:
        return await database.query(functools.partial(_newest_jobs, wanted))
    if len(wanted.query) < index.GRAM:
        found = await _walk(database, _ALL, wanted)
    else:
        walked = [job_id for source in (_OPEN, _UNINDEXED) for job_id in await _walk(database, source, wanted)]
        found = _newest([*walked, *await _look_up(database, wanted)])
    return await database.query(functools.partial(_load, wanted, found[: wanted.limit]))


def _newest_jobs(wanted: Wanted, connection: sqlite3.Connection) -> list[Job]:
    where, values = _scope(wanted, wanted.before)
    statement = f"SELECT {COLUMNS} FROM {_ALL} {where} ORDER BY job_id DESC LIMIT ?"
    return _page(wanted, connection.execute(statement, (*values, wanted.limit)))


def _load(wanted: Wanted, job_ids: list[str], connection: sqlite3.Connection) -> list[Job]:
    """Read jobs, newest first, as many as a page may have: a search first looks for ids, for jobs may be long."""
    statement = f"SELECT {COLUMNS} FROM jobs WHERE job_id IN (SELECT value FROM json_each(?)) ORDER BY job_id DESC"
    return _page(wanted, connection.execute(statement, (json.dumps(job_ids),)))


def _page(wanted: Wanted, rows: Iterable[Sequence[Any]]) -> list[Job]:
    jobs: Iterable[Job] = map(job_of, rows)
    if wanted.text_bytes_max:
        jobs = (cuts.cut(job, wanted.text_bytes_max) for job in jobs)
    return list(paging.until_full(jobs, pages.bytes_of_job))


async def _walk(database: Database, source: str, wanted: Wanted) -> list[str]:
    """Look at every job of a source, from the newest on, until there are enough; return their ids."""
    found: list[str] = []
    below = wanted.before
    while True:
        below, some = await database.query(functools.partial(_slice, source, wanted, below))
        found += some
        if not below or len(found) >= wanted.limit:
            return found[: wanted.limit]


def _slice(source: str, wanted: Wanted, below: str, connection: sqlite3.Connection) -> tuple[str, list[str]]:
    """Look at some jobs below an id; return where to go on, empty at the end, and the ids of those that match."""
    where, values = _scope(wanted, below)
    last = connection.execute(
        f"SELECT job_id FROM {source} {where} ORDER BY job_id DESC LIMIT 1 OFFSET {_SLICE - 1}", values
    ).fetchone()
    lowest = last[0] if last is not None else ""
    return lowest, _matching(connection, source, wanted, (below, lowest))


def _matching(connection: sqlite3.Connection, source: str, wanted: Wanted, span: tuple[str, str]) -> list[str]:
    """Return the ids of a source that match, below the first id of the span and down to the second."""
    where, values = _scope(wanted, span[0])
    rows = connection.execute(
        f"SELECT job_id FROM {source} {where} AND instr({texts.SQL}, ?) > 0 AND job_id >= ? "
        "ORDER BY job_id DESC LIMIT ?",
        (*values, wanted.query, span[1], wanted.limit),
    )
    return [job_id for (job_id,) in rows]


async def _look_up(database: Database, wanted: Wanted) -> list[str]:
    """Check the candidates of the index, from the newest on, until there are enough; return their ids."""
    match = index.match_of(wanted.query, wanted.owner)
    below = index.end_of(index.second(wanted.before)) if is_job_id(wanted.before) else index.NUMBER_MAX
    size = max(_CANDIDATES_MIN, wanted.limit)
    found: list[str] = []
    while True:
        numbers, some = await database.query(functools.partial(_candidates, wanted, match, below, size))
        found = _newest([*found, *some])
        if len(numbers) < size:
            return found
        below = numbers[-1]
        # Jobs of one second are numbered as they ended: it is looked through to its end.
        if len(found) >= wanted.limit and index.second(found[wanted.limit - 1]) > index.second_of(below):
            return found


def _candidates(
    wanted: Wanted, match: str, below: int, limit: int, connection: sqlite3.Connection
) -> tuple[list[int], list[str]]:
    numbers = index.candidates(connection, match, below, limit)
    chosen = "number IN (SELECT value FROM json_each(?))"
    where, values = _scope(wanted, wanted.before)
    rows = connection.execute(
        f"SELECT job_id FROM indexed_jobs CROSS JOIN jobs USING (job_id) "
        f"WHERE {chosen} {where} AND instr({texts.SQL}, ?) > 0",
        (json.dumps(numbers), *values, wanted.query),
    )
    return numbers, [job_id for (job_id,) in rows]


def _scope(wanted: Wanted, below: str) -> tuple[str, list[str]]:
    """Return the rest of a condition, and its values."""
    clauses, values = ["AND job_id < ?"], [below or _NEWEST]
    if wanted.owner is not None:
        clauses.append("AND owner = ?")
        values.append(wanted.owner)
    if wanted.only.targets:
        clauses.append(f"AND ({' OR '.join(map(_of_target, wanted.only.targets))})")
        values += [target.removesuffix("-") if target.endswith("/-") else target for target in wanted.only.targets]
    if wanted.only.states:
        clauses.append(f"AND state IN ({', '.join('?' * len(wanted.only.states))})")
        values += wanted.only.states
    if wanted.only.conversation:
        clauses.append("AND conversation = ? AND conversation <> ''")
        values.append(wanted.only.conversation)
    return " ".join(clauses), values


def _of_target(target: str) -> str:
    # Word by word as the indexes `jobs_by_kind` and `jobs_by_target` have it.
    return "substr(target, 1, instr(target, '/')) = ?" if target.endswith("/-") else "target = ?"


def _newest(job_ids: Iterable[str]) -> list[str]:
    return sorted(set(job_ids), reverse=True)
