"""What every store of definitions promises.  A new adapter adds itself to the fixture and nothing else."""

import dataclasses
import datetime
import pathlib
import sqlite3
from collections.abc import AsyncIterator

import pytest

from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists
from meshkit.idempotency import Request
from meshkit.secrets import KEY_BYTES, Vault
from meshkit.sqlite import Database
from services.registry.bootstraps import sealing
from services.registry.domain.agents import Agent, AgentState, AgentType, Memory, Model, ProviderKind
from services.registry.domain.crews import Crew, Process
from services.registry.domain.records import Record
from services.registry.domain.taskdefs import TaskDef
from services.registry.domain.tools import Tool, ToolAuth, ToolKind
from services.registry.ports.definitions import PAGE_BYTES_MAX, DefinitionStore, Transaction
from services.registry.stores import postgres
from services.registry.stores.memory_definitions import MemoryDefinitions
from services.registry.stores.sqlite import MIGRATIONS
from services.registry.stores.sqlite_definitions import SqliteDefinitions

NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456, datetime.UTC)
ADA, BOB = "users/ada", "users/bob"


VAULT = Vault(b"k" * KEY_BYTES)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[DefinitionStore]:
    """Every store keeps the same promises."""
    if request.param == "memory":
        yield MemoryDefinitions()
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place) as stores:
            yield stores[1]
        return
    database = Database(tmp_path / "registry.db", MIGRATIONS, sealing(VAULT))
    database.open()
    yield SqliteDefinitions(database)
    await database.close()


def agent(agent_id: str, owner: str = ADA, **fields: object) -> Agent:
    """Return an agent."""
    found = Agent(
        id=agent_id,
        owner=owner,
        created_at=NOON,
        updated_at=NOON,
        display_name=agent_id,
        slug=agent_id,
        state=AgentState.ACTIVE,
    )
    return dataclasses.replace(found, **fields)  # type: ignore[arg-type]  # names of fields, in tests


def crew(crew_id: str, *agents: str, owner: str = ADA, **fields: object) -> Crew:
    """Return a crew."""
    found = Crew(id=crew_id, owner=owner, created_at=NOON, updated_at=NOON, display_name=crew_id, agents=agents)
    return dataclasses.replace(found, **fields)  # type: ignore[arg-type]  # names of fields, in tests


def task(task_id: str, crew_id: str = "", owner: str = ADA, **fields: object) -> TaskDef:
    """Return a task definition."""
    found = TaskDef(id=task_id, owner=owner, created_at=NOON, updated_at=NOON, crew=crew_id, description="do")
    return dataclasses.replace(found, **fields)  # type: ignore[arg-type]  # names of fields, in tests


async def put(store: DefinitionStore, *records: Record) -> None:
    """Keep records in one write."""

    def work(tx: Transaction) -> None:
        for record in records:
            tx.put(record)

    await store.write(work)


WHOLE = (
    agent(
        "a",
        description="d\né😀",
        type=AgentType.DATA_ANALYST,
        model=Model(
            provider="p", model="m", kind=ProviderKind.CUSTOM, endpoint="http://e", temperature=0, max_tokens=1
        ),
        memory=Memory(enabled=True, window=3),
        tools=("calculator",),
        labels={"a": "b"},
        has_api_key=True,
        version=7,
        deleted_at=NOON,
        state=AgentState.ARCHIVED,
    ),
    crew("c", "a", "b", process=Process.HIERARCHICAL, manager=Model(provider="p"), memory=True, concurrency_limit=3),
    task("t", "c", agent="a", depends_on=("s",), context=("x", ""), tools=("calculator",), expected_output="y"),
    Tool(
        id="o",
        owner=ADA,
        created_at=NOON,
        updated_at=NOON,
        display_name="o",
        tool_kind=ToolKind.MCP,
        endpoint="http://e",
        auth=ToolAuth.BEARER,
        has_auth_token=True,
        needs_approval=True,
        enabled=False,
    ),
)


@pytest.mark.parametrize("record", WHOLE, ids=lambda record: record.kind)
async def test_a_record_comes_back_whole(store: DefinitionStore, record: Record) -> None:
    """Every field of every kind; for its owner and for whoever sees all, and for nobody else."""
    await put(store, record)
    found = await store.read(lambda tx: [tx.find(type(record), record.id, owner) for owner in (ADA, None, BOB)])
    missing = await store.read(lambda tx: tx.find(type(record), "none", None))

    assert found == [record, record, None]
    assert missing is None


