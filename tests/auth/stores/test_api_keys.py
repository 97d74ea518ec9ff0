"""Every store keeps API keys alike."""

import pytest

from meshkit.errors import FailedPrecondition, NotFound, Unauthenticated
from services.auth import domain
from services.auth.domain import UserChange
from services.auth.ports.store import AuthStore
from tests.auth.stores.making import DAY, NOON, Wall, added, revoked_in, session


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
