"""Fills a runner's database with jobs that have ended, a million in half a minute.

A job is not made up here: one that really ran is copied, with its log and all else that the store keeps of it, under
other ids and times.  So nothing here names a column but `job_id`, and a store that keeps more next month is seeded with
it.  The mesh that owns the file must not run meanwhile.
"""

import contextlib
import os
import pathlib
import sqlite3
from collections.abc import Sequence

from benchmarks.http import Failed

KEY = "job_id"
"""The column by which a table belongs to a job."""
_CACHE_KB = 256 * 1024
_EPOCH_FROM = 1_000_000_000
"""A REAL from here on is a moment in seconds since 1970, and not a duration."""


def seed(database: pathlib.Path, job_id: str, marker: str, ages_s: range) -> None:
    """Copy the job, once for each age: so many seconds older, and with `marker` replaced by `marked(marker, age)`.

    Raises `Failed` if the file does not have such a job.
    """
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")  # a seed that breaks off is thrown away
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        originals = _originals(connection, job_id)
        if not originals:
            raise Failed(f"{database.name} has no job {job_id}")
        connection.execute("BEGIN EXCLUSIVE")
        for table, columns in originals.items():
            # Oldest first: rows then lie in the file as they would have been written.
            rows = ((age, job_id, copy_id(job_id, age), marker, marked(marker, age)) for age in reversed(ages_s))
            connection.executemany(_copying(connection, table, columns, job_id, marker), rows)
        connection.execute("COMMIT")
    flush(database)


def flush(database: pathlib.Path) -> None:
    """Wait until a file is on disk: else it is written while the mesh is measured, and commits wait for that."""
    with database.open("rb+") as file:
        os.fsync(file.fileno())


def copy_id(job_id: str, age_s: int) -> str:
    """Return the id of the copy that is so many seconds older than a job; ids sort by time."""
    return f"{int(job_id[:8], 16) - age_s:08x}{job_id[8:]}"


def marked(marker: str, age_s: int) -> str:
    """Return what replaces the marker in a copy: of the same length, and in no other copy."""
    return f"{age_s:0{len(marker)}d}"


def _originals(connection: sqlite3.Connection, job_id: str) -> dict[str, Sequence[str]]:
    """Take the job's rows out of each table that has some into `temp.original_{table}`; return the columns by table."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    found: dict[str, Sequence[str]] = {}
    for name in names:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
        if KEY in columns:
            connection.execute(f'CREATE TEMP TABLE "original_{name}" AS SELECT * FROM "{name}" LIMIT 0')
            taken = connection.execute(
                f'INSERT INTO "original_{name}" SELECT * FROM "{name}" WHERE {KEY} = ?', (job_id,)
            )
            if taken.rowcount:
                found[name] = columns
    return found


def _copying(connection: sqlite3.Connection, table: str, columns: Sequence[str], job_id: str, marker: str) -> str:
    """Return the statement that copies a job's rows: ?1 age, ?2 id, ?3 new id, ?4 marker, ?5 new marker."""
    names = ", ".join(f'"{name}"' for name in columns)
    values = []
    for name in columns:
        # A column is only rewritten where that changes something: most do not, and it is what takes the time.
        found = f"""typeof("{name}") = 'text' AND (instr("{name}", ?) OR instr("{name}", ?))"""
        moment = f"""typeof("{name}") = 'real' AND "{name}" >= {_EPOCH_FROM}"""
        texts, moments = connection.execute(
            f'SELECT total({found}), total({moment}) FROM "original_{table}"', (job_id, marker)
        ).fetchone()
        if texts and moments:
            raise Failed(f"{table}.{name} holds texts and times")
        if texts:
            values.append(f'replace(replace("{name}", ?2, ?3), ?4, ?5)')
        elif moments:
            values.append(f'CASE WHEN {moment} THEN "{name}" - ?1 ELSE "{name}" END')
        else:
            values.append(f'"{name}"')
    return f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)} FROM "original_{table}"'
