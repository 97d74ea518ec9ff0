"""Every store finds the same jobs, indexed or not; the index of the one in SQLite follows its jobs."""

import asyncio
import contextlib
import dataclasses
import pathlib
import sqlite3
import string
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
import pytest_asyncio
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshkit.errors import NotFound, Unavailable
from meshkit.sqlite import Database
from services.runner.domain import TERMINAL, Birth, Change, Job, State
from services.runner.stores import texts
from services.runner.stores.memory import MemoryStore
from services.runner.stores.rows import OPEN
from services.runner.stores.sqlite import SqliteStore, index
from services.runner.stores.sqlite.indexer import Indexer
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING

OWNERS = ("users/a", "users/b")
# Few letters, so that words are found; and what could mean something to SQL, FTS5, JSON or Unicode.
LETTERS = "abAB01 \"'%_*()-:{}\\^+\0\U000f0000ÄäſßKİσΣς漢\ufffe\u0301😀"
WORDS = st.text(LETTERS, max_size=12)


def job(number: int, owner: str = OWNERS[0], **more: object) -> Job:
    """Return a job that has ended; larger numbers are newer, and every 16 of them are of one second."""
    fields = {"flow": "flows/demo", "state": State.SUCCEEDED, "created_at": 1.0, "updated_at": 1.0, **more}
    return Job(job_id=f"{number // 16:08x}{number % 16:016x}", owner=owner, **fields)  # type: ignore[arg-type]


async def keep(store: MemoryStore | SqliteStore, *jobs: Job) -> None:
    """Keep jobs."""
    await store.create([Birth(job=each) for each in jobs], None)


@contextlib.asynccontextmanager
async def opened(folder: pathlib.Path) -> AsyncIterator[Database]:
    """Open the database in a folder for the length of the block."""
    database = Database(folder / "runner.db", MIGRATIONS, SEALING)
    database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture
async def database(tmp_path: pathlib.Path) -> AsyncIterator[Database]:
    """Yield an empty database."""
    async with opened(tmp_path) as database:
        yield database


async def ids(store: MemoryStore | SqliteStore, query: str, owner: str | None = OWNERS[0]) -> list[str]:
    """Return the ids of what is found."""
    return [found.job_id for found in await store.find(owner, query, "", 1000)]


async def looked_up(database: Database, query: str, owner: str | None = None) -> int:
    """Return how many jobs the index has for a query."""
    match = index.match_of(query, owner)
    return len(await database.query(lambda connection: index.candidates(connection, match, index.NUMBER_MAX, 1000)))


async def given_space(database: Database) -> None:
    """Let the file grow again: what shares its transaction with a write that fails for want of space fails with it."""
    is_given = False
    while not is_given:
        with contextlib.suppress(Unavailable):
            await database.write(lambda connection: connection.execute("PRAGMA max_page_count=1000000") and None)
            is_given = True


