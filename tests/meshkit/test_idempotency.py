"""A create that is sent twice is carried out once, in stores of either kind."""

import asyncio
import pathlib
import sqlite3
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import lock_pb2

from meshkit.errors import AlreadyExists, FailedPrecondition, Invalid, Unavailable
from meshkit.idempotency import KEPT_S, MemoryRequests, Request, ask, asked, digest, once
from meshkit.principal import Principal, acting
from meshkit.sqlite import Database, requests

NOW = 1_000_000.0
KEY = b"k" * 32


class Notes(Protocol):
    """A store of notes, whose texts are unique."""

    texts: list[str]
    """What `add` was asked to add, whatever became of it."""

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request."""

    async def add(self, text: str, request: Request | None, now: float = NOW) -> None:
        """Add a note; raise `FailedPrecondition` if there is one with this text."""

    async def count(self) -> int:
        """Return how many there are."""


class MemoryNotes:
    """Notes in memory."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._kept: set[str] = set()
        self._requests = MemoryRequests()

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request."""
        return self._requests.find(owner, request_id)

    async def add(self, text: str, request: Request | None, now: float = NOW) -> None:
        """Add a note."""
        self.texts.append(text)
        if text in self._kept:
            raise FailedPrecondition("there is such a note")
        self._requests.keep(request, now)
        self._kept.add(text)

    async def count(self) -> int:
        """Return how many there are."""
        return len(self._kept)


class SqliteNotes:
    """Notes in a file."""

    def __init__(self, database: Database) -> None:
        self.texts: list[str] = []
        self._db = database

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request."""
        return await self._db.read(lambda connection: requests.find(connection, owner, request_id))

    async def add(self, text: str, request: Request | None, now: float = NOW) -> None:
        """Add a note."""
        self.texts.append(text)

        def work(connection: sqlite3.Connection) -> None:
            if not connection.execute("INSERT OR IGNORE INTO notes VALUES (?)", (text,)).rowcount:
                raise FailedPrecondition("there is such a note")
            requests.keep(connection, request, now)

        await self._db.write(work)

    async def count(self) -> int:
        """Return how many there are."""
        rows = await self._db.read(lambda connection: connection.execute("SELECT count(*) FROM notes").fetchone())
        return int(rows[0])


