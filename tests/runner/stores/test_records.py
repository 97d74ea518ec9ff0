"""Conversations, memory and filters: every store keeps the same promises."""

import dataclasses
import pathlib
import sqlite3

import pytest

from meshkit import paging
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain import Birth, Change, Event, Job, Layer, Lock, Memory, Role, Said, State
from services.runner.domain.conversations import Conversation
from services.runner.domain.memories import SHORT_MAX
from services.runner.ports.store import EVENTS_BYTES_MAX, JobFilter, LockQuery, TooMuchStored
from services.runner.stores.sqlite import SqliteStore
from services.runner.stores.sqlite.schema import MIGRATIONS
from tests.runner.sealing import SEALING
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_stores import job


def conversation(number: int, owner: str = "users/a", at: float = 1.0) -> Conversation:
    """Return a conversation."""
    return Conversation(
        conversation_id=f"c{number}", owner=owner, title=f"T{number}", created_at=at, updated_at=at, last_message_at=at
    )


def said(number: int, role: Role, content: str, at: float, conversation_id: str = "c1") -> Said:
    """Return what a job says."""
    return Said(
        conversation=f"conversations/{conversation_id}", role=role, content=content, job_id=f"{number:024x}", at=at
    )


def memory(content: str, owner: str = "users/a", scope: str = "crews/c", layer: Layer = Layer.LONG) -> Memory:
    """Return a record."""
    return Memory(owner=owner, scope=scope, layer=layer, content=content, created_at=1.0)


async def test_a_job_speaks_in_the_write_that_changes_it(store: Store) -> None:
    """What is asked comes with the birth, what is answered with the end; both count."""
    await store.conversations.add(conversation(1), None)
    await store.create([Birth(job=job(1), said=(said(1, Role.USER, "why?", 2.0),))], None)
    await store.create([Birth(job=job(2), said=(said(2, Role.USER, "and?", 3.0),))], None)
    answer = said(1, Role.ASSISTANT, "so", 4.0)
    await store.update(job(1).job_id, lambda one: Change(job=one, said=(answer,)))

    known = await store.conversations.get("c1")
    messages = await store.conversations.messages("c1", -1, 10)

    assert (3, 2, 4.0) == (known.message_count, known.job_count, known.last_message_at)
    assert [(0, "why?"), (1, "and?"), (2, "so")] == [(one.number, one.content) for one in messages]
    assert ["and?", "so"] == [one.content for one in await store.conversations.messages("c1", 0, 10)]
    window = await store.conversations.last_messages("c1", job(2).job_id, 10)
    assert ["why?"] == [one.content for one in window]


async def test_a_deleted_conversation_hears_nothing(store: Store) -> None:
    """Its jobs go on; its messages are gone."""
    await store.conversations.add(conversation(1), None)
    await store.conversations.delete("c1")

    await store.create([Birth(job=job(1), said=(said(1, Role.USER, "why?", 2.0),))], None)

    with pytest.raises(NotFound):
        await store.conversations.get("c1")
    assert [] == await store.conversations.messages("c1", -1, 10)
    with pytest.raises(NotFound):
        await store.conversations.delete("c1")


async def test_conversations_are_found_by_owner_target_and_time(store: Store) -> None:
    """Those that were spoken in last come first."""
    for number in (1, 2, 3):
        await store.conversations.add(conversation(number, "users/a" if number < 3 else "users/b", at=number), None)
    target = {"target": "agents/x", "conversation": "conversations/c1"}
    await store.create([Birth(job=job(1, **target), said=(said(1, Role.USER, "hi", 9.0),))], None)

    async def ids(owner: str | None, target: str, before: tuple[float, str] | None) -> list[str]:
        return [one.conversation_id for one in await store.conversations.find(owner, target, before, 10)]

    assert ["c1", "c2"] == await ids("users/a", "", None)
    assert ["c1", "c3", "c2"] == await ids(None, "", None)
    assert ["c1"] == await ids("users/a", "agents/x", None)
    assert [] == await ids("users/b", "agents/x", None)
    assert ["c2"] == await ids("users/a", "", (9.0, "c1"))


async def test_a_conversation_is_changed_in_one_step(store: Store) -> None:
    """What the rule returns is kept; counts are not its to change."""
    request = Request(owner="users/a", request_id="r", body_hash="h", answer=b"c1")
    await store.conversations.add(conversation(1), request)

    changed = await store.conversations.update("c1", lambda one: dataclasses.replace(one, title="New", active=False))

    assert ("New", False) == (changed.title, changed.active)
    assert changed == await store.conversations.get("c1")
    with pytest.raises(AlreadyExists):
        await store.conversations.add(conversation(2), request)