async def test_handles_are_unique_among_an_owners_living(store: DefinitionStore) -> None:
    """What is archived keeps its own, and gives it away."""
    first = agent("a", slug="s")
    await put(store, first, agent("b", BOB, slug="s"))
    with pytest.raises(AlreadyExists):
        await put(store, agent("c"), agent("d", slug="s"))
    await put(store, dataclasses.replace(first, state=AgentState.ARCHIVED, deleted_at=NOON), agent("d", slug="s"))
    with pytest.raises(AlreadyExists):
        await put(store, first)
    found = await store.read(lambda tx: tx.find_handle(Agent, "s", ADA))
    other_kind = await store.read(lambda tx: tx.find_handle(Tool, "s", ADA))
    undone = await store.read(lambda tx: tx.find(Agent, "c", None))

    assert found is not None
    assert (found.id, other_kind, undone) == ("d", None, None)


async def test_what_raises_has_changed_nothing(store: DefinitionStore) -> None:
    """Records, secrets, totals and requests alike."""

    def work(tx: Transaction) -> None:
        tx.put(agent("b"))
        tx.put(agent("a", goal="changed"))
        tx.keep_secret("agents/a", "api_key", "k", b"2")
        tx.keep_request(Request(owner=ADA, request_id="r", body_hash="h", answer=b"x"))
        raise ValueError

    await put(store, agent("a"))
    await store.write(lambda tx: tx.keep_secret("agents/a", "api_key", "k", b"1"))
    with pytest.raises(ValueError):  # noqa: PT011  # it has no text
        await store.write(work)

    assert await store.read(lambda tx: tx.find(Agent, "a", None)) == agent("a")
    assert await store.read(lambda tx: tx.find(Agent, "b", None)) is None
    assert await store.read(lambda tx: tx.secret("agents/a", "api_key")) == b"1"
    assert await store.read(lambda tx: tx.count(Agent, ADA, ("ACTIVE",))) == 1
    assert await store.request(ADA, "r") is None


async def test_lists_are_newest_first_by_standing_and_owner(store: DefinitionStore) -> None:
    """Several standings are one order; a page ends at its limit, and says whether there is more."""
    states = [AgentState.ACTIVE, AgentState.DRAFT, AgentState.PAUSED, AgentState.ACTIVE]
    await put(store, *(agent(str(number), state=state) for number, state in enumerate(states)), agent("9", BOB))

    async def ids(owner: str | None, standings: tuple[str, ...], before: str = "", limit: int = 10) -> tuple[str, bool]:
        found, more = await store.read(lambda tx: tx.select(Agent, owner, standings, before, limit))
        return "".join(one.id for one in found), more

    assert await ids(ADA, ("ACTIVE", "DRAFT", "PAUSED")) == ("3210", False)
    assert await ids(None, ("ACTIVE", "DRAFT", "PAUSED"), limit=4) == ("9321", True)
    assert await ids(ADA, ("ACTIVE", "PAUSED"), limit=3) == ("320", False)
    assert await ids(ADA, ("ACTIVE", "PAUSED"), before="3", limit=1) == ("2", True)
    assert await ids(ADA, ("ARCHIVED",)) == ("", False)
    assert (await store.read(lambda tx: tx.select(Tool, ADA, ("ACTIVE",), "", 10))) == ([], False)


