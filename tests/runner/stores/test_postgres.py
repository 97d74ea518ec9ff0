"""What only the store in PostgreSQL promises: two replicas write it, and the limits hold for both together."""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists
from meshkit.postgres import Connection, Database
from services.runner import domain
from services.runner.domain import Birth, Change, Event, Isolation, Job, Layer, State
from services.runner.ports.replicas import Replica
from services.runner.ports.store import TooManyOpen
from services.runner.stores.memory import MemoryStore
from services.runner.stores.postgres import PostgresStore, jobs, writes
from services.runner.stores.postgres.replicas import PostgresReplicas
from services.runner.stores.postgres.schema import MIGRATIONS
from tests.runner.stack import DEADLINE_S
from tests.runner.stores.test_records import memory
from tests.runner.stores.test_search import asked, collections, keep, runner
from tests.runner.stores.test_stores import job
from tests.runner.stores.test_webhooks import webhook
from tests.servers.postgresql import Postgres

__all__ = ["runner"]

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
"""How many wait for who asks.  (`pg_stat_activity` stands still in a transaction.)"""


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Open a database for the length of the block."""
    database = Database(PostgresDatabase(url), "runner", MIGRATIONS)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture
async def both(postgres: str) -> AsyncIterator[list[Database]]:
    """Open one database twice, as two replicas do."""
    async with opened(postgres) as one, opened(postgres) as other:
        yield [one, other]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(collections(), st.data())
def test_postgres_finds_the_same(
    postgres_server: Postgres, runner: asyncio.Runner, jobs: list[Job], data: st.DataObject
) -> None:
    """For any query, whether jobs are open or have ended."""
    memory = MemoryStore()
    questions = data.draw(st.lists(asked(jobs), min_size=10, max_size=40))

    async def compare() -> None:
        async with opened(postgres_server.fresh()) as database:
            store = PostgresStore(database)
            await keep(memory, *jobs)
            await store.create([Birth(job=each) for each in jobs], None)
            for q in questions:
                expected = await memory.find(q.owner, q.query, q.before, q.limit)
                assert expected == await store.find(q.owner, q.query, q.before, q.limit), q

    runner.run(compare())


async def test_a_search_finds_words_by_an_index(both: list[Database]) -> None:
    """It is not every job that is looked at."""
    said = await both[0].fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'jobs_by_text'")

    assert "gin_trgm_ops" in said


@pytest.mark.parametrize("end", ["DELETE FROM webhooks", "SELECT FROM webhooks FOR UPDATE"])
async def test_a_webhook_that_is_ending_is_told_nothing(both: list[Database], end: str) -> None:
    """A job of its owner that begins meanwhile waits for that to be decided."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].webhooks.add(webhook(), None)

    async def ending(connection: Connection) -> asyncio.Task[object]:
        await connection.execute(end)
        await connection.execute("UPDATE webhooks SET enabled = false")
        telling: asyncio.Task[object] = asyncio.create_task(stores[1].create([Birth(job=job(1))], None))
        while not telling.done():
            await asyncio.sleep(0.01)
            if await connection.fetchval(WAITS):
                break
        return telling

    await (await both[0].write(ending))

    assert 0 == await both[0].fetchval("SELECT count(*) FROM deliveries")


async def test_the_id_of_a_job_that_is_being_deleted_is_taken(both: list[Database]) -> None:
    """Who is born with it meanwhile waits for that, and is refused then, too."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].create([Birth(job=job(1))], None)

    async def deleting(connection: Connection) -> asyncio.Task[object]:
        await jobs.delete(connection, job(1).job_id, 5.0)
        bearing: asyncio.Task[object] = asyncio.create_task(stores[1].create([Birth(job=job(1))], None))
        while not bearing.done():
            await asyncio.sleep(0.01)
            if await connection.fetchval(WAITS):
                break
        return bearing

    with pytest.raises(AlreadyExists):
        await (await both[0].write(deleting))


async def test_two_who_clear_memory_clear_all_of_it(both: list[Database]) -> None:
    """Who has waited for rows that the other has deleted finds none of them, and is not at the end for that."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].create([Birth(job=job(1))], None)
    many = tuple(memory("x", layer=Layer.LONG) for _ in range(450))
    await stores[0].update(job(1).job_id, lambda found: Change(job=found, remembered=many))

    async def deleting(connection: Connection) -> asyncio.Task[int]:
        first = "SELECT number FROM memories ORDER BY number LIMIT 200"
        await connection.execute(f"DELETE FROM memories WHERE number IN ({first})")
        clearing = asyncio.create_task(stores[1].memories.clear("users/a", "crews/c", None))
        while not clearing.done():
            await asyncio.sleep(0.01)
            if await connection.fetchval(WAITS):
                break
        return clearing

    assert 250 == await (await both[0].write(deleting))
    assert [] == await stores[0].memories.find("users/a", "crews/c", None, 0, 10)


