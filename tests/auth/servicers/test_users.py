"""The care of users, over the wire."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from google.protobuf import field_mask_pb2

from meshkit.errors import AlreadyExists, Denied, FailedPrecondition, Invalid, NotFound, Unauthenticated
from tests.auth.helpers import AuthMesh, Metadata, auth_mesh, bearer, refused


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[AuthMesh]:
    """The auth service, as in production but for the store: `tests/auth/stores` holds all to the same."""
    async with auth_mesh(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def admin(mesh: AuthMesh) -> Metadata:
    """An operator's token."""
    return bearer(await mesh.sign_in())


def update(name: str, *paths: str, **fields: object) -> pb.UpdateUserRequest:
    """Return a change of the fields named by `paths`."""
    user = pb.User(name=name, **fields)  # type: ignore[arg-type]  # fields of every type
    return pb.UpdateUserRequest(user=user, update_mask=field_mask_pb2.FieldMask(paths=paths))


async def test_an_operator_adds_a_user_who_signs_in(mesh: AuthMesh, admin: Metadata) -> None:
    """They are active, no operator, on the free tier; the password never comes back."""
    ada = await mesh.add_user("ada")

    assert (ada.login, ada.email, ada.active, ada.operator) == ("ada", "ada@example.com", True, False)
    assert (ada.tier, ada.password) == (pb.TIER_FREE, "")
    assert ada.create_time.seconds > 0
    assert ada == await mesh.me(bearer(await mesh.sign_in("ada", "a good one")))
    for name in (ada.name, "users/ada", ada.name.upper().replace("USERS", "users")):
        assert ada == await mesh.users.GetUser(pb.GetUserRequest(name=name), metadata=admin, timeout=30)


@pytest.mark.parametrize("taken", [{"login": "admin"}, {"email": "ADMIN@example.com"}])
async def test_names_are_taken_once(mesh: AuthMesh, admin: Metadata, taken: dict[str, str]) -> None:
    """A login, and an e-mail in any case of letters."""
    user = pb.User(login="eve", email="eve@example.com", password="a good one")
    user.MergeFrom(pb.User(**taken))  # type: ignore[arg-type]  # texts only
    await refused(AlreadyExists, mesh.users.CreateUser(pb.CreateUserRequest(user=user), metadata=admin, timeout=30))


async def test_a_bad_user_names_every_field(mesh: AuthMesh, admin: Metadata) -> None:
    """All at once."""
    empty = mesh.users.CreateUser(pb.CreateUserRequest(), metadata=admin, timeout=30)
    error = await refused(Invalid, empty)

    assert isinstance(error, Invalid)
    assert set(error.fields) == {"login", "email", "password"}


async def test_an_unknown_tier_is_refused(mesh: AuthMesh, admin: Metadata) -> None:
    """A number that is no tier, from a newer client perhaps."""
    user = pb.User(login="ada", email="a@b", password="a good one", tier=77)  # type: ignore[arg-type]  # no tier at all
    await refused(Invalid, mesh.users.CreateUser(pb.CreateUserRequest(user=user), metadata=admin, timeout=30))


async def test_only_operators_keep_users(mesh: AuthMesh) -> None:
    """Others see themselves."""
    ada = await mesh.add_user("ada")
    me = bearer(await mesh.sign_in("ada", "a good one"))
    for call in (
        mesh.users.CreateUser(pb.CreateUserRequest(), metadata=me, timeout=30),
        mesh.users.GetUser(pb.GetUserRequest(name=ada.name), metadata=me, timeout=30),
        mesh.users.ListUsers(pb.ListUsersRequest(), metadata=me, timeout=30),
        mesh.users.UpdateUser(update(ada.name, "operator", operator=True), metadata=me, timeout=30),
        mesh.users.DeleteUser(pb.DeleteUserRequest(name=ada.name), metadata=me, timeout=30),
    ):
        await refused(Denied, call)
    await refused(Unauthenticated, mesh.users.ListUsers(pb.ListUsersRequest(), timeout=30))


