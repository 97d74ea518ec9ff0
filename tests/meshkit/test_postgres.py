"""The database keeps what it has answered, for any number of replicas, while its server comes and goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from meshkit.errors import NotFound, Unavailable
from meshkit.postgres import Alone, Connection, Database, Work
from meshkit.postgres.texts import stored
from tests.servers.postgresql import Postgres, running_postgres

TABLE = "CREATE TABLE notes (number bigserial PRIMARY KEY, text text NOT NULL UNIQUE);  -- a comment at the end"
COUNTERS = "CREATE TABLE counters (name text PRIMARY KEY, value bigint NOT NULL)"


@contextlib.asynccontextmanager
async def opened(url: str, *migrations: str, **options: float) -> AsyncIterator[Database]:
    """Run a database of the service `notes` for the length of the block."""
    database = Database(PostgresDatabase(url), "notes", migrations or (TABLE, COUNTERS), **options)  # type: ignore[arg-type]
    await database.open(30.0)
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    """An open database with its tables."""
    async with opened(postgres, patience_s=30.0) as database:
        yield database


def insert(text: str | None) -> Work[int]:
    """Return a write of one note."""

    async def work(connection: Connection) -> int:
        number: int = await connection.fetchval("INSERT INTO notes (text) VALUES ($1) RETURNING number", text)
        return number

    return work


def count(name: str) -> Work[int]:
    """Return a write that reads a counter under its lock, and adds one."""

    async def work(connection: Connection) -> int:
        await connection.execute("INSERT INTO counters VALUES ($1, 0) ON CONFLICT DO NOTHING", name)
        value = await connection.fetchval("SELECT value FROM counters WHERE name = $1 FOR UPDATE", name)
        await connection.execute("UPDATE counters SET value = $2 WHERE name = $1", name, value + 1)
        return int(value) + 1

    return work


async def add(connection: Connection, asked: Sequence[str]) -> list[int | Exception | Alone]:
    """Add one to each of some counters, together."""
    return [await count(name)(connection) for name in asked]


async def texts(database: Database) -> list[str]:
    """Return all notes, in order."""
    return [row[0] for row in await database.fetch("SELECT text FROM notes ORDER BY number")]


async def counters(database: Database) -> dict[str, int]:
    """Return all counters."""
    return {row[0]: row[1] for row in await database.fetch("SELECT name, value FROM counters")}


async def test_an_answer_is_seen_by_another_replica(database: Database, postgres: str) -> None:
    """At once."""
    async with opened(postgres) as other:
        await database.write(insert("a"))

        assert ["a"] == await texts(other)


async def put(connection: Connection, asked: Sequence[str | None]) -> list[int | Exception | Alone]:
    """Write notes together; what begins with a `!` is refused, what begins with a `?` wants to be alone."""
    outcomes: list[int | Exception | Alone] = []
    for text in asked:
        if text is not None and text.startswith("!"):
            outcomes.append(NotFound("no such thing"))
        elif text is not None and text.startswith("?") and len(asked) > 1:
            outcomes.append(Alone.ALONE)
        else:
            outcomes.append(await insert(text)(connection))
    return outcomes


@pytest.mark.parametrize("joined", [False, True])
async def test_writes_of_one_key_keep_their_order(database: Database, *, joined: bool) -> None:
    """A thousand at once come out in the order they were asked for, each key on its own."""
    if joined:
        writes = [database.join(put, f"{n}", key="one") for n in range(1000)]
    else:
        writes = [database.write(insert(f"{n}"), key="one") for n in range(1000)]
    await asyncio.gather(*writes)

    assert [f"{n}" for n in range(1000)] == await texts(database)


async def test_a_failed_write_is_undone_alone(database: Database) -> None:
    """Of those that wait together only the one that raised is missing, with all that it did before."""

    async def half(connection: Connection) -> int:
        await insert("half")(connection)
        raise NotFound("no such thing")

    works = [insert("a"), half, insert(None), insert("b"), insert("a")]
    outcomes = await asyncio.gather(*(database.write(work, key="one") for work in works), return_exceptions=True)

    kinds = [int, NotFound, asyncpg.NotNullViolationError, int, asyncpg.UniqueViolationError]
    assert kinds == [type(outcome) for outcome in outcomes]
    assert ["a", "b"] == await texts(database)


@pytest.mark.parametrize(
    "texts_put", [["a", "!", "?b", "c"], ["a", "!", None, "b", "a", "?c"]], ids=["alone", "undone"]
)
async def test_of_what_is_joined_each_has_its_own_outcome(database: Database, texts_put: list[str | None]) -> None:
    """What is refused is left out, what wants to be alone is, and an error of SQL is that of who has made it."""
    outcomes = await asyncio.gather(
        *(database.join(put, text, key="one") for text in texts_put), return_exceptions=True
    )

    failed = {"!": NotFound, None: asyncpg.NotNullViolationError}
    seen: list[str] = []
    for text, outcome in zip(texts_put, outcomes, strict=True):
        expected = asyncpg.UniqueViolationError if text in seen else failed.get(text, int)
        assert expected is type(outcome), text
        if text is not None and isinstance(outcome, int):
            seen.append(text)
    assert sorted(seen) == sorted(await texts(database))


async def test_what_is_joined_overtakes_nothing_of_its_key(database: Database) -> None:
    """What waits behind another write of the same key stays behind it, in whatever lane."""
    await database.write(insert("0"))
    await asyncio.gather(
        database.join(put, "1", key="one"),
        database.write(insert("2"), key="one"),
        database.join(put, "3", key="one"),
        database.join(put, "4", key="one"),
        database.write(insert("5"), key="one"),
    )

    assert ["0", "1", "2", "3", "4", "5"] == await texts(database)


async def test_a_work_that_goes_on_after_an_error_of_sql_is_not_believed(database: Database) -> None:
    """Its transaction has been undone by then."""

    async def work(connection: Connection) -> None:
        await insert("a")(connection)
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await insert("a")(connection)

    with pytest.raises(RuntimeError):
        await database.write(work)

    assert [] == await texts(database)


async def test_a_cancelled_caller_does_not_undo_the_write(database: Database) -> None:
    """And the connection goes on."""
    await database.write(insert("0"))
    tasks = [asyncio.create_task(database.write(insert(f"{n}"), key="one")) for n in range(1, 20)]
    await asyncio.sleep(0)
    for task in tasks[:-1]:
        task.cancel()
    await tasks[-1]

    assert [f"{n}" for n in range(20)] == await texts(database)


async def test_rules_of_several_replicas_are_applied_one_after_the_other(database: Database, postgres: str) -> None:
    """Under the row's lock nobody's change is lost, whoever writes together what waits."""
    async with opened(postgres, patience_s=30.0) as other:
        counts = [
            writing
            for _ in range(25)
            for each in (database, other)
            for name in ("a", "b")
            for writing in (each.write(count(name), key=name), each.join(add, name, key=name))
        ]
        await asyncio.gather(*counts)

    assert {"a": 100, "b": 100} == await counters(database)


async def test_what_waits_for_a_lock_of_others_holds_up_nothing_else(database: Database, postgres: str) -> None:
    """It was to be written together with that, and is carried out elsewhere."""
    await database.join(add, "a", key="a")
    held, free = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection) -> None:
        await count("a")(connection)
        held.set()
        await free.wait()

    async with opened(postgres, patience_s=30.0) as other:
        holding = asyncio.create_task(other.write(hold))
        await held.wait()
        waiting = [asyncio.create_task(database.join(add, name, key=name)) for name in ("a", "b", "a")]
        await waiting[1]
        await database.join(add, "b", key="b")
        free.set()
        await asyncio.gather(holding, *waiting)

    assert {"a": 4, "b": 2} == await counters(database)


async def test_of_two_that_lock_each_other_out_both_succeed(database: Database, postgres: str) -> None:
    """The server ends one of them, and that one is carried out again."""
    async with opened(postgres, patience_s=30.0) as other:
        await asyncio.gather(database.write(count("a")), database.write(count("b")))
        met = asyncio.Barrier(2)
        first = True

        def both(*names: str) -> Work[None]:
            async def work(connection: Connection) -> None:
                nonlocal first
                await count(names[0])(connection)
                if first:
                    await met.wait()
                    first = False
                await count(names[1])(connection)

            return work

        await asyncio.gather(database.write(both("a", "b")), other.write(both("b", "a")))

    assert {"a": 3, "b": 3} == await counters(database)


@pytest.mark.parametrize(
    "text", ["", "\0", "a\0b", "\ufdd0", "\ufdd00\0", '{"a": "\\u0000"}', "名前 😀", "x" * 2_000_000], ids=range(8)
)
async def test_any_text_comes_back(database: Database, text: str) -> None:
    """Also what PostgreSQL itself cannot hold; in an array, once it was put into the form that it can."""
    await database.write(lambda connection: connection.execute("CREATE TABLE long (text text)"))
    await database.write(lambda connection: connection.execute("INSERT INTO long VALUES ($1)", text))

    assert text == await database.fetchval("SELECT text FROM long WHERE text = $1", text)
    assert text == await database.fetchval("SELECT text FROM long WHERE text = ANY($1::text[])", [stored(text)])


async def test_a_snapshot_sees_one_moment(database: Database) -> None:
    """Whatever is written while it reads; and nobody writes by reading."""
    await database.write(insert("a"))

    async def work(connection: Connection) -> tuple[int, int]:
        before = await connection.fetchval("SELECT count(*) FROM notes")
        await database.write(insert("b"))
        return before, await connection.fetchval("SELECT count(*) FROM notes")

    assert (1, 1) == await database.read(work, snapshot=True)
    with pytest.raises(RuntimeError, match="a read wrote"):
        await database.read(insert("c"))


async def test_replicas_that_start_at_once_migrate_once(postgres: str) -> None:
    """And one that knows less than the database has seen refuses it."""
    async with contextlib.AsyncExitStack() as stack:
        starting = [stack.enter_async_context(opened(postgres)) for _ in range(4)]
        databases = await asyncio.gather(*starting)
        assert 2 == await databases[0].fetchval("SELECT max(number) FROM migrations")
        with pytest.raises(RuntimeError, match="newer version"):
            await stack.enter_async_context(opened(postgres, TABLE))


async def test_services_do_not_see_each_others_tables(database: Database, postgres: str) -> None:
    """Each has a schema of its own in the one database."""
    other = Database(PostgresDatabase(postgres), "others", [TABLE])
    await other.open(30.0)
    await database.write(insert("a"))

    assert [] == await texts(other)
    await other.close()


async def test_what_waits_is_written_before_it_closes(postgres: str) -> None:
    """And what comes later is refused."""
    async with opened(postgres) as database:
        writes = [asyncio.create_task(database.write(insert(f"{n}"))) for n in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    with pytest.raises(asyncpg.InterfaceError):
        await database.write(insert("late"))

    async with opened(postgres) as database:
        assert 50 == len(await texts(database))


async def test_a_lane_that_is_cancelled_while_it_commits_ends(postgres: str) -> None:
    """Who waits hears that nobody knows; what stands behind is not carried out."""
    slow = """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(15); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION slow();
    """
    commits = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'"
    async with opened(postgres, TABLE, slow) as database:
        committing = asyncio.ensure_future(database.write(insert("a"), key="k"))
        behind = asyncio.ensure_future(database.write(insert("b"), key="k"))
        async with asyncio.timeout(30):
            while True:
                if await database.fetchval(commits):
                    break
                await asyncio.sleep(0.01)
        lanes = [task for task in asyncio.all_tasks() if task.get_name() == "postgres-lane"]
        for lane in lanes:
            lane.cancel()
        await asyncio.wait(lanes, timeout=30)

        assert all(lane.cancelled() for lane in lanes)
        with pytest.raises(Unavailable, match="may have written it"):
            await committing
    with pytest.raises(asyncpg.InterfaceError):
        await behind


@pytest.fixture(scope="module")
def fragile() -> Iterator[Postgres]:
    """A server that tests may stop."""
    with running_postgres() as server:
        yield server


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_a_server_that_comes_back_is_used_again(fragile: Postgres, how: str) -> None:
    """Who asks meanwhile waits for it, or is told that it is not there: never anything else, and nothing is twice."""
    async with opened(fragile.fresh(), patience_s=60.0) as database:
        writes = [asyncio.create_task(database.write(insert(f"{n}"))) for n in range(200)]
        await writes[0]
        await asyncio.to_thread(fragile.restart if how == "restart" else fragile.kill)
        if how == "crash":
            await asyncio.to_thread(fragile.start)
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        written = {f"{n}" for n, outcome in enumerate(outcomes) if isinstance(outcome, int)}
        unknown = [outcome for outcome in outcomes if not isinstance(outcome, int)]

        assert all(isinstance(outcome, Unavailable) for outcome in unknown), unknown
        assert len(unknown) <= 4  # those whose commit was under way, one on each connection
        assert written <= set(await texts(database))


async def test_while_the_server_is_away_it_is_said_so(fragile: Postgres) -> None:
    """Without a password, and as an error that says to try again; also to who opens the database then."""
    url = fragile.fresh().replace("mesh@", "mesh:s3cret@")
    async with opened(url, patience_s=0.0) as database:
        await database.write(insert("a"))
        fragile.stop()
        try:
            for attempt in (
                database.write(insert("b")),
                texts(database),
                Database(PostgresDatabase(url), "x", []).open(0),
            ):
                with pytest.raises(Unavailable) as caught:
                    await attempt
                assert "s3cret" not in str(caught.value)
        finally:
            fragile.start()


async def test_what_cannot_be_used_is_said_at_once(postgres: str) -> None:
    """A database that does not exist does not come by waiting."""
    absent = PostgresDatabase(postgres.replace("/mesh_", "/no_such_"))
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="does not exist"):
            await Database(absent, "notes", [TABLE]).open(3600.0)
