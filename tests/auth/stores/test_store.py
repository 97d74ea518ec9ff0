"""Every auth store keeps the same promises."""

import asyncio
import contextlib
import dataclasses
import datetime
import itertools
import pathlib
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit import postgres as postgres_database
from meshkit.clock import micros
from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound, Unauthenticated
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.auth import domain
from services.auth.clock import StrictClock
from services.auth.domain import ApiKey, Revocation, Session, Tier, User, UserChange
from services.auth.ports.store import AuthStore, Issued, Reuse
from services.auth.stores import postgres
from services.auth.stores.memory import MemoryStore
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore

NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
numbers = itertools.count()


class Wall:
    """A clock on the wall that the test sets."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime.datetime:
        """Return what it shows."""
        return self.time


@pytest.fixture
def wall() -> Wall:
    """A clock that stands still until the test moves it."""
    return Wall()


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path, wall: Wall) -> AsyncIterator[AuthStore]:
    """Each kind of store, empty."""
    if request.param == "memory":
        yield MemoryStore(StrictClock(wall))
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place, StrictClock(wall)) as kept:
            yield kept
        return
    database = Database(tmp_path / "auth.db", MIGRATIONS)
    database.open()
    yield SqliteStore(database, StrictClock(wall))
    await database.close()


async def revoked_in(store: AuthStore) -> list[Revocation]:
    """Return what must fail now, in the order of the store."""
    return [revocation for _, revocation in await store.revocations(0, 1000)]


def user(login: str = "ada", *, operator: bool = False, email: str = "", active: bool = True) -> User:
    """Return a user with an id of their own."""
    return User(
        user_id=f"00000000-0000-4000-8000-{next(numbers):012}",
        login=login,
        email=email or f"{login}@example.com",
        password_hash="hash",
        active=active,
        operator=operator,
        tier=Tier.PRO,
        created_at=NOON + datetime.timedelta(microseconds=123_457),
    )


async def added(store: AuthStore, login: str = "ada", *, operator: bool = False) -> User:
    """Return a user that the store has."""
    who = user(login, operator=operator)
    await store.add_user(who)
    return who


def session(who: User, session_id: str = "s1", ttl_s: int = 900) -> Session:
    """Return a session to start; its refresh token's hash is `{session_id}-0`."""
    return Session(
        session_id=session_id,
        user_id=who.user_id,
        token_hash=f"{session_id}-0",
        access_ttl_s=ttl_s,
        created_at=NOON,
        issued_at=NOON,
        used_at=NOON,
        expires_at=NOON,
        client="curl/8",
        address="192.0.2.7",
    )


async def test_a_user_comes_back_as_they_went_in(store: AuthStore) -> None:
    """By id, by login and by e-mail address."""
    assert not await store.has_users()
    ada = await added(store)

    assert ada == await store.get_user(ada.user_id)
    assert ada == await store.find_user("ada")
    assert ada == await store.find_user_by_email(ada.email.upper())
    assert await store.has_users()