@pytest.mark.parametrize("name", ["users/nobody", "users/00000000-0000-4000-8000-000000000000", "users/a/b"])
async def test_an_absent_user_is_not_found(mesh: AuthMesh, admin: Metadata, name: str) -> None:
    """By name or id, for each method."""
    for call in (
        mesh.users.GetUser(pb.GetUserRequest(name=name), metadata=admin, timeout=30),
        mesh.users.UpdateUser(update(name, "tier"), metadata=admin, timeout=30),
        mesh.users.DeleteUser(pb.DeleteUserRequest(name=name), metadata=admin, timeout=30),
    ):
        await refused(NotFound, call)


@pytest.mark.parametrize("name", ["", "users/", "ada", "jobs/1"])
async def test_a_name_of_another_kind_is_invalid(mesh: AuthMesh, admin: Metadata, name: str) -> None:
    """The error says what a user's name looks like."""
    error = await refused(Invalid, mesh.users.GetUser(pb.GetUserRequest(name=name), metadata=admin, timeout=30))

    assert "users/{id}" in str(error)


async def test_users_come_in_pages(mesh: AuthMesh, admin: Metadata) -> None:
    """By login."""
    for login in ("eve", "bob", "ada"):
        await mesh.add_user(login)
    logins, token = [], ""
    while True:
        request = pb.ListUsersRequest(page_size=3, page_token=token)
        page = await mesh.users.ListUsers(request, metadata=admin, timeout=30)
        logins += [user.login for user in page.users]
        token = page.next_page_token
        if not token:
            break

    assert logins == ["ada", "admin", "bob", "eve"]


async def test_the_mask_says_what_changes(mesh: AuthMesh, admin: Metadata) -> None:
    """And without one, what is set."""
    ada = await mesh.add_user("ada", tier=pb.TIER_PRO)
    named = await mesh.users.UpdateUser(update(ada.name, "tier", login="eve"), metadata=admin, timeout=30)
    unnamed = await mesh.users.UpdateUser(update(ada.name, login="eve"), metadata=admin, timeout=30)

    assert (named.login, named.tier) == ("ada", pb.TIER_FREE)
    assert (unnamed.login, unnamed.email, unnamed.active) == ("eve", "ada@example.com", True)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (update("users/ada", "name"), "update_mask"),
        (update("users/ada", "create_time"), "update_mask"),
        (update("users/ada", "nonsense" * 1000), "update_mask"),
        (update("users/ada", "login"), "login"),
        (update("users/ada", "email", email="x"), "email"),
        (update("users/ada", "password"), "password"),
        (update("", "login"), "user.name"),
    ],
)
async def test_a_bad_change_names_its_field(
    mesh: AuthMesh, admin: Metadata, request_: pb.UpdateUserRequest, field: str
) -> None:
    """Nothing is changed."""
    await mesh.add_user("ada")
    error = await refused(Invalid, mesh.users.UpdateUser(request_, metadata=admin, timeout=30))

    assert isinstance(error, Invalid)
    assert [field] == list(error.fields)


@pytest.mark.parametrize(
    "request_",
    [
        update("users/ada", "active"),
        update("users/ada", "password", password="a new one"),
        update("users/ada", "operator"),
    ],
    ids=["inactive", "new password", "no operator"],
)
async def test_a_change_of_rights_ends_all_tokens(
    mesh: AuthMesh, admin: Metadata, request_: pb.UpdateUserRequest
) -> None:
    """Access tokens, refresh tokens and API keys, from the next call on."""
    await mesh.add_user("ada", operator=True)
    tokens = await mesh.sign_in("ada", "a good one")
    key = await mesh.auth.CreateApiKey(pb.CreateApiKeyRequest(display_name="x"), metadata=bearer(tokens), timeout=30)
    await mesh.users.UpdateUser(request_, metadata=admin, timeout=30)

    await refused(Unauthenticated, mesh.me(bearer(tokens)))
    await refused(Unauthenticated, mesh.me(bearer(key.token)))
    request = pb.RefreshTokensRequest(refresh_token=tokens.refresh_token)
    await refused(Unauthenticated, mesh.auth.RefreshTokens(request, timeout=30))


