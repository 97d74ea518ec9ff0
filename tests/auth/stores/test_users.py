"""Every store keeps users alike: their names are unique, and one operator stays."""

import asyncio

import pytest

from meshkit.errors import AlreadyExists, FailedPrecondition, NotFound
from services.auth.domain import Tier, UserChange
from services.auth.ports.store import AuthStore
from tests.auth.stores.making import added, numbers, revoked_in, user


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
