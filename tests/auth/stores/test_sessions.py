"""Every store keeps sessions alike: their tokens are good once, and end with them."""

import asyncio
import contextlib
import dataclasses
import datetime
import pathlib

import pytest

from meshkit import postgres as postgres_database
from meshkit.clock import micros
from meshkit.databases import PostgresDatabase
from meshkit.errors import NotFound, Unauthenticated
from meshkit.sqlite import Database
from services.auth import domain
from services.auth.clock import StrictClock
from services.auth.domain import Session, UserChange
from services.auth.ports.store import AuthStore, Issued, Reuse
from services.auth.stores import postgres
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore
from tests.auth.stores.making import DAY, NOON, Wall, added, revoked_in, session


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