async def test_an_absent_user_is_not_found(store: AuthStore) -> None:
    """By id, by login, for a change and for a deletion."""
    await added(store)
    for attempt in (
        store.get_user("no"),
        store.find_user("no"),
        store.find_user("ADA"),
        store.find_user("ada\0"),
        store.get_user("\0"),
        store.find_user_by_email("ada"),
        store.update_user("no", UserChange(login="x")),
        store.delete_user("no"),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize(("login", "email"), [("ada", "x@example.com"), ("eve", "Ada@Example.COM")])
async def test_logins_and_emails_are_unique(store: AuthStore, login: str, email: str) -> None:
    """On adding and on changing; an e-mail in any case of letters."""
    ada = await added(store)
    bob = await added(store, "bob")
    with pytest.raises(AlreadyExists):
        await store.add_user(user(login, email=email))
    change = UserChange(login=login, email=email)
    with pytest.raises(AlreadyExists):
        await store.update_user(bob.user_id, change)

    assert bob == await store.get_user(bob.user_id)
    changed, _ = await store.update_user(ada.user_id, change)
    assert (changed.login, changed.email) == (login, email)


async def test_of_two_who_want_a_name_one_gets_it(store: AuthStore) -> None:
    """However close together they come."""
    outcomes = await asyncio.gather(*(store.add_user(user()) for _ in range(10)), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyExists"] * 9 + ["NoneType"]


async def test_users_are_listed_by_login(store: AuthStore) -> None:
    """A page at a time, in the order of the code points."""
    logins = ["Zoe", "ada", "bob", "eve", "Ängström", "名前"]
    for login in reversed(logins):
        await store.add_user(user(login, email=f"{next(numbers)}@example.com"))
    first = await store.list_users("", 4)
    rest = await store.list_users(first[-1].login, 4)

    assert [who.login for who in first + rest] == ["Zoe", "ada", "bob", "eve", "Ängström", "名前"]


async def test_a_change_leaves_the_rest(store: AuthStore) -> None:
    """What is not named stays."""
    ada = await added(store)
    changed, revocation = await store.update_user(ada.user_id, UserChange(tier=Tier.ENTERPRISE, operator=True))

    expected = UserChange(tier=Tier.ENTERPRISE, operator=True).applied_to(ada)
    assert expected == changed == await store.get_user(ada.user_id)
    assert revocation is None
    assert await revoked_in(store) == []


@pytest.mark.parametrize("change", [UserChange(active=False), UserChange(operator=False)])
async def test_the_last_active_operator_stays(store: AuthStore, change: UserChange) -> None:
    """Whoever else there is; nothing of a refused change is left."""
    ada = await added(store, operator=True)
    await added(store, "bob")
    eve = await added(store, "eve", operator=True)
    await store.update_user(eve.user_id, UserChange(active=False))
    revoked = await revoked_in(store)
    with pytest.raises(FailedPrecondition):
        await store.update_user(ada.user_id, change)
    with pytest.raises(FailedPrecondition):
        await store.delete_user(ada.user_id)

    assert ada == await store.get_user(ada.user_id)
    assert revoked == await revoked_in(store)
    await store.update_user(eve.user_id, UserChange(active=True))
    await store.update_user(ada.user_id, change)


async def test_two_operators_cannot_remove_each_other(store: AuthStore) -> None:
    """Not even at the same moment."""
    pair = [await added(store, "ada", operator=True), await added(store, "bob", operator=True)]
    outcomes = await asyncio.gather(*(store.delete_user(who.user_id) for who in pair), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["FailedPrecondition", "Revocation"]


async def test_a_session_is_stamped_by_the_store(store: AuthStore, wall: Wall) -> None:
    """Each issue is later than the one before, though the wall clock stands still."""
    ada = await added(store)
    first = await store.add_session(session(ada), ada, "j1")
    second = await store.rotate("s1", "s1-0", "s1-1", "j2", was_issued=True)

    assert isinstance(second, Issued)
    assert NOON <= first.session.issued_at < second.session.issued_at
    assert second.session.expires_at == second.session.issued_at + domain.REFRESH_TTL
    assert [jti for jti, _ in second.session.access] == ["j1", "j2"]
    assert (second.user, second.revocations) == (ada, [])


async def test_a_refresh_token_works_once(store: AuthStore) -> None:
    """A second use ends the session and its access tokens; then no token of it works."""
    ada = await added(store)
    await store.add_session(session(ada), ada, "j1")
    await store.rotate("s1", "s1-0", "s1-1", "j2", was_issued=True)
    reuse = await store.rotate("s1", "s1-0", "s1-x", "j3", was_issued=True)

    assert isinstance(reuse, Reuse)
    assert reuse.user_id == ada.user_id
    assert {revocation.jti for revocation in reuse.revocations} == {"j1", "j2"}
    assert {revocation.jti for revocation in await revoked_in(store)} == {"j1", "j2"}
    with pytest.raises(Unauthenticated):
        await store.rotate("s1", "s1-1", "s1-2", "j4", was_issued=True)


async def test_what_was_never_a_refresh_token_of_a_session_ends_nothing(store: AuthStore) -> None:
    """Its name is known to many; nor is there one of a session that cannot be refreshed."""
    ada = await added(store)
    await store.add_session(session(ada), ada, "j1")
    await store.add_session(dataclasses.replace(session(ada, "short"), token_hash=""), ada, "j2")
    for session_id in ("s1", "short"):
        with pytest.raises(Unauthenticated):
            await store.rotate(session_id, "made up", "x", "j", was_issued=False)

    assert [] == await revoked_in(store)
    assert {ada.user_id: 2} == dict(await store.count_sessions([ada.user_id]))
    assert isinstance(await store.rotate("s1", "s1-0", "s1-1", "j3", was_issued=False), Issued)


async def test_of_two_refreshes_at_once_one_is_a_reuse(store: AuthStore) -> None:
    """A token in two hands is found out."""
    ada = await added(store)
    await store.add_session(session(ada), ada, "j1")
    outcomes = await asyncio.gather(*(store.rotate("s1", "s1-0", f"s1-{n}", f"j{n}", was_issued=True) for n in (1, 2)))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Issued", "Reuse"]


async def test_a_refresh_token_expires(store: AuthStore, wall: Wall) -> None:
    """After its time it is unknown."""
    ada = await added(store)
    await store.add_session(session(ada), ada, "j1")
    wall.time += domain.REFRESH_TTL + DAY
    for session_id in ("s1", "unknown", "s1\0"):
        with pytest.raises(Unauthenticated):
            await store.rotate(session_id, "s1-0", "s1-1", "j2", was_issued=True)


async def test_surplus_access_tokens_of_a_session_fail(store: AuthStore) -> None:
    """A chatty client cannot pile up tokens that nobody could revoke."""
    ada = await added(store)
    await store.add_session(session(ada), ada, "j0")
    for number in range(domain.ACCESS_PER_SESSION_MAX):
        outcome = await store.rotate("s1", f"s1-{number}", f"s1-{number + 1}", f"j{number + 1}", was_issued=True)

    assert [revocation.jti for revocation in outcome.revocations] == ["j0"]
    assert [revocation.jti for revocation in await revoked_in(store)] == ["j0"]


async def test_the_oldest_sessions_of_a_user_go(store: AuthStore) -> None:
    """When there are too many, with the access tokens that nobody could see and end any more; other users' stay."""
    ada, bob = await added(store), await added(store, "bob")
    await store.add_session(session(bob, "bobs"), bob, "b")
    for number in range(domain.SESSIONS_PER_USER_MAX + 1):
        outcome = await store.add_session(session(ada, f"s{number}"), ada, f"j{number}")

    assert ["j0"] == [each.jti for each in outcome.revocations] == [each.jti for each in await revoked_in(store)]
    with pytest.raises(Unauthenticated):
        await store.rotate("s0", "s0-0", "x", "x", was_issued=True)
    assert isinstance(await store.rotate("s1", "s1-0", "x", "x", was_issued=True), Issued)
    assert isinstance(await store.rotate("bobs", "bobs-0", "x", "x", was_issued=True), Issued)


@pytest.mark.parametrize("change", [UserChange(active=False), UserChange(password_hash="new"), None])
async def test_a_password_that_was_changed_meanwhile_starts_no_session(
    store: AuthStore, change: UserChange | None
) -> None:
    """The store looks again: between the check of a password and the session, an operator may have acted."""
    ada = await added(store)
    if change is None:
        await store.delete_user(ada.user_id)
    else:
        await store.update_user(ada.user_id, change)

    with pytest.raises(Unauthenticated):
        await store.add_session(session(ada), ada, "j1")


@pytest.mark.parametrize("change", [UserChange(active=False), UserChange(password_hash="new"), None])
async def test_revoking_a_user_ends_all_they_hold(store: AuthStore, change: UserChange | None) -> None:
    """Sessions and API keys are gone; the revocation covers what was issued, and outlives it."""
    ada = await added(store)
    issued = await store.add_session(session(ada), ada, "j1")
    _, key = await store.add_api_key(ada.user_id, "k1", "laptop", 3650 * DAY, issued.session.issued_at)
    if change is None:
        revocation: Revocation | None = await store.delete_user(ada.user_id)
    else:
        _, revocation = await store.update_user(ada.user_id, change)

    assert revocation is not None
    assert revocation.user_id == ada.user_id
    assert issued.session.issued_at < key.created_at < revocation.issued_at
    assert revocation.expires_at >= key.expires_at
    assert [revocation] == await revoked_in(store)
    assert await store.list_api_keys(ada.user_id, None, 10) == []
    with pytest.raises(Unauthenticated):
        await store.rotate("s1", "s1-0", "s1-1", "j2", was_issued=True)


async def test_all_that_a_user_holds_ends_at_once(store: AuthStore) -> None:
    """The user stays, and signs in anew."""
    ada, ben = await added(store), await added(store, "ben")
    issued = await store.add_session(session(ada), ada, "j1")
    await store.add_session(session(ben, "s2"), ben, "j2")
    await store.add_api_key(ada.user_id, "k1", "laptop", 3650 * DAY, issued.session.issued_at)

    revocation = await store.revoke_all(ada.user_id)

    assert [revocation] == await revoked_in(store)
    assert ada.user_id == revocation.user_id
    assert [] == await store.list_api_keys(ada.user_id, None, 10)
    with pytest.raises(Unauthenticated):
        await store.rotate("s1", "s1-0", "s1-1", "j3", was_issued=True)
    assert await store.rotate("s2", "s2-0", "s2-1", "j4", was_issued=True)
    assert ada == await store.get_user(ada.user_id)
    with pytest.raises(NotFound):
        await store.revoke_all("nobody")


async def test_a_second_revocation_does_not_shorten_the_first(store: AuthStore, wall: Wall) -> None:
    """An API key that the first one covers never comes back."""
    ada = await added(store)
    _, key = await store.add_api_key(ada.user_id, "k1", "laptop", 3650 * DAY, NOON)
    await store.update_user(ada.user_id, UserChange(password_hash="two"))
    await store.update_user(ada.user_id, UserChange(password_hash="three"))
    wall.time += 10 * DAY

    assert [revocation.expires_at for revocation in await revoked_in(store)] == [key.expires_at]


async def test_what_is_issued_after_a_revocation_holds(store: AuthStore) -> None:
    """It is stamped later, though the wall clock has not moved."""
    ada = await added(store)
    changed, revocation = await store.update_user(ada.user_id, UserChange(password_hash="new"))
    issued = await store.add_session(session(changed), changed, "j1")

    assert revocation is not None
    assert issued.session.issued_at > revocation.issued_at


async def test_signing_out_ends_one_session(store: AuthStore) -> None:
    """With all its access tokens; the user's other sessions stay."""
    ada = await added(store)
    await store.add_session(session(ada, "s1"), ada, "j1")
    await store.rotate("s1", "s1-0", "s1-1", "j2", was_issued=True)
    await store.add_session(session(ada, "s2"), ada, "j3")
    revocations = await store.end_session("s1", "j2", NOON + DAY)

    assert sorted(revocation.jti for revocation in revocations) == ["j1", "j2"]
    with pytest.raises(Unauthenticated):
        await store.rotate("s1", "s1-1", "s1-2", "j4", was_issued=True)
    assert isinstance(await store.rotate("s2", "s2-0", "s2-1", "j5", was_issued=True), Issued)


async def test_sessions_are_listed_and_counted_while_they_live(store: AuthStore, wall: Wall) -> None:
    """Newest first, with where they came from and when they were seen; one without a refresh token ends by itself."""
    ada, ben = await added(store), await added(store, "ben")
    for number in range(3):
        await store.add_session(session(ada, f"s{number}"), ada, f"j{number}")
    short = dataclasses.replace(session(ada, "short", ttl_s=60), token_hash="")
    await store.add_session(short, ada, "j3")
    first = await store.list_sessions(ada.user_id, None, 2)
    rest = await store.list_sessions(ada.user_id, (first[-1].created_at, first[-1].session_id), 10)

    assert ["short", "s2", "s1", "s0"] == [each.session_id for each in first + rest]
    assert {("curl/8", "192.0.2.7")} == {(each.client, each.address) for each in first + rest}
    assert {ada.user_id: 4} == dict(await store.count_sessions([ada.user_id, ben.user_id]))
    wall.time += datetime.timedelta(seconds=100)
    await store.use_session("s0")
    await store.use_session("unknown")
    await store.rotate("s1", "s1-0", "s1-1", "j4", was_issued=True)
    found = {each.session_id: each for each in await store.list_sessions(ada.user_id, None, 10)}

    assert ["s2", "s1", "s0"] == list(found)
    assert found["s2"].used_at == found["s2"].created_at < wall.time <= found["s0"].used_at < found["s1"].used_at
    assert found["s0"].created_at < found["s1"].created_at < wall.time
    assert {ada.user_id: 3} == dict(await store.count_sessions([ada.user_id]))
    assert {} == dict(await store.count_sessions([]))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_sessions_that_an_older_version_began_are_listed(
    kind: str, request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> None:
    """It does not say when: that is when they got their tokens, then and later.  Of one moment none is left out."""
    at = micros(NOON)
    aged = f"UPDATE sessions SET created_at = 0, used_at = 0, issued_at = {at}"
    async with contextlib.AsyncExitStack() as stack:
        if kind == "sqlite":
            file = Database(tmp_path / "auth.db", MIGRATIONS)
            file.open()
            stack.push_async_callback(file.close)
            store: AuthStore = SqliteStore(file, StrictClock(lambda: NOON))
        else:
            place = PostgresDatabase(request.getfixturevalue("postgres"))
            schema = await stack.enter_async_context(postgres_database.opened(place, "auth", postgres.MIGRATIONS))
            store = postgres.PostgresStore(schema, StrictClock(lambda: NOON))
        ada = await added(store)
        for name in ("a", "B", "c"):
            await store.add_session(session(ada, name), ada, f"j-{name}")
        if kind == "sqlite":
            await file.write(lambda connection: connection.execute(aged).rowcount)
        else:
            await schema.write(lambda connection: connection.execute(aged))
        found: list[Session] = []
        while page := await store.list_sessions(
            ada.user_id, (found[-1].created_at, found[-1].session_id) if found else None, 1
        ):
            found += page
        await store.rotate("a", "a-0", "a-1", "j", was_issued=True)
        after = {each.session_id: each.created_at for each in await store.list_sessions(ada.user_id, None, 9)}

    assert ["c", "a", "B"] == [each.session_id for each in found]
    assert {(NOON, NOON)} == {(each.created_at, each.used_at) for each in found}
    assert dict.fromkeys("caB", NOON) == after


async def test_a_session_is_ended_by_whose_it_is(store: AuthStore) -> None:
    """Its access tokens fail and it is refreshed no more, the others go on; what has ended is not found."""
    ada, ben = await added(store), await added(store, "ben")
    for name in ("s1", "s2"):
        await store.add_session(session(ada, name), ada, f"j-{name}")
    for session_id, user_id in (("s1", ben.user_id), ("unknown", ""), ("", ""), ("s1\0", "")):
        with pytest.raises(NotFound):
            await store.delete_session(session_id, user_id)

    for name, user_id in (("s1", ada.user_id), ("s2", "")):
        whose, revocations = await store.delete_session(name, user_id)
        assert (ada.user_id, [f"j-{name}"]) == (whose, [each.jti for each in revocations])
    assert ["j-s1", "j-s2"] == [each.jti for each in await revoked_in(store)]
    with pytest.raises(NotFound):
        await store.delete_session("s1")
    with pytest.raises(Unauthenticated):
        await store.rotate("s1", "s1-0", "s1-1", "j", was_issued=True)


async def test_all_sessions_of_a_user_but_one_are_ended(store: AuthStore) -> None:
    """Nobody else's, and no API key."""
    ada, ben = await added(store), await added(store, "ben")
    for name in ("s1", "s2", "s3"):
        await store.add_session(session(ada, name), ada, f"j-{name}")
    await store.add_session(session(ben, "bens"), ben, "j-bens")
    await store.add_api_key(ada.user_id, "k1", "laptop", DAY, NOON)
    ended, revocations = await store.end_sessions(ada.user_id, "s2")

    assert (2, {"j-s1", "j-s3"}) == (ended, {each.jti for each in revocations})
    assert ["s2"] == [each.session_id for each in await store.list_sessions(ada.user_id, None, 10)]
    assert ["bens"] == [each.session_id for each in await store.list_sessions(ben.user_id, None, 10)]
    assert ["k1"] == [each.key_id for each in await store.list_api_keys(ada.user_id, None, 10)]
    assert 1 == (await store.end_sessions(ada.user_id))[0]
    assert (0, []) == await store.end_sessions("nobody")


async def test_many_sessions_are_ended_in_one_go(store: AuthStore) -> None:
    """Each access token of each fails, once, numbered in one order; what was revoked before fails as long as it did."""
    ada = await added(store)
    for number in range(30):
        await store.add_session(session(ada, f"s{number}"), ada, f"j{number}")
    await store.rotate("s0", "s0-0", "s0-1", "j30", was_issued=True)
    await store.end_session("", "j7", NOON + DAY)
    await store.end_session("", "other", NOON + DAY)
    seen = (await store.revocations(0, 1000))[-1][0]
    ended, revocations = await store.end_sessions(ada.user_id)
    later = await store.revocations(seen, 1000)

    assert (30, 31) == (ended, len(revocations))
    assert {f"j{number}" for number in range(31)} == {each.jti for each in revocations}
    assert sorted(revocations, key=str) == sorted((each for _, each in later), key=str)
    assert [number for number, _ in later] == sorted({number for number, _ in later})
    assert [NOON + DAY] == [each.expires_at for each in revocations if each.jti == "j7"]
    assert 32 == len(await revoked_in(store))


async def test_signing_out_with_an_api_key_deletes_it(store: AuthStore) -> None:
    """There is no session; the key is revoked and listed no more.  Doing so again is no error."""
    ada = await added(store)
    _, key = await store.add_api_key(ada.user_id, "k1", "laptop", DAY, NOON)
    for _ in range(2):
        revocations = await store.end_session("", "k1", key.expires_at)

    assert [(revocation.jti, revocation.expires_at) for revocation in revocations] == [("k1", key.expires_at)]
    assert await store.list_api_keys(ada.user_id, None, 10) == []
    assert len(await revoked_in(store)) == 1


async def test_api_keys_are_listed_newest_first(store: AuthStore, wall: Wall) -> None:
    """One's own only, a page at a time, without those that have expired."""
    ada, bob = await added(store), await added(store, "bob")
    await store.add_api_key(bob.user_id, "bobs", "x", DAY, NOON)
    await store.add_api_key(ada.user_id, "short", "x", DAY, NOON)
    for number in range(5):
        await store.add_api_key(ada.user_id, f"k{number}", f"key {number}", 9 * DAY, NOON)
    wall.time += 2 * DAY
    first = await store.list_api_keys(ada.user_id, None, 3)
    rest = await store.list_api_keys(ada.user_id, first[-1].created_at, 3)

    assert [key.key_id for key in first + rest] == ["k4", "k3", "k2", "k1", "k0"]
    assert first[0].display_name == "key 4"


async def test_an_api_key_is_deleted_by_its_owner(store: AuthStore) -> None:
    """To others it does not exist; deleted, it is revoked for as long as it would have lived."""
    ada, bob = await added(store), await added(store, "bob")
    _, key = await store.add_api_key(ada.user_id, "k1", "laptop", DAY, NOON)
    with pytest.raises(NotFound):
        await store.delete_api_key(bob.user_id, "k1")
    revocation = await store.delete_api_key(ada.user_id, "k1")

    assert (revocation.jti, revocation.expires_at) == ("k1", key.expires_at)
    with pytest.raises(NotFound):
        await store.delete_api_key(ada.user_id, "k1")


async def test_a_revoked_caller_gets_no_api_key(store: AuthStore) -> None:
    """A key made while the caller's token is being revoked would outlive the revocation."""
    ada = await added(store)
    old = await store.add_session(session(ada), ada, "j1")
    changed, _ = await store.update_user(ada.user_id, UserChange(password_hash="new"))
    new = await store.add_session(session(changed, "s2"), changed, "j2")
    with pytest.raises(Unauthenticated):
        await store.add_api_key(ada.user_id, "k1", "x", DAY, old.session.issued_at)

    who, key = await store.add_api_key(ada.user_id, "k1", "x", DAY, new.session.issued_at)
    assert (who, key.key_id) == (changed, "k1")
    await store.update_user(ada.user_id, UserChange(active=False))
    with pytest.raises(Unauthenticated):
        await store.add_api_key(ada.user_id, "k2", "x", DAY, NOON + DAY)


async def test_a_user_has_a_bounded_number_of_api_keys(store: AuthStore, wall: Wall) -> None:
    """Those that have expired make room."""
    ada = await added(store)
    for number in range(domain.KEYS_PER_USER_MAX):
        await store.add_api_key(ada.user_id, f"k{number}", "x", DAY, NOON)
    with pytest.raises(FailedPrecondition):
        await store.add_api_key(ada.user_id, "one more", "x", DAY, NOON)
    wall.time += 2 * DAY

    await store.add_api_key(ada.user_id, "one more", "x", DAY, wall.time)


async def test_revocations_are_kept_as_long_as_they_matter(store: AuthStore, wall: Wall) -> None:
    """Oldest first; what has expired is forgotten."""
    ada = await added(store)
    await store.add_session(session(ada, ttl_s=900), ada, "j1")
    await store.end_session("s1", "j1", NOON + datetime.timedelta(seconds=901))
    await store.update_user(ada.user_id, UserChange(password_hash="new"))
    both = await revoked_in(store)
    wall.time += datetime.timedelta(hours=1)
    later = await revoked_in(store)

    assert [revocation.jti for revocation in both] == ["j1", ""]
    assert later == both[1:]


async def test_revocations_are_read_on_from_a_number(store: AuthStore) -> None:
    """In parts; a target that is revoked again comes again, merged, and nothing is missed by who reads on."""
    ada = await added(store)
    for number in range(5):
        await store.end_session("", f"j{number}", NOON + DAY)
    first = await store.revocations(0, 3)
    rest = await store.revocations(first[-1][0], 1000)
    await store.end_session("", "j0", NOON + 2 * DAY)
    await store.update_user(ada.user_id, UserChange(password_hash="new"))
    later = await store.revocations(rest[-1][0], 1000)

    assert [found.jti for _, found in first + rest] == ["j0", "j1", "j2", "j3", "j4"]
    assert [found.jti or found.user_id for _, found in later] == ["j0", ada.user_id]
    assert await store.revocations(later[-1][0], 1000) == []
    assert await store.last_revoked_at() == later[-1][1].issued_at


async def test_an_empty_store_has_revoked_nothing(store: AuthStore) -> None:
    """Then any time will do."""
    assert await store.last_revoked_at() is None


async def test_a_request_is_kept_with_what_it_made(store: AuthStore) -> None:
    """Or not at all: whoever sends it again makes nothing."""
    ada, bob = user(), user("bob")
    asked = Request(owner="users/eve", request_id="r1", body_hash="h1", answer=b"ada")
    await store.add_user(ada, asked)
    with pytest.raises(AlreadyExists):
        await store.add_user(bob, asked)
    with pytest.raises(AlreadyExists):
        await store.add_user(user(), Request(owner="users/eve", request_id="r2", body_hash="h2", answer=b""))

    assert asked == await store.request("users/eve", "r1")
    assert await store.request("users/eve", "r2") is None
    assert await store.request("users/mallory", "r1") is None
    with pytest.raises(NotFound):
        await store.find_user("bob")


async def test_a_request_for_an_api_key_knows_what_was_made(store: AuthStore) -> None:
    """The store stamps the key, so the answer is made of what it says; a second key is not made."""
    ada = await added(store)

    def asked(who: User, key: ApiKey) -> Request:
        answer = f"{who.login} {key.created_at.isoformat()}".encode()
        return Request(owner="users/ada", request_id="r1", body_hash="h", answer=answer)

    _, key = await store.add_api_key(ada.user_id, "k1", "laptop", DAY, NOON, asked)
    with pytest.raises(AlreadyExists):
        await store.add_api_key(ada.user_id, "k2", "laptop", DAY, NOON, asked)
    kept = await store.request("users/ada", "r1")

    assert kept is not None
    assert kept.answer.decode() == f"ada {key.created_at.isoformat()}"
    assert [found.key_id for found in await store.list_api_keys(ada.user_id, None, 9)] == ["k1"]


async def test_what_was_revoked_before_there_were_numbers_stays_revoked(tmp_path: pathlib.Path) -> None:
    """A file of the first version is taken over, oldest first."""
    path = tmp_path / "auth.db"
    old = sqlite3.connect(path)
    old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
    far = micros(NOON + 1000 * DAY)
    with old:
        old.executemany(
            "INSERT INTO revocations (jti, user_id, issued_at, expires_at) VALUES (?, '', ?, ?)",
            [("late", 2, far), ("early", 1, far), ("expired", 0, 5)],
        )
    old.close()
    database = Database(path, MIGRATIONS)
    database.open()
    found = await revoked_in(SqliteStore(database, StrictClock(lambda: NOON)))
    await database.close()

    assert [revocation.jti for revocation in found] == ["early", "late"]


async def test_a_sqlite_store_survives_a_restart(tmp_path: pathlib.Path) -> None:
    """All that matters is there again, to the microsecond."""
    found = []
    for turn in range(2):
        database = Database(tmp_path / "auth.db", MIGRATIONS)
        database.open()
        store = SqliteStore(database, StrictClock(lambda: NOON))
        if turn == 0:
            ada = await added(store)
            await store.add_session(session(ada), ada, "j1")
            await store.add_api_key(ada.user_id, "k1", "laptop", DAY, NOON)
            await store.end_session("", "jx", NOON + DAY)
        keys = await store.list_api_keys(ada.user_id, None, 9)
        found.append((await store.find_user("ada"), keys, await revoked_in(store)))
        outcome = await store.rotate("s1", f"s1-{turn}", f"s1-{turn + 1}", f"j{turn}", was_issued=True)
        await database.close()

        assert isinstance(outcome, Issued)
    assert found[0] == found[1]