@pytest_asyncio.fixture(params=["memory", "sqlite"])
async def notes(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[Notes]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryNotes()
        return
    database = Database(tmp_path / "notes.db", [requests.MIGRATION, "CREATE TABLE notes (text PRIMARY KEY)"])
    database.open()
    yield SqliteNotes(database)
    await database.close()


async def create(notes: Notes, text: str, request_id: str, owner: str = "users/u1") -> bytes:
    """Add a note; the answer is its number."""
    request = asked(request_id, text, owner=owner)

    async def make() -> bytes:
        answer = f"{text} {len(notes.texts)}".encode()
        await asyncio.sleep(0)
        await notes.add(text, request.answered(answer) if request is not None else None)
        return answer

    return await once(notes, request, make)


async def test_the_same_request_gets_the_same_answer(notes: Notes) -> None:
    """And makes nothing."""
    first = await create(notes, "a", "r1")
    again = await create(notes, "a", "r1")

    assert first == again
    assert notes.texts == ["a"]


async def test_a_write_whose_commit_was_lost_is_answered_if_it_stands(notes: Notes) -> None:
    """The store cannot say; the request that was kept with the effect can.  What does not stand is told as it is."""
    request = asked("r1", "a", owner="users/u1")
    assert request is not None

    async def lost(*, stands: bool) -> bytes:
        if stands:
            await notes.add("a", request.answered(b"kept"))
        raise Unavailable("the database was lost while it wrote, and may have written it")

    with pytest.raises(Unavailable):
        await once(notes, request, lambda: lost(stands=False))
    answers = [await once(notes, request, lambda: lost(stands=True)) for _ in range(2)]

    assert [b"kept"] * 2 == answers
    assert ["a"] == notes.texts


async def test_thirty_at_once_get_one_answer(notes: Notes) -> None:
    """The first to be written counts, for all of them."""
    answers = await asyncio.gather(*(create(notes, "a", "r1") for _ in range(30)))

    assert len(set(answers)) == 1
    assert await notes.count() == 1


async def test_an_id_is_for_one_body(notes: Notes) -> None:
    """Another body is the caller's mistake, and nothing is made of it."""
    await create(notes, "a", "r1")
    with pytest.raises(Invalid) as caught:
        await create(notes, "b", "r1")

    assert list(caught.value.fields) == ["request_id"]
    assert await notes.count() == 1


async def test_ids_of_different_callers_do_not_meet(notes: Notes) -> None:
    """Nobody can read another's answer by guessing an id."""
    await create(notes, "a", "r1", owner="users/u1")
    await create(notes, "b", "r1", owner="users/u2")

    assert await notes.count() == 2


async def test_without_an_id_each_request_is_another(notes: Notes) -> None:
    """It is refused as it would be without all this."""
    await create(notes, "a", "")
    with pytest.raises(FailedPrecondition):
        await create(notes, "a", "")


async def test_what_was_refused_may_be_tried_again(notes: Notes) -> None:
    """Only what has been carried out is remembered."""
    await create(notes, "a", "r1")
    with pytest.raises(FailedPrecondition):
        await create(notes, "a", "r2")

    assert await notes.request("users/u1", "r2") is None
    assert (await create(notes, "b", "r2")).startswith(b"b")


async def test_a_request_is_kept_with_its_effect_or_not_at_all(notes: Notes) -> None:
    """The second write of one request is undone as a whole."""
    request = asked("r1", "body", owner="users/u1")
    assert request is not None
    await notes.add("a", request)
    with pytest.raises(AlreadyExists):
        await notes.add("b", request)

    assert await notes.count() == 1


async def test_requests_are_forgotten_after_a_day(notes: Notes) -> None:
    """Later nobody repeats one; the next that is kept sweeps."""
    old, new = asked("r1", "old", owner="users/u1"), asked("r2", "new", owner="users/u1")
    await notes.add("a", old, NOW)
    await notes.add("b", new, NOW + KEPT_S - 1)
    assert await notes.request("users/u1", "r1") is not None
    await notes.add("c", asked("r3", "newest", owner="users/u1"), NOW + KEPT_S + 1)

    assert await notes.request("users/u1", "r1") is None
    assert await notes.request("users/u1", "r2") == new


def test_an_id_has_a_size() -> None:
    """It is a key of a table."""
    assert asked("x" * 256, "body", owner="users/u1") is not None
    with pytest.raises(Invalid) as caught:
        asked("x" * 257, "body", owner="users/u1")

    assert list(caught.value.fields) == ["request_id"]


def test_a_message_asks_for_itself() -> None:
    """Everything in it counts but its id, and the caller is the one who asks."""
    message = lock_pb2.AnswerLockRequest(name="locks/1", request_id="r1")
    with acting(Principal(user="users/u1")):
        first = ask(message)
        renamed = ask(lock_pb2.AnswerLockRequest(name="locks/1", request_id="r2"))
        other = ask(lock_pb2.AnswerLockRequest(name="locks/2", request_id="r1"))
        sealed = ask(message, KEY)
    with acting(Principal(service="runner")):
        from_service = ask(message)
    assert first is not None
    assert renamed is not None
    assert other is not None
    assert sealed is not None
    assert from_service is not None

    assert (first.owner, first.request_id) == ("users/u1", "r1")
    assert from_service.owner == "services/runner"
    assert first.body_hash == renamed.body_hash
    assert len({first.body_hash, other.body_hash, sealed.body_hash}) == 3
    assert ask(lock_pb2.AnswerLockRequest(name="locks/1")) is None


def test_a_digest_knows_where_its_parts_end() -> None:
    """And with a key it is nobody's but its owner's to make."""
    assert digest("ab", "c") == digest(b"ab", b"c")
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("abc", ""), digest("abc", key=KEY)}) == 5