async def test_whoever_tells_a_webhook_holds_up_only_its_end(both: list[Database]) -> None:
    """Another change goes on beside it; what was told fails with the webhook that is disabled."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].webhooks.add(webhook(), None)
    born = writes.Creation(births=[Birth(job=job(1))], request=None, open_max=None, stored_max=None)

    async def telling(connection: Connection) -> asyncio.Task[object]:
        await writes.create(connection, [born])
        async with asyncio.timeout(DEADLINE_S):
            await stores[1].webhooks.change("w1", lambda before: before)
        ending: asyncio.Task[object] = asyncio.create_task(
            stores[1].webhooks.change("w1", lambda before: domain.webhooks.disabled(before, "why", 9.0))
        )
        while not ending.done():
            await asyncio.sleep(0.01)
            if await connection.fetchval(WAITS):
                break
        return ending

    await (await both[0].write(telling))

    assert ["failed"] == [each.state for each in await stores[0].webhooks.deliveries("w1", "", 9)]


async def test_a_share_holds_for_both(both: list[Database]) -> None:
    """However many launches of an owner come at once, wherever."""
    stores = [PostgresStore(each) for each in both]

    async def begin(number: int) -> bool:
        try:
            return bool(await stores[number % 2].create([Birth(job=job(number))], None, open_max=5))
        except TooManyOpen:
            return False

    begun = await asyncio.gather(*(begin(number) for number in range(40)))

    assert 5 == sum(begun) == len(await stores[0].open_jobs())


async def test_counts_are_merged_and_stay_the_same(both: list[Database]) -> None:
    """An owner's many changes become few rows, whoever merges them."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].create([Birth(job=job(1))], None)
    event = Event(kind="debug", payload="x" * 100, time=2.0)
    for _ in range(210):
        await stores[0].update(job(1).job_id, lambda found: Change(job=found, events=(event,)))
    before = await stores[0].stored_bytes("users/a")

    await asyncio.gather(
        *(stores[n % 2].create([Birth(job=job(n))], None, open_max=100, stored_max=2**40) for n in range(2, 6))
    )

    new = sum([(await stores[0].get(job(n).job_id)).stored_bytes for n in range(2, 6)])
    assert before + new == await stores[1].stored_bytes("users/a")
    assert 50 > await both[0].fetchval("SELECT count(*) FROM owner_counts")


async def test_updates_of_both_leave_no_gap(both: list[Database]) -> None:
    """A rule sees the job as it is, whoever has changed it."""
    stores = [PostgresStore(each) for each in both]
    await stores[0].create([Birth(job=job(1))], None)

    def rule(found: Job) -> Change:
        return Change(
            job=dataclasses.replace(found, epoch=found.epoch + 1), events=(Event(kind="debug", payload="", time=2.0),)
        )

    await asyncio.gather(*(stores[number % 2].update(job(1).job_id, rule) for number in range(40)))

    assert list(range(1, 41)) == [event.seq for event in await stores[0].events(job(1).job_id, 0, 100)]
    assert 40 == (await stores[1].get(job(1).job_id)).epoch


async def test_what_waits_shares_a_commit(both: list[Database]) -> None:
    """Fifty births and fifty changes are a few transactions each, and one that is refused is not in them."""
    store = PostgresStore(both[0])
    event = Event(kind="debug", payload="", time=2.0)

    def rule(found: Job) -> Change:
        if found.job_id == job(7).job_id:
            raise LookupError
        return Change(job=found, events=(event,))

    await asyncio.gather(*(store.create([Birth(job=job(number))], None, open_max=100) for number in range(50)))
    outcomes = await asyncio.gather(
        *(store.update(job(number).job_id, rule) for number in range(50)), return_exceptions=True
    )

    assert [7] == [number for number, outcome in enumerate(outcomes) if isinstance(outcome, LookupError)]
    assert 49 == await both[0].fetchval("SELECT count(*) FROM events")
    assert 10 > await both[0].fetchval("SELECT count(DISTINCT xmin::text) FROM events")
    assert 20 > await both[0].fetchval("SELECT count(DISTINCT xmin::text) FROM jobs")


