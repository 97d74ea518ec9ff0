"""How the tables of the runner in SQLite lie: large rows are in nobody's way, and a file of before is brought there."""

import pathlib
import sqlite3
from collections.abc import Iterator

import pytest

from meshkit.sqlite import Database
from services.runner.domain import Birth, Change, Role, State
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.rows_by_number import ROWS_BY_NUMBER
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING
from tests.runner.stores.test_records import conversation, said
from tests.runner.stores.test_stores import job, lock

MAY_BE_LARGE = {"jobs", "locks", "briefs", "messages", "schedules", "events", "deliveries", "memories"}


@pytest.fixture
def connection(tmp_path: pathlib.Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a file as it was before the tables were moved."""
    connection = sqlite3.connect(tmp_path / "runner.db", isolation_level=None)
    for name, function in SEALING.items():
        connection.create_function(name, -1, function)
    number = MIGRATIONS.index(ROWS_BY_NUMBER)
    for script in MIGRATIONS[:number]:
        connection.executescript(script)
    connection.execute(f"PRAGMA user_version={number}")
    yield connection
    connection.close()


def described(connection: sqlite3.Connection, kind: str) -> dict[str, str]:
    """Return what there is of a kind, by name, in the words of SQL but for blanks."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", (kind,))
    return {name: "".join(sql.split()) for name, sql in rows}


async def test_what_may_be_large_is_searched_by_an_index(tmp_path: pathlib.Path) -> None:
    """A table without row ids is searched through its whole rows: one of megabytes would be read for its neighbours."""
    database = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
    database.open()
    try:
        rows = await database.query(lambda connection: connection.execute("PRAGMA table_list").fetchall())
    finally:
        await database.close()

    without_ids = {row[1] for row in rows if row[4]}
    assert set() == MAY_BE_LARGE & without_ids
    assert {row[1] for row in rows} >= MAY_BE_LARGE


def test_all_that_was_on_the_tables_is_on_them_again(connection: sqlite3.Connection) -> None:
    """Indices and triggers, which count what an owner has."""
    before = {kind: described(connection, kind) for kind in ("index", "trigger", "table")}
    columns = {table: connection.execute(f"PRAGMA table_info({table})").fetchall() for table in before["table"]}

    connection.executescript(ROWS_BY_NUMBER)

    after = {kind: described(connection, kind) for kind in ("index", "trigger", "table")}
    assert before["table"].keys() == after["table"].keys()
    assert set(before["trigger"]) == set(after["trigger"])
    assert set(before["index"]) == set(after["index"]) - {"locks_waiting", "locks_asking"}
    for table, was in columns.items():
        now = connection.execute(f"PRAGMA table_info({table})").fetchall()
        assert [(row[1], row[2], row[4]) for row in was] == [(row[1], row[2], row[4]) for row in now], table


async def test_a_file_of_before_has_the_same_in_it(connection: sqlite3.Connection, tmp_path: pathlib.Path) -> None:
    """Jobs, locks, conversations, what is counted of their owner, and what is counted from then on."""
    number = MIGRATIONS.index(ROWS_BY_NUMBER)
    old = Database(tmp_path / "runner.db", MIGRATIONS[:number], SEALING)
    new = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
    connection.close()
    for database in (old, new):
        database.open()
        store = SqliteStore(database)
        try:
            if database is old:
                await store.conversations.add(conversation(1), None)
                born = job(1, state=State.RUNNING, inputs_json="x" * 100_000)
                await store.create([Birth(job=born, brief=b"b", said=(said(1, Role.USER, "why?", 2.0),))], None)
                await store.update(born.job_id, lambda found: Change(job=found, opened=(lock(1),)))
                kept = await store.get(born.job_id)
                counted = await store.stored_bytes("users/a")
            else:
                assert kept == await store.get(born.job_id)
                assert (b"b", counted) == (await store.brief(born.job_id), await store.stored_bytes("users/a"))
                assert ["why?"] == [each.content for each in await store.conversations.messages("c1", -1, 10)]
                assert [lock(1)] == [await store.get_lock("1")]
                assert [born.job_id] == [each.job_id for each in await store.open_jobs()]
                await store.conversations.delete("c1")
                await store.delete(born.job_id, 5.0)
                assert 0 == await store.stored_bytes("users/a")
        finally:
            await database.close()
