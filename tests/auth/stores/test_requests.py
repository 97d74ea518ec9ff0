"""Every store keeps requests with what they have made, and what it keeps outlives a restart."""

import pathlib

import pytest

from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.auth.clock import StrictClock
from services.auth.domain import ApiKey, User
from services.auth.ports.store import AuthStore, Issued
from services.auth.stores.sqlite import MIGRATIONS, SqliteStore
from tests.auth.stores.making import DAY, NOON, added, revoked_in, session, user


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
