"""The database keeps what it has answered, and one bad write does not hurt its neighbours."""

import asyncio
import pathlib
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from meshkit.errors import NotFound, Unavailable
from meshkit.sqlite import Database

TABLE = "CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT  -- a comment at the end"


@pytest_asyncio.fixture
async def database(tmp_path: pathlib.Path) -> AsyncIterator[Database]:
    """An open database with one table."""
    database = Database(tmp_path / "deep" / "notes.db", [TABLE])
    database.open()
    yield database
    await database.close()


def insert(text: str | None) -> Callable[[sqlite3.Connection], int | None]:
    """Return a write of one note."""
    return lambda connection: connection.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid


def texts(connection: sqlite3.Connection) -> list[str]:
    """Return all notes, in order."""
    return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY number")]


async def test_an_answer_means_on_disk(database: Database, tmp_path: pathlib.Path) -> None:
    """Another connection sees what was answered."""
    await database.write(insert("a"))
    other = sqlite3.connect(tmp_path / "deep" / "notes.db")
    found = texts(other)
    other.close()

    assert found == ["a"]
    assert await database.read(texts) == ["a"]
    assert await database.query(texts) == ["a"]


async def test_writes_keep_their_order(database: Database) -> None:
    """Thousands of writes at once come out in the order they were asked for."""
    await asyncio.gather(*(database.write(insert(f"{number}")) for number in range(3000)))

    assert await database.read(texts) == [f"{number}" for number in range(3000)]