async def test_a_page_is_bounded_in_bytes(store: DefinitionStore) -> None:
    """At least one, and no more than fit."""
    long = "€" * (PAGE_BYTES_MAX // 9)  # three bytes each: a third of a page
    await put(store, *(agent(str(number), system_prompt=long) for number in range(4)))
    await put(store, agent("9", system_prompt="x" * (PAGE_BYTES_MAX + 1)))
    first, more = await store.read(lambda tx: tx.select(Agent, ADA, ("ACTIVE",), "", 10))
    second, rest = await store.read(lambda tx: tx.select(Agent, ADA, ("ACTIVE",), "9", 10))

    assert ([one.id for one in first], more) == (["9"], True)
    assert ([one.id for one in second], rest) == (["3", "2"], True)


async def test_totals_follow_every_change(store: DefinitionStore) -> None:
    """Additions, moves from one standing to another, changes that move nothing; of an owner, a crew, and all."""

    async def count(owner: str | None, *standings: str) -> int:
        return await store.read(lambda tx: tx.count(Agent, owner, standings))

    await put(store, agent("a"), agent("b", state=AgentState.DRAFT), agent("c", BOB))
    await put(store, agent("a", goal="x"), agent("b"))
    await put(store, agent("a", state=AgentState.ARCHIVED, deleted_at=NOON))
    await put(store, task("t", "c"), task("u"), task("v", "c", deleted_at=NOON))
    await put(store, task("u", "c"))
    chosen = (("ACTIVE",), ("ARCHIVED",), ("ACTIVE", "ARCHIVED"))
    crew_counts = await store.read(lambda tx: [tx.count_tasks("c", standings) for standings in chosen])

    assert (await count(ADA, "ACTIVE"), await count(ADA, "DRAFT"), await count(ADA, "ARCHIVED")) == (1, 0, 1)
    assert (await count(None, "ACTIVE"), await count(None, "ACTIVE", "ARCHIVED"), await count(BOB, "DRAFT")) == (
        2,
        3,
        0,
    )
    assert crew_counts == [2, 1, 3]


async def test_tasks_of_a_crew_are_in_order(store: DefinitionStore) -> None:
    """Those that live; in pages also the others; never those of no crew."""
    await put(store, task("3", "c"), task("1", "c"), task("2", "c", deleted_at=NOON), task("4", "d"), task("5"))
    living = await store.read(lambda tx: tx.tasks("c"))
    page = await store.read(lambda tx: tx.select_tasks("c", ("ACTIVE", "ARCHIVED"), "1", 1))
    loose = await store.read(lambda tx: tx.tasks(""))

    assert [one.id for one in living] == ["1", "3"]
    assert ([one.id for one in page[0]], page[1]) == (["2"], True)
    assert loose == []


async def test_the_first_crew_of_an_agent(store: DefinitionStore) -> None:
    """The oldest living one that it is of now."""
    await put(store, crew("1", "a"), crew("2", "a", "b"), crew("3", "b"))
    before = await store.read(lambda tx: [tx.first_crew(one) for one in ("a", "b", "c")])
    await put(store, crew("1", "a", deleted_at=NOON), crew("2", "a"))
    after = await store.read(lambda tx: [tx.first_crew(one) for one in ("a", "b")])

    assert before == ["1", "2", ""]
    assert after == ["2", "3"]


async def test_standings_of_agents(store: DefinitionStore) -> None:
    """Of those that exist."""
    await put(store, agent("a"), agent("b", state=AgentState.PAUSED))

    assert await store.read(lambda tx: tx.standings(["a", "b", "c"])) == {"a": "ACTIVE", "b": "PAUSED"}


async def test_secrets_are_replaced_and_forgotten(store: DefinitionStore) -> None:
    """Each by name and field."""
    await store.write(lambda tx: tx.keep_secret("agents/a", "api_key", "k", b"1"))
    await store.write(lambda tx: tx.keep_secret("agents/a", "api_key", "k", b"2"))
    await store.write(lambda tx: tx.keep_secret("crews/a", "api_key", "k", b"3"))
    replaced = await store.read(lambda tx: tx.secret("agents/a", "api_key"))
    await store.write(lambda tx: tx.forget_secret("agents/a", "api_key"))
    await store.write(lambda tx: tx.forget_secret("agents/a", "api_key"))

    assert replaced == b"2"
    assert await store.read(lambda tx: tx.secret("agents/a", "api_key")) is None
    assert await store.read(lambda tx: tx.secret("crews/a", "api_key")) == b"3"


async def test_a_request_is_kept_with_what_it_made(store: DefinitionStore) -> None:
    """Once: a second write of the same undoes itself."""
    request = Request(owner=ADA, request_id="r", body_hash="h", answer=b"x")

    def work(tx: Transaction) -> None:
        tx.put(agent("b"))
        tx.keep_request(request)

    await store.write(lambda tx: tx.keep_request(request))
    await store.write(lambda tx: tx.keep_request(None))
    with pytest.raises(AlreadyExists):
        await store.write(work)

    assert await store.request(ADA, "r") == request
    assert await store.read(lambda tx: tx.find(Agent, "b", None)) is None


async def test_lists_and_totals_scan_nothing_that_grows(tmp_path: pathlib.Path) -> None:
    """SQLite answers each from an index, in its order: no scan and no sorting."""
    database = Database(tmp_path / "registry.db", MIGRATIONS, sealing(VAULT))
    database.open()
    seen: list[str] = []

    def explain(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(seen.append)

    await database.write(explain)
    store = SqliteDefinitions(database)
    await put(store, agent("a"), crew("c", "a"), task("t", "c"))

    def ask(tx: Transaction) -> None:
        for owner in (ADA, None):
            tx.select(Agent, owner, ("ACTIVE", "DRAFT"), "z", 10)
            tx.count(Agent, owner, ("ACTIVE",))
        tx.select_tasks("c", ("ACTIVE",), "", 10)
        tx.tasks("c")
        tx.find_handle(Agent, "a", ADA)
        tx.find(Agent, "a", ADA)
        tx.first_crew("a")

    await store.write(ask)
    asked = [statement for statement in dict.fromkeys(seen) if statement.lstrip().startswith("SELECT")]

    def plans(connection: sqlite3.Connection) -> list[str]:
        return [row[3] for one in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]

    steps = await database.query(plans)
    await database.close()

    assert len(asked) >= 10
    assert not [step for step in steps if not step.startswith("SEARCH")]