async def test_a_token_issued_right_after_a_revocation_holds(mesh: AuthMesh, admin: Metadata) -> None:
    """However fast it comes: twenty times in the same second."""
    await mesh.add_user("ada")
    for number in range(20):
        change = update("users/ada", "password", password=f"another one {number}")
        await mesh.users.UpdateUser(change, metadata=admin, timeout=30)

        await mesh.me(bearer(await mesh.sign_in("ada", f"another one {number}")))


async def test_an_inactive_user_cannot_sign_in(mesh: AuthMesh, admin: Metadata) -> None:
    """And gets no other answer than for a wrong password; active again, they can."""
    await mesh.add_user("ada")
    await mesh.users.UpdateUser(update("users/ada", "active"), metadata=admin, timeout=30)
    error = await refused(Unauthenticated, mesh.sign_in("ada", "a good one"))
    await mesh.users.UpdateUser(update("users/ada", "active", active=True), metadata=admin, timeout=30)

    assert str(error) == "Invalid name or password"
    await mesh.me(bearer(await mesh.sign_in("ada", "a good one")))


async def test_a_new_user_may_be_inactive(mesh: AuthMesh, admin: Metadata) -> None:
    """If that is said; who is not said to be is active."""
    added = await mesh.add_user("ada", active=False)

    assert not added.active
    await refused(Unauthenticated, mesh.sign_in("ada", "a good one"))
    assert (await mesh.add_user("bob")).active


async def test_a_deleted_user_is_gone(mesh: AuthMesh, admin: Metadata) -> None:
    """Their tokens fail; their login is free again, and its next owner is somebody else."""
    ada = await mesh.add_user("ada")
    tokens = await mesh.sign_in("ada", "a good one")
    await mesh.users.DeleteUser(pb.DeleteUserRequest(name=ada.name), metadata=admin, timeout=30)
    await refused(Unauthenticated, mesh.me(bearer(tokens)))
    again = await mesh.add_user("ada")

    assert again.name != ada.name
    await refused(Unauthenticated, mesh.me(bearer(tokens)))
    await mesh.me(bearer(await mesh.sign_in("ada", "a good one")))


async def test_the_last_operator_stays(mesh: AuthMesh, admin: Metadata) -> None:
    """Nobody locks everybody out; a second operator makes it possible."""
    for call in (
        mesh.users.DeleteUser(pb.DeleteUserRequest(name="users/admin"), metadata=admin, timeout=30),
        mesh.users.UpdateUser(update("users/admin", "active"), metadata=admin, timeout=30),
        mesh.users.UpdateUser(update("users/admin", "operator"), metadata=admin, timeout=30),
    ):
        await refused(FailedPrecondition, call)
    await mesh.me(admin)
    await mesh.add_user("eve", operator=True)
    await mesh.users.DeleteUser(pb.DeleteUserRequest(name="users/admin"), metadata=admin, timeout=30)

    await refused(Unauthenticated, mesh.me(admin))


async def test_a_repeated_create_gives_the_same_user(mesh: AuthMesh, admin: Metadata) -> None:
    """Thirty times at once, and after the user is gone: what was answered the first time."""
    user = pb.User(login="ada", email="ada@example.com", password="a good one", tier=pb.TIER_PRO)
    request = pb.CreateUserRequest(user=user, request_id="r1")
    made = await asyncio.gather(*(mesh.users.CreateUser(request, metadata=admin, timeout=30) for _ in range(30)))
    await mesh.users.DeleteUser(pb.DeleteUserRequest(name=made[0].name), metadata=admin, timeout=30)
    again = await mesh.users.CreateUser(request, metadata=admin, timeout=30)

    assert {answer.SerializeToString() for answer in made} == {again.SerializeToString()}
    user.password = "another one"
    error = await refused(
        Invalid,
        mesh.users.CreateUser(pb.CreateUserRequest(user=user, request_id="r1"), metadata=admin, timeout=30),
    )
    assert isinstance(error, Invalid)
    assert list(error.fields) == ["request_id"]