async def test_memory_is_found_by_words_and_by_what_records_share(store: Store) -> None:
    """A record with words of the query has a lexical rank, one that only shares rare words with it a graph rank."""
    for text in (
        "Zebras graze near Amboseli in Kenya",
        "Amboseli has elephants and a swamp",
        "Invoices are paid on Fridays",
    ):
        await store.memories.add(memory(text), None)

    hits = await store.memories.search("users/a", "crews/c", None, "Where do zebras graze?", 5)

    assert ["Zebras graze near Amboseli in Kenya", "Amboseli has elephants and a swamp"] == [
        hit.record.content for hit in hits
    ]
    assert [(1, 0), (0, 1)] == [(hit.lexical_rank, hit.graph_rank) for hit in hits]
    assert hits[0].score == 1 / 61


async def test_memory_of_another_owner_or_scope_does_not_exist(store: Store) -> None:
    """Two owners and two crews say the same words; each is shown its own, and clears its own."""
    for owner in ("users/a", "users/b"):
        for scope in ("crews/c", "crews/d"):
            await store.memories.add(memory(f"zebra of {owner} in {scope}", owner, scope), None)

    hits = await store.memories.search("users/a", "crews/c", None, "zebra", 10)
    listed = await store.memories.find("users/a", "crews/c", None, 0, 10)
    cleared = await store.memories.clear("users/a", "crews/c", None)

    assert ["zebra of users/a in crews/c"] == [hit.record.content for hit in hits]
    assert ["zebra of users/a in crews/c"] == [record.content for record in listed]
    assert 1 == cleared
    assert 1 == len(await store.memories.find("users/b", "crews/c", None, 0, 10))
    assert None is await store.memories.get("users/b", listed[0].number)


async def test_clearing_says_how_many_and_of_which_layer(store: Store) -> None:
    """Only the layer that was named goes."""
    for layer in (Layer.SHORT, Layer.SHORT, Layer.LONG):
        await store.memories.add(memory("zebra", layer=layer), None)

    assert 2 == await store.memories.clear("users/a", "crews/c", Layer.SHORT)
    assert 0 == await store.memories.clear("users/a", "crews/c", Layer.SHORT)
    assert [Layer.LONG] == [one.layer for one in await store.memories.find("users/a", "crews/c", None, 0, 10)]


async def test_the_short_layer_forgets_the_oldest(store: Store) -> None:
    """It is bounded."""
    for number in range(SHORT_MAX + 3):
        await store.memories.add(memory(f"thing {number}", layer=Layer.SHORT), None)

    kept = await store.memories.find("users/a", "crews/c", Layer.SHORT, 0, SHORT_MAX + 10)

    assert SHORT_MAX == len(kept)
    assert "thing 3" == kept[-1].content


async def test_what_a_job_remembers_comes_with_its_write(store: Store) -> None:
    """A change of a job carries records."""
    await store.create([Birth(job=job(1))], None)

    await store.update(job(1).job_id, lambda one: Change(job=one, remembered=(memory("zebra"),)))

    assert ["zebra"] == [one.content for one in await store.memories.find("users/a", "crews/c", None, 0, 10)]


async def test_cleared_memory_is_not_in_the_file(tmp_path: pathlib.Path) -> None:
    """What was cleared is in no page of the database, nor in its log."""
    database = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
    database.open()
    store = SqliteStore(database)
    for number in range(50):
        await store.memories.add(memory(f"xylophonecanary number {number} of many"), None)

    await store.memories.clear("users/a", "crews/c", None)

    assert not _holding(tmp_path, b"xylophonecanary")
    await database.close()


def _holding(folder: pathlib.Path, text: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("runner.db") and text in path.read_bytes()]


async def test_jobs_are_filtered_by_target_state_and_conversation(store: Store) -> None:
    """Filters narrow each other; a kind of target is a filter too."""
    kept = [
        job(1, target="agents/x"),
        job(2, target="agents/y", conversation="conversations/c1"),
        job(3, target="crews/z", state=State.RUNNING),
        job(4, target="flows/demo"),
        job(5, target="agents/x", owner="users/b"),
    ]
    for one in kept:
        await store.create([Birth(job=one)], None)

    async def found(owner: str | None = "users/a", **only: object) -> list[int]:
        jobs = await store.find(owner, "", "", 10, JobFilter(**only))  # type: ignore[arg-type]
        return [int(one.job_id, 16) for one in jobs]

    assert [2, 1] == await found(targets=("agents/-",))
    assert [1] == await found(targets=("agents/x",))
    assert [3, 1] == await found(targets=("agents/x", "crews/-"))
    assert [5, 2, 1] == await found(None, targets=("agents/-",))
    assert [3] == await found(states=(State.RUNNING, State.STARTING))
    assert [2] == await found(conversation="conversations/c1")
    assert [] == await found(targets=("agents/x",), states=(State.RUNNING,))
    assert {("agents/x", State.QUEUED): 1} == await store.count("users/a", ["agents/x", "agents/none"])
    assert {("agents/x", State.QUEUED): 2} == await store.count(None, ["agents/x"])


