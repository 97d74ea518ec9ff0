"""Copies of a job in a database."""

import contextlib
import pathlib
import sqlite3
from typing import Any

import pytest

from benchmarks.http import Failed
from benchmarks.seeding import copy_id, marked, seed

JOB = "6b074b7c6508aba69cc3cf8e"
OTHER = "6b074b7c6508aba69cc3cf8f"
MARKER = "7370000"
SCHEMA = """
CREATE TABLE jobs (job_id TEXT PRIMARY KEY, inputs TEXT, blob BLOB, created_at REAL, due_at REAL, last_seq INTEGER)
WITHOUT ROWID;
CREATE TABLE events (job_id TEXT, seq INTEGER, payload TEXT, PRIMARY KEY (job_id, seq)) WITHOUT ROWID;
CREATE TABLE locks (lock_id TEXT PRIMARY KEY, job_id TEXT);
CREATE TABLE apps (expose TEXT PRIMARY KEY);
"""


@pytest.fixture
def database(tmp_path: pathlib.Path) -> pathlib.Path:
    """A database with two jobs, one of which has a log, and none a lock."""
    path = tmp_path / "runner.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        job = (f'{{"text":"{MARKER}"}}', b"\x00\x01", 1_795_640_188.5, 0.0, 2)
        connection.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?)", [(JOB, *job), (OTHER, *job)])
        log = [(JOB, 1, "queued"), (JOB, 2, f"{JOB} said {MARKER}")]
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", log)
        connection.execute("INSERT INTO apps VALUES ('bench')")
    return path


def _rows(path: pathlib.Path, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_a_copy_is_an_older_job_with_a_word_of_its_own(database: pathlib.Path) -> None:
    """Id, texts and moments are the copy's; numbers, bytes and times that were never set are as they were."""
    seed(database, JOB, MARKER, range(1, 4))

    assert [
        ("6b074b796508aba69cc3cf8e", '{"text":"0000003"}', b"\x00\x01", 1_795_640_185.5, 0.0, 2),
        ("6b074b7a6508aba69cc3cf8e", '{"text":"0000002"}', b"\x00\x01", 1_795_640_186.5, 0.0, 2),
        ("6b074b7b6508aba69cc3cf8e", '{"text":"0000001"}', b"\x00\x01", 1_795_640_187.5, 0.0, 2),
    ] == _rows(database, "SELECT * FROM jobs ORDER BY job_id LIMIT 3")


def test_a_copy_has_the_whole_log(database: pathlib.Path) -> None:
    """Every row that belongs to the job is copied, whatever its table is called; nothing else is."""
    seed(database, JOB, MARKER, range(1, 3))
    copy = copy_id(JOB, 2)

    assert [(1, "queued"), (2, f"{copy} said {marked(MARKER, 2)}")] == _rows(
        database, f"SELECT seq, payload FROM events WHERE job_id = '{copy}'"
    )
    assert [(4, 6, 0, 1)] == _rows(
        database,
        "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM events), (SELECT count(*) FROM locks), "
        "(SELECT count(*) FROM apps)",
    )


def test_a_job_that_is_not_there_cannot_be_copied(database: pathlib.Path) -> None:
    """A benchmark that measured an empty mesh would be worse than one that fails."""
    with pytest.raises(Failed, match=r"runner\.db has no job absent"):
        seed(database, "absent", MARKER, range(1, 3))
