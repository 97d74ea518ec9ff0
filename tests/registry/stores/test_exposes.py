"""What every store of exposes promises.  A new adapter adds itself to the fixture and nothing else."""

import dataclasses
import datetime
import pathlib
from collections.abc import AsyncIterator

import pytest

from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from meshkit.secrets import KEY_BYTES, Vault
from meshkit.sqlite import Database
from services.registry.bootstraps import sealing
from services.registry.domain.exposes import Expose, FlowMeta, FoundFlow
from services.registry.ports.exposes import ExposeStore
from services.registry.stores import postgres
from services.registry.stores.memory import MemoryStore
from services.registry.stores.sqlite import MIGRATIONS, SqliteStore

NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456, datetime.UTC)


VAULT = Vault(b"k" * KEY_BYTES)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[ExposeStore]:
    """Every store keeps the same promises."""
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place) as stores:
            yield stores[0]
        return
    database = Database(tmp_path / "registry.db", MIGRATIONS, sealing(VAULT))
    database.open()
    yield SqliteStore(database)
    await database.close()


def expose(name: str) -> Expose:
    """Return an expose with something in every field."""
    return Expose(
        name=name,
        display_name="Ünïcode",
        network="Preprod",
        enabled=False,
        bootstrap="import_path: a:b\n",
        meta=(FlowMeta(url="/x/", data="a: 1", enabled=False, state="alive", heartbeat_at=NOON), FlowMeta(url="/x/y")),
        created_at=NOON,
        updated_at=NOON + datetime.timedelta(days=1),
        flows=(
            FoundFlow(path="/", tags=("a", "b"), author="A", organization="O", version="1", deprecated=False),
            FoundFlow(path="/y", method="POST", summary="S", description="D", alive=True),
            FoundFlow(path="/z", elements_json="[]", input_schema_json="{}"),
        ),
        booted_etag="1.5",
        failure="because",
        sealed="00ff",
    )


def asked(answer: str) -> Request:
    """Return a request that has been answered."""
    return Request(owner="users/1", request_id="one", body_hash="hash", answer=answer.encode())


async def put(store: ExposeStore, wanted: Expose, original: str = "") -> Expose:
    """Keep `wanted`, whatever is stored."""
    return await store.put(wanted.name, original, lambda stored: wanted)


async def test_what_is_put_is_read_back(store: ExposeStore) -> None:
    """Every field comes back as it was."""
    minimal = Expose(name="b", created_at=NOON, updated_at=NOON)
    await put(store, expose("a"))
    await put(store, minimal)

    assert await store.get("a") == expose("a")
    assert await store.get("b") == minimal


async def test_a_decision_sees_what_is_stored(store: ExposeStore) -> None:
    """None for a new name, the stored expose for a known one."""
    seen: list[Expose | None] = []

    def decide(stored: Expose | None) -> Expose:
        seen.append(stored)
        return expose("a")

    await store.put("a", "", decide)
    await store.put("a", "a", decide)

    assert seen == [None, expose("a")]


async def test_a_decision_that_raises_changes_nothing(store: ExposeStore) -> None:
    """The error comes out, and the stored expose stands."""
    await put(store, expose("a"))

    def refuse(stored: Expose | None) -> Expose:
        raise AlreadyExists("no")

    with pytest.raises(AlreadyExists):
        await store.put("b", "a", refuse)

    assert [item.name for item in await store.select()] == ["a"]


async def test_renaming(store: ExposeStore) -> None:
    """The old name is free afterwards; a taken or unknown name is refused."""
    await put(store, expose("a"))
    await put(store, expose("b"))

    with pytest.raises(AlreadyExists):
        await put(store, expose("b"), original="a")
    with pytest.raises(NotFound):
        await put(store, expose("d"), original="nobody")
    await put(store, expose("c"), original="a")

    assert [item.name for item in await store.select()] == ["b", "c"]


async def test_a_request_is_kept_with_what_it_made(store: ExposeStore) -> None:
    """It is found by its caller and id; made again it is refused, and what it would have changed stands."""
    await store.put("a", "", lambda stored: expose("a"), lambda made: asked(made.bootstrap))
    with pytest.raises(AlreadyExists):
        await store.put(
            "a", "", lambda stored: dataclasses.replace(expose("a"), bootstrap="other"), lambda made: asked("other")
        )

    assert await store.request("users/1", "one") == asked("import_path: a:b\n")
    assert await store.request("users/2", "one") is None
    assert await store.get("a") == expose("a")


async def test_a_request_that_is_refused_is_not_kept(store: ExposeStore) -> None:
    """There is never one without its effect."""
    with pytest.raises(NotFound):
        await store.put("b", "nobody", lambda stored: expose("b"), lambda made: asked("b"))

    assert await store.request("users/1", "one") is None


async def test_changing(store: ExposeStore) -> None:
    """A change sees and replaces what is stored; without anything stored it is refused."""
    await put(store, expose("a"))

    changed = await store.change("a", lambda stored: dataclasses.replace(stored, failure=stored.failure + "!"))
    with pytest.raises(NotFound):
        await store.change("nobody", lambda stored: stored)

    assert changed.failure == "because!"
    assert await store.get("a") == changed


async def test_selecting(store: ExposeStore) -> None:
    """By name, behind a name, up to a limit."""
    for name in ("c", "a", "b_", "b-1", "b"):
        await put(store, expose(name))

    assert [item.name for item in await store.select()] == ["a", "b", "b-1", "b_", "c"]
    assert [item.name for item in await store.select(after="b", limit=2)] == ["b-1", "b_"]
    assert [item.name for item in await store.select(after="bb")] == ["c"]


async def test_deleting(store: ExposeStore) -> None:
    """What is deleted is absent; what is absent cannot be deleted or read."""
    await put(store, expose("a"))
    await store.delete("a")

    with pytest.raises(NotFound):
        await store.delete("a")
    with pytest.raises(NotFound):
        await store.get("a")