async def test_briefs_and_events_of_a_kind(store: Store) -> None:
    """A brief is kept beside its job and goes with it; events are found by their kind."""
    events = tuple(Event(kind=kind, payload=kind, time=1.0) for kind in ("step", "debug", "step"))
    await store.create([Birth(job=job(1), events=events, brief=b"brief")], None)

    assert b"brief" == await store.brief(job(1).job_id)
    assert [1, 3] == [event.seq for event in await store.events_of(job(1).job_id, ("step", "span"))]
    await store.delete(job(1).job_id, 0.0)
    assert b"" == await store.brief(job(1).job_id)


async def test_jobs_that_wait_for_another_attempt(store: Store) -> None:
    """They are found, the others are not."""
    for number, state in enumerate((State.RETRYING, State.RUNNING, State.RETRYING), start=1):
        await store.create([Birth(job=job(number, state=state))], None)

    found = await store.retrying_jobs("", 10)
    assert [1, 3] == [int(one.job_id, 16) for one in found]
    assert (found[:1], found[1:]) == (await store.retrying_jobs("", 1), await store.retrying_jobs(job(1).job_id, 10))


async def test_jobs_are_found_at_their_deadlines(store: Store) -> None:
    """The first first; not those that have ended, are being stopped, or may take as long as they like."""
    born = {1: (9.0, State.RUNNING), 2: (5.0, State.QUEUED), 3: (1.0, State.STOPPING), 4: (2.0, State.FAILED)}
    for number, (at, state) in born.items():
        await store.create([Birth(job=job(number, state=state, deadline_at=at))], None)
    await store.create([Birth(job=job(5))], None)

    assert [2] == [int(job_id, 16) for job_id in await store.late_jobs(8.0, 10)]
    assert [2, 1] == [int(job_id, 16) for job_id in await store.late_jobs(9.0, 10)]
    assert [2] == [int(job_id, 16) for job_id in await store.late_jobs(9.0, 1)]
    assert 5.0 == await store.next_deadline()
    await store.delete(job(2).job_id, 1.0)
    await store.delete(job(1).job_id, 1.0)
    assert await store.next_deadline() is None


async def test_what_is_sealed_of_a_step_is_kept_beside_it(store: Store) -> None:
    """Only whoever asks for events of a kind gets it."""
    await store.create([Birth(job=job(1))], None)
    step = Event(kind="step", payload="masked", time=2.0, sealed=b"whole")
    await store.update(job(1).job_id, lambda job: Change(job=job, events=(step,)))

    (found,) = await store.events_of(job(1).job_id, ("step",))

    assert (b"whole", "masked") == (found.sealed, found.payload)