@st.composite
def collections(draw: st.DrawFn) -> list[Job]:
    """Return jobs of two owners, some of them still open, in the order of their ends."""
    numbers = draw(st.lists(st.integers(0, 63), min_size=1, max_size=40, unique=True))
    return [
        job(
            number,
            draw(st.sampled_from(OWNERS)),
            state=draw(st.sampled_from((State.SUCCEEDED, State.FAILED, State.RUNNING))),
            **{name: draw(WORDS) for name in ("inputs_json", "result_json", "error", "meta_json")},
        )
        for number in numbers
    ]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a store is asked to find."""

    owner: str | None
    query: str
    before: str
    limit: int


def asked(jobs: Sequence[Job]) -> st.SearchStrategy[Asked]:
    """Return questions, most of them about pieces of the jobs' texts."""
    pieces = st.sampled_from(jobs).flatmap(
        lambda one: st.tuples(st.just(texts.text_of(one)), st.integers(0, 80), st.integers(1, 60))
    )
    queries = st.one_of(
        pieces.map(lambda piece: piece[0][piece[1] :][: piece[2]]),
        pieces.map(lambda piece: piece[0][piece[1] :][: piece[2]].upper()),
        WORDS,
        st.text(max_size=6),
        st.sampled_from(("", "succeeded", "RUNNING", "fail", "flows/demo")),
    )
    befores = st.one_of(st.just(""), st.sampled_from([one.job_id for one in jobs]), st.sampled_from(("0", "x", "ffff")))
    return st.builds(Asked, st.sampled_from((None, *OWNERS)), queries, befores, st.integers(1, 12))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop, for tests that hypothesis calls."""
    with asyncio.Runner() as runner:
        yield runner


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(collections(), st.integers(0, 40), st.data())
def test_stores_find_the_same(
    tmp_path_factory: pytest.TempPathFactory, runner: asyncio.Runner, jobs: list[Job], indexed: int, data: st.DataObject
) -> None:
    """For any query, whether the jobs are open, have ended just now or are indexed."""
    memory, folder = MemoryStore(), tmp_path_factory.mktemp("found")
    questions = data.draw(st.lists(asked(jobs), min_size=10, max_size=40))

    async def compare() -> None:
        async with opened(folder) as database:
            store = SqliteStore(database)
            await keep(memory, *jobs)
            for number, one in enumerate(jobs):
                await keep(store, one)
                if number == indexed:
                    await store.indexer.settle()
            for q in questions:
                expected = await memory.find(q.owner, q.query, q.before, q.limit)
                assert expected == await store.find(q.owner, q.query, q.before, q.limit), q

    runner.run(compare())


async def test_pages_go_through_one_second_and_the_next(database: Database) -> None:
    """Jobs of a second are numbered as they ended, and still found by their ids, page by page."""
    store = SqliteStore(database)
    jobs = [job(number, inputs_json="common") for number in range(200)]
    for one in sorted(jobs, key=lambda one: one.job_id[::-1]):
        await keep(store, one)
        if one.job_id.endswith("f"):
            await store.indexer.settle()

    found: list[str] = []
    while page := await store.find(OWNERS[0], "common", found[-1] if found else "", 7):
        found += [each.job_id for each in page]

    assert [one.job_id for one in reversed(jobs)] == found


@pytest.mark.parametrize("query", ["ab", "zz", "needle"])
async def test_walks_are_cut_into_slices_without_a_seam(database: Database, query: str) -> None:
    """More jobs than one slice has, none of them indexed: what lies at the ends of slices is found, too."""
    store = SqliteStore(database)
    marked = {0, 1, 999, 1000, 1001, 1999, 2000, 2500}
    jobs = [job(number, result_json="ab needle" if number in marked else "") for number in range(2501)]
    await keep(store, *jobs)

    expected = [] if query == "zz" else [job(number).job_id for number in sorted(marked, reverse=True)]
    assert expected == await ids(store, query)


async def test_letters_a_to_z_are_found_in_any_case(database: Database) -> None:
    """Others as they are written, in every store."""
    store, memory = SqliteStore(database), MemoryStore()
    for each in (store, memory):
        await keep(each, job(1, result_json="Größe MATTERS"))
    await store.indexer.settle()

    for each in (store, memory):
        assert [1, 1, 0] == [len(await ids(each, query)) for query in ("grö", "matters", "GRÖ")]


async def test_what_is_searched_of_a_text_is_bounded(database: Database) -> None:
    """What lies behind is not found, before a job is indexed and after."""
    store, memory = SqliteStore(database), MemoryStore()
    long = "x" * (texts.CHARS_MAX - 4) + "last first"
    for each in (store, memory):
        await keep(each, job(1, inputs_json=long, result_json=long, error=long, meta_json=long))

    assert ([job(1).job_id], []) == (await ids(memory, "xlast "), await ids(memory, "first"))
    assert ([job(1).job_id], []) == (await ids(store, "xlast "), await ids(store, "first"))
    await store.indexer.settle()
    assert ([job(1).job_id], []) == (await ids(store, "xlast "), await ids(store, "first"))


async def test_only_jobs_that_have_ended_are_indexed(database: Database) -> None:
    """An open job is found as it is now; when it ends, it is found by the index, as it ended."""
    store = SqliteStore(database)
    await keep(store, job(1, state=State.RUNNING))
    await store.indexer.settle()
    before = await looked_up(database, "demo")
    ended = dataclasses.replace(job(1), result_json="done")
    for change in (Change(job=ended), Change(job=dataclasses.replace(ended, payment_todo="refund"))):
        await store.update(ended.job_id, lambda _, change=change: change)  # type: ignore[misc]  # a default binds it
        await store.indexer.settle()

    assert (0, 1) == (before, await looked_up(database, "done"))
    assert ([ended.job_id], []) == (await ids(store, "succeeded"), await ids(store, "running"))


async def test_the_jobs_of_others_are_leapt_over(database: Database) -> None:
    """The index gives an owner's search that owner's jobs only."""
    store = SqliteStore(database)
    await keep(store, *(job(number, OWNERS[number % 5 == 0]) for number in range(50)))
    await store.indexer.settle()

    assert [50, 40, 10, 0] == [
        await looked_up(database, "succeeded", owner) for owner in (None, *OWNERS, "users/somebody")
    ]


async def test_what_only_the_index_knows_is_no_text(database: Database) -> None:
    """A job is not taken for a candidate because of how its owner is marked, nor for what it lacks."""
    store = SqliteStore(database)
    await keep(store, job(1), job(2, result_json="nowhere"))
    await store.indexer.settle()

    assert (0, 0, 1) == tuple([await looked_up(database, query, OWNERS[0]) for query in ("own", "user", "nowhere")])


@pytest.mark.parametrize("settled", [True, False])
async def test_a_deleted_job_leaves_the_index(database: Database, settled: bool) -> None:
    """Indexed or only listed; another of the same second stays."""
    store = SqliteStore(database)
    await keep(store, job(1, result_json="one"), job(2, result_json="two"))
    if settled:
        await store.indexer.settle()

    await store.delete(job(1).job_id, 0.0)
    await store.indexer.settle()

    assert (0, 1) == (await looked_up(database, "one"), await looked_up(database, "two"))
    assert ([], [job(2).job_id]) == (await ids(store, "one"), await ids(store, "two"))
    with pytest.raises(NotFound):
        await store.delete(job(1).job_id, 0.0)
    await keep(store, job(3, result_json="new"))
    await store.indexer.settle()
    assert ([], [job(3).job_id]) == (await ids(store, "one"), await ids(store, "new"))


async def test_a_job_deleted_while_it_is_being_indexed_stays_away(database: Database) -> None:
    """It had been read, but is not on the list any more."""
    store = SqliteStore(database)
    await keep(store, job(1), job(2))
    entries = await database.query(index.waiting)
    await store.delete(job(1).job_id, 0.0)

    await database.write(lambda connection: index.index(connection, entries))

    assert 1 == await looked_up(database, "demo")


async def test_a_crash_loses_nothing(tmp_path: pathlib.Path) -> None:
    """What has ended and is not indexed is found after a restart, and indexed."""
    async with opened(tmp_path) as database:
        store = SqliteStore(database)
        await keep(store, *(job(number) for number in range(2 * index.BATCH_MAX)))
        entries = await database.query(index.waiting)
        await database.write(lambda connection: index.index(connection, entries))

    async with opened(tmp_path) as database:
        store = SqliteStore(database)
        assert 2 * index.BATCH_MAX == len(await ids(store, "demo"))
        assert index.BATCH_MAX == await looked_up(database, "demo")
        await store.indexer.settle()
        assert 2 * index.BATCH_MAX == await looked_up(database, "demo") == len(await ids(store, "demo"))


async def test_jobs_of_an_older_version_are_indexed(tmp_path: pathlib.Path) -> None:
    """A file that had no index yet gets one; open jobs are left out."""
    with contextlib.closing(sqlite3.connect(tmp_path / "runner.db")) as old:
        for script in MIGRATIONS[:2]:
            old.executescript(script)
        columns = [row[1] for row in old.execute("PRAGMA table_info(jobs)")]
        for number, state in enumerate((State.SUCCEEDED, State.QUEUED)):
            values = dict.fromkeys(columns, "") | {"job_id": job(number).job_id, "state": state, "owner": OWNERS[0]}
            old.execute(f"INSERT INTO jobs VALUES ({', '.join('?' * len(columns))})", list(values.values()))
        old.execute("PRAGMA user_version=2")
        old.commit()

    async with opened(tmp_path) as database:
        store = SqliteStore(database)
        await store.indexer.settle()
        assert [0, 1] == [await looked_up(database, state) for state in (State.QUEUED, State.SUCCEEDED)]
        assert [[job(1).job_id], [job(0).job_id]] == [
            await ids(store, state) for state in (State.QUEUED, State.SUCCEEDED)
        ]


async def test_a_batch_is_bounded(database: Database) -> None:
    """By jobs and by characters: each holds up the writes of jobs."""
    store = SqliteStore(database)
    await keep(store, *(job(number) for number in range(2 * index.BATCH_MAX)))
    short = await database.query(index.waiting)
    await database.write(lambda connection: index.index(connection, short))
    long = "x" * 1_000_000
    await keep(store, *(job(500 + number, inputs_json=long, result_json=long, error=long) for number in range(5)))
    await database.write(lambda connection: index.index(connection, index.waiting(connection)))

    assert index.BATCH_MAX == len(short)
    assert 1 == len(await database.query(index.waiting))


async def test_the_indexer_follows_what_ends(database: Database) -> None:
    """It indexes what it finds and what ends later, and rides out a disk that is full."""
    indexer = Indexer(database, gather_s=0.0, pause_s=0.0, retry_s=0.01)
    store = SqliteStore(database)
    await keep(store, job(1, result_json=" ".join(map(str, range(3000)))))
    await database.write(lambda connection: connection.execute("PRAGMA max_page_count=1") and None)  # not one more
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(indexer.run())
        try:
            async with asyncio.timeout(90):
                while not logs:
                    await database.query(index.waiting)
                before = await looked_up(database, "demo")
                await given_space(database)
                while not await looked_up(database, "demo"):
                    pass
                await keep(store, job(2))
                indexer.job_ended()
                while await looked_up(database, "demo") < 2:
                    pass
        finally:
            task.cancel()
            await asyncio.wait([task])

    assert ("database in trouble", 0) == (logs[0]["event"], before)


def test_open_jobs_are_named_in_one_order() -> None:
    """The states of the condition are those that end a job; SQLite compares it with the index word by word."""
    assert set(TERMINAL) == {state for state in State if f"'{state}'" in OPEN}
    assert any(f"WHERE {OPEN}" in script for script in MIGRATIONS)
    assert set(string.ascii_uppercase).isdisjoint(texts.folded(string.printable))
