"""Every store says alike what is revoked, and for how long."""

import datetime
import pathlib
import sqlite3

import pytest

from meshkit.clock import micros
from meshkit.errors import NotFound, Unauthenticated
from meshkit.sqlite import Database
from services.auth.clock import StrictClock
from services.auth.domain import Revocation, UserChange
from services.auth.ports.store import AuthStore
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore
from tests.auth.stores.making import DAY, NOON, Wall, added, revoked_in, session


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