async def test_what_is_large_comes_in_shorter_pages(store: Store) -> None:
    """A store reads no more than fits on a page, and one more that says that there is more: locks, messages, memory."""
    third = "é" * (paging.PAGE_BYTES_MAX // 6)
    await store.conversations.add(conversation(1), None)
    words = tuple(said(1, Role.USER, third, 2.0) for _ in range(6))
    await store.create([Birth(job=job(1), said=words)], None)
    locks = tuple(
        Lock(
            lock_id=str(number),
            job_id=job(1).job_id,
            owner="users/a",
            title="t",
            elements_json=third,
            data_json="{}",
            created_at=float(number),
            expires_at=100.0,
        )
        for number in range(6)
    )
    notes = tuple(memory(third) for _ in range(6))
    await store.update(job(1).job_id, lambda found: Change(job=found, opened=locks, remembered=notes))

    assert [0, 1, 2] == [message.number for message in await store.conversations.messages("c1", -1, 10)]
    assert [3, 4, 5] == [message.number for message in await store.conversations.messages("c1", 2, 10)]
    assert ["5", "4", "3"] == [lock.lock_id for lock in await store.find_locks(LockQuery(), 10)]
    assert ["0", "1", "2", "3", "4", "5"] == await store.pending_locks("users/a")
    assert [6, 5, 4] == [record.number for record in await store.memories.find("users/a", "crews/c", None, 0, 10)]


async def test_events_of_a_kind_are_read_up_to_a_bound(store: Store) -> None:
    """A log may have any number of large steps and spans: what is behind the bound is left out."""
    large = "x" * (EVENTS_BYTES_MAX // 8)
    events = tuple(Event(kind="span", payload=large, time=1.0) for _ in range(12))
    await store.create([Birth(job=job(1), events=events)], None)

    assert list(range(1, 9)) == [event.seq for event in await store.events_of(job(1).job_id, ("span",))]


async def test_what_an_owner_keeps_is_counted(store: Store) -> None:
    """Inputs, log, result, locks, conversations and memory: bytes of UTF-8 and a little for each row; it all goes."""
    euro, row = "€" * 1000, 100
    await store.conversations.add(conversation(1), None)
    asked = (Event(kind="inputs", payload=euro, time=1.0),)
    born = dataclasses.replace(job(1), inputs_json=euro, meta_json="", owner="users/a")
    await store.create([Birth(job=born, events=asked, said=(said(1, Role.USER, euro, 2.0),), brief=b"x" * 10)], None)
    first = 1000 + (row + 3000) + (row + 3000 + 10) + (row + 6 + 3000)
    assert first == await store.stored_bytes("users/a")

    lock = Lock(
        lock_id="1",
        job_id=born.job_id,
        owner="users/a",
        title="t",
        elements_json=euro,
        data_json="{}",
        created_at=1.0,
        expires_at=9.0,
    )
    await store.update(
        born.job_id,
        lambda found: Change(
            job=dataclasses.replace(found, result_json=euro),
            events=(Event(kind="debug", payload="", time=2.0, detail=euro),),
            opened=(lock,),
            remembered=(memory(euro), memory("b", owner="users/b")),
        ),
    )
    await store.update(born.job_id, lambda found: Change(job=found))
    more = 3000 + (row + 5 + 3000) + (row + 1 + 3000 + 2) + (row + 3000)
    assert first + more == await store.stored_bytes("users/a")
    assert row + 1 == await store.stored_bytes("users/b")

    with pytest.raises(TooMuchStored):
        await store.create([Birth(job=job(2))], None, stored_max=first + more)
    await store.create([Birth(job=job(2))], None, stored_max=first + more + 1)

    await store.delete(born.job_id, 5.0)
    await store.delete(job(2).job_id, 5.0)
    await store.conversations.delete("c1")
    assert 1 == await store.memories.clear("users/a", "crews/c", None)
    assert 0 == await store.stored_bytes("users/a")


async def test_only_so_much_short_memory_is_counted(store: Store) -> None:
    """What makes room for newer records counts no more."""
    await store.create([Birth(job=job(1))], None)
    before = await store.stored_bytes("users/a")
    notes = tuple(memory("x", layer=Layer.SHORT) for _ in range(SHORT_MAX + 50))

    await store.update(job(1).job_id, lambda found: Change(job=found, remembered=notes))

    assert before + SHORT_MAX * 101 == await store.stored_bytes("users/a")


async def test_what_was_kept_before_it_was_counted_is_counted(tmp_path: pathlib.Path) -> None:
    """A file of the version before is migrated to the same numbers."""
    number = next(n for n, script in enumerate(MIGRATIONS) if "CREATE TABLE stored_bytes" in script)
    old = sqlite3.connect(tmp_path / "runner.db", isolation_level=None)
    for script in MIGRATIONS[:number]:
        old.executescript(script)
    old.execute(f"PRAGMA user_version={number}")
    born = dataclasses.replace(job(1), inputs_json="é" * 50)
    columns = {row[1] for row in old.execute("PRAGMA table_info(jobs)")}
    names = [field.name for field in dataclasses.fields(Job) if field.name in columns]
    values = [" ".join(value) if isinstance(value := getattr(born, name), tuple) else value for name in names]
    old.execute(f"INSERT INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)
    old.execute("INSERT INTO events VALUES (?, 1, 'debug', 1.0, 'ü', 'd')", (born.job_id,))
    old.execute("INSERT INTO memories VALUES (1, 'users/a', 'crews/c', 'long', 'é', 'fact', '', 0.5, '', 1.0)")
    old.close()

    database = Database(tmp_path / "runner.db", MIGRATIONS, SEALING)
    database.open()
    try:
        store = SqliteStore(database)
        assert 100 + 100 + 2 + (100 + 5 + 2 + 1) + (100 + 2) == await store.stored_bytes("users/a")
        await store.delete(born.job_id, 5.0)
        assert 102 == await store.stored_bytes("users/a")
    finally:
        await database.close()


async def test_long_jobs_are_cut_where_a_list_asks_for_it(store: Store) -> None:
    """More than a page of them, whole; all on one page, cut; found by what was cut off all the same."""
    long = "x" * (paging.PAGE_BYTES_MAX // 3)
    for number in range(1, 7):
        await store.create([Birth(job=job(number, inputs_json=f'{{"a":"{long}"}}', error=f"needle {long}"))], None)

    whole = await store.find("users/a", "", "", 10)
    cut = await store.find("users/a", "needle", "", 10, text_bytes_max=1000)

    assert [6, 5] == [int(found.job_id) for found in whole]
    assert [6, 5, 4, 3, 2, 1] == [int(found.job_id) for found in cut]
    assert all(len(found.inputs_json) < 1000 and len(found.error) < 1100 for found in cut)