async def test_a_failed_write_is_undone_alone(database: Database) -> None:
    """Of a batch only the one that raised is missing, with all that it did before."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes (text) VALUES ('half')")
        raise NotFound("no such thing")

    outcomes = await asyncio.gather(
        database.write(insert("a")),
        database.write(half),
        database.write(insert(None)),
        database.write(insert("b")),
        database.write(insert("a")),
        return_exceptions=True,
    )

    kinds = [int, NotFound, sqlite3.IntegrityError, int, sqlite3.IntegrityError]
    assert kinds == [type(outcome) for outcome in outcomes]
    assert await database.read(texts) == ["a", "b"]


async def test_a_cancelled_caller_does_not_undo_the_write(database: Database) -> None:
    """And the writer goes on."""
    task = asyncio.create_task(database.write(insert("a")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(insert("b"))

    assert await database.read(texts) == ["a", "b"]


async def test_closing_commits_what_waits(tmp_path: pathlib.Path) -> None:
    """What was asked for before the close is on disk; what comes after is refused."""
    database = Database(tmp_path / "notes.db", [TABLE])
    database.open()
    writes = [asyncio.create_task(database.write(insert(f"{number}"))) for number in range(100)]
    await asyncio.sleep(0)
    await database.close()
    await asyncio.gather(*writes)
    with pytest.raises(sqlite3.ProgrammingError):
        await database.write(insert("late"))
    again = Database(tmp_path / "notes.db", [TABLE])
    again.open()
    found = await again.read(texts)
    await again.close()

    assert len(found) == 100


async def test_readers_cannot_write(database: Database) -> None:
    """A write that goes around the writer is refused."""
    with pytest.raises(sqlite3.OperationalError):
        await database.read(insert("a"))
    with pytest.raises(sqlite3.OperationalError):
        await database.query(insert("a"))


async def test_long_queries_do_not_hold_up_the_loop(database: Database) -> None:
    """They run on threads of their own, a few for all of them, while short reads and writes go on."""
    threads: set[int] = set()
    release = threading.Event()

    def slow(connection: sqlite3.Connection) -> list[str]:
        threads.add(threading.get_ident())
        assert release.wait(30)
        return texts(connection)

    queries = [asyncio.create_task(database.query(slow)) for _ in range(20)]
    await database.write(insert("a"))
    assert await database.read(texts) == ["a"]
    release.set()
    found = await asyncio.gather(*queries)

    assert found == [["a"]] * 20
    assert threading.get_ident() not in threads
    assert len(threads) <= 2


async def test_a_close_interrupts_long_queries(tmp_path: pathlib.Path) -> None:
    """A service that stops does not wait for a report, nor for those behind it."""
    database = Database(tmp_path / "notes.db", [TABLE])
    database.open()
    running = threading.Event()

    def endless(connection: sqlite3.Connection) -> object:
        running.set()
        counting = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
        return connection.execute(counting).fetchone()

    queries = [asyncio.create_task(database.query(endless)) for _ in range(5)]
    await asyncio.to_thread(running.wait, 30)
    await database.close()
    outcomes = await asyncio.gather(*queries, return_exceptions=True)

    assert all(isinstance(outcome, sqlite3.Error) for outcome in outcomes)
    with pytest.raises(sqlite3.ProgrammingError):
        await database.query(texts)


async def test_the_file_is_its_owners_alone(database: Database, tmp_path: pathlib.Path) -> None:
    """Password hashes and inputs are not for other users of the machine; so are the files beside it."""
    await database.write(insert("a"))

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
    assert modes == {"notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}


async def test_migrations_run_once_each(tmp_path: pathlib.Path) -> None:
    """A newer program adds what is missing; data stay."""
    database = Database(tmp_path / "notes.db", [TABLE])
    database.open()
    await database.write(insert("a"))
    await database.close()
    newer = Database(tmp_path / "notes.db", [TABLE, "ALTER TABLE notes ADD COLUMN extra TEXT"])
    newer.open()
    rows = await newer.read(lambda connection: connection.execute("SELECT text, extra FROM notes").fetchall())
    await newer.close()

    assert rows == [("a", None)]


async def test_a_migration_leaves_nothing_of_what_it_moved(tmp_path: pathlib.Path) -> None:
    """Nor a log as long as that: also where SQLite, as it is built, does not write over what is deleted."""
    path = tmp_path / "notes.db"
    older = Database(path, [TABLE])
    older.open()
    for number in range(300):
        await older.write(insert(f"whispered {number} " * 100))
    await older.close()
    # Each script is as its connection is made by such a build.
    moved = "CREATE TABLE lengths AS SELECT number, length(text) FROM notes; DROP TABLE notes"
    newer = Database(path, [TABLE, "PRAGMA secure_delete=OFF", moved])

    newer.open()

    try:
        assert 0 == path.with_name("notes.db-wal").stat().st_size
        assert b"whispered" not in path.read_bytes()
    finally:
        await newer.close()


async def test_an_older_program_refuses_a_newer_file(tmp_path: pathlib.Path) -> None:
    """Rather than to work on tables it does not understand."""
    newer = Database(tmp_path / "notes.db", [TABLE, "CREATE TABLE more (x)"])
    newer.open()
    await newer.close()
    older = Database(tmp_path / "notes.db", [TABLE])

    with pytest.raises(sqlite3.DatabaseError, match="newer version"):
        older.open()


async def test_a_failed_migration_leaves_no_half(tmp_path: pathlib.Path) -> None:
    """It is undone as a whole, and the next try starts where it was."""
    broken = Database(tmp_path / "notes.db", [TABLE, "CREATE TABLE more (x); CREATE TABLE notes (x)"])
    with pytest.raises(sqlite3.OperationalError):
        broken.open()
    mended = Database(tmp_path / "notes.db", [TABLE, "CREATE TABLE more (x)"])
    mended.open()
    await mended.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: pathlib.Path) -> None:
    """At once and in words, and not by a writer that hangs."""
    path = tmp_path / "notes.db"
    path.write_text("this is not a database, but it is long enough to be looked at as one" * 20)

    with pytest.raises(Unavailable, match="it is no database"):
        Database(path, [TABLE]).open()


@pytest.mark.parametrize("fails", [True, False])
async def test_what_a_write_leaves_unread_holds_nothing(
    database: Database, tmp_path: pathlib.Path, fails: bool
) -> None:
    """Though its exception or its answer keeps the statement: the log can be emptied."""
    await asyncio.gather(*(database.write(insert(f"{number}")) for number in range(100)))

    def half(connection: sqlite3.Connection) -> sqlite3.Cursor:
        rows = connection.execute("SELECT text FROM notes")
        rows.fetchone()
        if fails:
            raise NotFound("no such note")
        return rows

    [kept] = await asyncio.gather(database.write(half), return_exceptions=True)
    await database.write(insert("behind it"))
    other = sqlite3.connect(tmp_path / "deep" / "notes.db")
    busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()

    assert isinstance(kept, NotFound if fails else sqlite3.Cursor)
    assert 0 == busy