async def _claim(replicas: PostgresReplicas, host: str, limit: int) -> list[Job]:
    def rule(found: Job) -> Change:
        return domain.lease(found, host, 3.0)

    return [one for one, _ in await replicas.claim("demo", Isolation.PROCESS, limit, rule)]


async def test_a_job_is_claimed_once(both: list[Database]) -> None:
    """Of two that claim at once each gets what the other does not; owners take turns."""
    store, replicas = PostgresStore(both[0]), [PostgresReplicas(each) for each in both]
    await store.create([Birth(job=job(number)) for number in range(30)], None)
    await store.create([Birth(job=job(100 + number, owner="users/b")) for number in range(3)], None)

    first = await _claim(replicas[0], "h0", 6)
    rest = await asyncio.gather(*(_claim(replicas[number % 2], f"h{number}", 6) for number in range(12)))
    more = await _claim(replicas[0], "h", 100)

    assert Counter({"users/a": 3, "users/b": 3}) == Counter(found.owner for found in first)
    claimed = [found.job_id for found in (*first, *(found for each in rest for found in each), *more)]
    assert 33 == len(claimed) == len(set(claimed))
    assert [] == await replicas[0].queues()


async def test_only_so_many_of_a_target_are_claimed(both: list[Database]) -> None:
    """Whoever claims, and though both do at once."""
    store, replicas = PostgresStore(both[0]), [PostgresReplicas(each) for each in both]
    jobs = [job(number, target="agents/x", concurrency_limit=3) for number in range(10)]
    await store.create([Birth(job=each) for each in jobs], None)

    claimed = await asyncio.gather(*(_claim(replicas[number % 2], "h", 10) for number in range(6)))
    first = [found for each in claimed for found in each]
    await store.update(
        first[0].job_id, lambda found: Change(job=dataclasses.replace(found, state=State.FAILED, host_id=""))
    )
    more = await _claim(replicas[1], "h", 10)

    assert (3, 1) == (len(first), len(more))


async def test_a_duty_is_anothers_when_it_stands_still(both: list[Database]) -> None:
    """Who has it keeps it; who has seen it stand still takes it, and only one of them does."""
    one, other = (PostgresReplicas(each) for each in both)

    assert ("a", 1) == await one.take_duty("placing", "a", None)
    assert ("a", 1) == await other.take_duty("placing", "b", None)
    assert ("a", 2) == await one.take_duty("placing", "a", None)
    assert ("a", 2) == await other.take_duty("placing", "b", ("a", 1))
    assert ("b", 3) == await other.take_duty("placing", "b", ("a", 2))
    assert ("b", 3) == await one.take_duty("placing", "a", ("a", 2))
    await other.leave("b")
    assert ("a", 1) == await one.take_duty("placing", "a", None)


async def test_hosts_are_counted_by_whom_they_hang_on(both: list[Database]) -> None:
    """A replica that lost a host does not say that it lives."""
    one, other = (PostgresReplicas(each) for each in both)
    here, there = (Replica(runner_id=name, address=f"at-{name}", door="d") for name in "ab")
    await one.add_host("h", "demo")
    await one.attach_host("h", "a")
    await one.beat(here, ["h"])
    await other.beat(there, [])
    moved = await other.attach_host("h", "b")
    await one.beat(here, ["h"])

    assert moved is not None
    (row,) = await one.hosts()
    assert ("b", "at-b", moved.beats) == (row.runner_id, row.address, row.beats)
    assert await one.attach_host("unknown", "a") is None


@pytest.mark.parametrize("text", ["a\0b", "\ufdd0", "\x01", "é\U0010ffff"])
async def test_any_text_is_kept(both: list[Database], text: str) -> None:
    """As it was written, and what is asked for with it is not found rather than refused."""
    store = PostgresStore(both[0])
    await store.create(
        [Birth(job=job(1, result_json=text), events=(Event(kind="debug", payload=text, time=1.0),))], None
    )

    assert text == (await store.get(job(1).job_id)).result_json
    assert [text] == [event.payload for event in await store.events(job(1).job_id, 0, 10)]
    assert [] == await store.find(text, text, text, 10)
