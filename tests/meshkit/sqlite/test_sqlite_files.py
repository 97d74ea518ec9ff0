"""A database whose file is in trouble: what was answered is kept, what cannot be is refused, and it mends itself."""

import asyncio
import contextlib
import pathlib
import shutil
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import structlog

from meshkit.errors import Unavailable
from meshkit.sqlite import Database
from tests.meshkit.sqlite.test_sqlite import TABLE, insert, texts


@pytest_asyncio.fixture
async def database(tmp_path: pathlib.Path) -> AsyncIterator[Database]:
    """An open database with one note."""
    database = Database(tmp_path / "data" / "notes.db", [TABLE])
    database.open()
    await database.write(insert("first"))
    yield database
    await database.close()


def limit(pages: int) -> "object":
    """Return a write that lets the file have so many pages: it is as full as a disk then."""
    return lambda connection: connection.execute(f"PRAGMA max_page_count={pages}") and None


def on_disk(path: pathlib.Path) -> list[str]:
    """Return what another program reads in the file."""
    with sqlite3.connect(path) as other:
        found = texts(other)
    other.close()
    return found


async def test_a_full_disk_refuses_and_goes_on(database: Database) -> None:
    """Nobody's write of the commit stands; reads go on; the log has one line for it, and one when it is over."""
    await database.write(limit(1))  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as logs:
        outcomes = [
            *await asyncio.gather(
                *(database.write(insert("x" * 9000 + str(n))) for n in range(3)), return_exceptions=True
            ),
            *await asyncio.gather(database.write(insert("y" * 9000)), return_exceptions=True),
        ]
        assert ["first"] == await database.read(texts)
        assert ["first"] == await database.query(texts)
        await database.write(limit(1_000_000))  # type: ignore[arg-type]
        await database.write(insert("second"))

    assert [Unavailable] * 4 == [type(outcome) for outcome in outcomes]
    assert "the disk is full" in str(outcomes[0])
    assert ["first", "second"] == await database.read(texts)
    assert ["database in trouble", "database works again"] == [line["event"] for line in logs]


async def test_who_begins_to_read_writes_nothing(database: Database, tmp_path: pathlib.Path) -> None:
    """A new connection waits for nobody who writes, and needs no room on the disk."""
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "notes.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert ["first"] == await database.query(texts)


@pytest.mark.parametrize("gone", ["folder", "notes.db", "notes.db-wal", "notes.db-shm"])
async def test_what_is_deleted_is_made_anew(database: Database, tmp_path: pathlib.Path, gone: str) -> None:
    """With everything that was ever answered, also for who had read before."""
    folder = tmp_path / "data"
    await database.query(texts)
    with structlog.testing.capture_logs() as logs:  # from now on: the database looks by itself, too
        if gone == "folder":
            shutil.rmtree(folder)
        else:
            (folder / gone).unlink()
        await database.write(insert("second"))

    expected = ["first", "second"]
    assert expected == on_disk(folder / "notes.db")
    assert expected == await database.read(texts)
    assert expected == await database.query(texts)
    assert ["database in trouble", "database works again"] == [line["event"] for line in logs]


async def test_what_is_deleted_comes_back_though_nobody_writes(database: Database, tmp_path: pathlib.Path) -> None:
    """A service that ends soon after must find it all at its next start."""
    folder = tmp_path / "data"
    shutil.rmtree(folder)
    async with asyncio.timeout(30):
        while True:
            if (folder / "notes.db").exists():
                break
            await asyncio.sleep(0.01)  # a thread's work, which wakes nobody

    assert ["first"] == on_disk(folder / "notes.db")


async def test_another_file_is_not_overwritten(database: Database, tmp_path: pathlib.Path) -> None:
    """Somebody has put a copy in its place while the mesh ran: it is left alone, and writes are refused."""
    path = tmp_path / "data" / "notes.db"
    other = Database(tmp_path / "other.db", [TABLE])
    other.open()
    await other.write(insert("of another"))
    await other.close()
    (tmp_path / "other.db").replace(path)

    with pytest.raises(Unavailable, match="was replaced"):
        await database.write(insert("second"))

    (tmp_path / "copy.db").write_bytes(path.read_bytes())
    assert ["of another"] == on_disk(tmp_path / "copy.db")


async def test_a_damaged_file_is_said_in_words(database: Database, tmp_path: pathlib.Path) -> None:
    """To who reads and to who writes; nothing hangs, and nothing ends."""
    path = tmp_path / "data" / "notes.db"
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    again = Database(path, [TABLE])

    with pytest.raises(Unavailable, match=r"notes\.db cannot be written now"):
        again.open()
    outcomes = await asyncio.gather(
        database.write(insert("second")), database.query(texts), database.write(insert("third")), return_exceptions=True
    )
    assert all(isinstance(outcome, Unavailable | int | list) for outcome in outcomes), outcomes


async def test_a_folder_that_cannot_be_is_said_in_words(tmp_path: pathlib.Path) -> None:
    """Where a file stands in its way, say."""
    (tmp_path / "data").write_text("a file")

    with pytest.raises(Unavailable, match=r"notes\.db cannot be written now: "):
        Database(tmp_path / "data" / "notes.db", [TABLE]).open()
