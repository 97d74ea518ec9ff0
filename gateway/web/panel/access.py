"""Access: one's keys, sessions and password; for operators, who else may sign in.  Each is a page of its own."""

from collections.abc import Mapping
from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2
from google.protobuf import field_mask_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.http.cookies import ACCESS_TTL_S, DELETED, signed_in
from gateway.web.panel import shell
from gateway.web.panel.sessions import HOME, Sessions
from gateway.web.panel.visitor import Visitor
from meshkit.errors import AlreadyExists, Conflict, Denied, FailedPrecondition, Invalid, MeshError, NotFound, from_rpc

_LIST_MAX = 200
_ASK_S = 10.0
_DAYS = (("30", "30 days"), ("90", "90 days"), ("365", "A year"), ("3650", "Ten years"))
_REFUSALS = (Invalid, AlreadyExists, Denied, FailedPrecondition, Conflict, NotFound)
_PAGES = {"keys": "Keys", "sessions": "Sessions", "password": "Password"}
_PEOPLE = "people"
_LABELS = {"login": "Name", "email": "E-mail address", "password": "Password", "display_name": "Name"}


class Access:
    """Who may come in, and with what; the auth service decides who may change it."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth
        self._users = peers.users
        self._sessions = Sessions(peers)

    async def first(self, visitor: Visitor) -> Response:
        """GET /panel/access: what people want there most."""
        return shell.see_other(f"{HOME}/keys")

    async def keys(self, visitor: Visitor) -> Response:
        """GET /panel/access/keys."""
        return await self._keys_page(visitor)

    async def sessions(self, visitor: Visitor) -> Response:
        """GET /panel/access/sessions."""
        return _page(visitor, "sessions", sessions=await self._sessions.listed())

    async def password(self, visitor: Visitor) -> Response:
        """GET /panel/access/password."""
        return _page(visitor, "password", changed="changed" in visitor.request.query_params)

    async def people(self, visitor: Visitor) -> Response:
        """GET /panel/access/people, for operators."""
        return await self._people_page(visitor)

    async def create_key(self, visitor: Visitor) -> Response:
        """POST /panel/access/keys: the answer is the page with the token, which is shown this once."""
        days = visitor.form.get("ttl_days", "")
        request = auth_pb2.CreateApiKeyRequest(
            display_name=visitor.form.get("display_name", ""), ttl_days=int(days) if days in dict(_DAYS) else 0
        )
        try:
            with from_rpc():
                answer = await self._auth.CreateApiKey(request, timeout=_ASK_S)
        except _REFUSALS as error:
            return await self._keys_page(visitor, error=error)
        return await self._keys_page(visitor, token=answer.token, key=answer.api_key)

    async def delete_key(self, visitor: Visitor) -> Response:
        """POST /panel/access/keys/{key}/delete."""
        request = auth_pb2.DeleteApiKeyRequest(name=f"apiKeys/{visitor.path('key')}")
        with from_rpc():
            await self._auth.DeleteApiKey(request, timeout=_ASK_S)
        return shell.see_other(f"{HOME}/keys")

    async def change_password(self, visitor: Visitor) -> Response:
        """POST /panel/access/password: everything that one is signed in with ends, but for this browser."""
        form = visitor.form
        if form.get("new_password") != form.get("again"):
            return _page(visitor, "password", error=Invalid("The two new passwords are not the same."))
        request = auth_pb2.ChangePasswordRequest(
            old_password=form.get("old_password", ""),
            new_password=form.get("new_password", ""),
            access_ttl_s=ACCESS_TTL_S,
            no_refresh=True,
            client=visitor.request.headers.get("user-agent", ""),
        )
        try:
            with from_rpc():
                tokens = await self._auth.ChangePassword(request, timeout=_ASK_S)
        except _REFUSALS as error:
            return _page(visitor, "password", error=error)
        response = shell.see_other(f"{HOME}/password?changed")
        response.headers.append("set-cookie", signed_in(tokens.access_token, visitor.base_url))
        return response

    async def end_all(self, visitor: Visitor) -> Response:
        """POST /panel/access/end: every sign-in of one's own ends, and every key."""
        with from_rpc():
            await self._auth.Logout(auth_pb2.LogoutRequest(all=True), timeout=_ASK_S)
        return _signed_out()

    async def create_user(self, visitor: Visitor) -> Response:
        """POST /panel/access/users."""
        form = visitor.form
        user = auth_pb2.User(
            login=form.get("login", ""),
            email=form.get("email", ""),
            password=form.get("password", ""),
            operator="operator" in form,
        )
        try:
            with from_rpc():
                await self._users.CreateUser(auth_pb2.CreateUserRequest(user=user), timeout=_ASK_S)
        except _REFUSALS as error:
            return await self._people_page(visitor, about="user", error=error, sent=form)
        return shell.see_other(f"{HOME}/{_PEOPLE}")

    async def change_user(self, visitor: Visitor) -> Response:
        """POST /panel/access/users/{user}: switch a user on or off, or make them an operator or none."""
        change, _, value = visitor.form.get("change", "").partition("=")
        if change not in ("active", "operator"):
            raise Invalid("There is no such change of a user.")
        user = auth_pb2.User(name=f"users/{visitor.path('user')}")
        setattr(user, change, value == "true")
        request = auth_pb2.UpdateUserRequest(user=user, update_mask=field_mask_pb2.FieldMask(paths=[change]))
        try:
            with from_rpc():
                await self._users.UpdateUser(request, timeout=_ASK_S)
        except _REFUSALS as error:
            return await self._people_page(visitor, about="users", error=error)
        return shell.see_other(f"{HOME}/{_PEOPLE}")

    async def _keys_page(self, visitor: Visitor, error: MeshError | None = None, **values: Any) -> Response:
        keys = await self._keys()
        return _page(visitor, "keys", error=error, keys=keys, days=_DAYS, **{"token": "", "key": None, **values})

    async def _people_page(
        self,
        visitor: Visitor,
        *,
        about: str = "",
        error: MeshError | None = None,
        sent: Mapping[str, str] | None = None,
    ) -> Response:
        users = await self._everybody(visitor)
        return _page(visitor, _PEOPLE, error=error, about=about, users=users, sent=sent or {})

    async def _keys(self) -> list[dict[str, Any]]:
        with from_rpc():
            page = await self._auth.ListApiKeys(auth_pb2.ListApiKeysRequest(page_size=_LIST_MAX), timeout=_ASK_S)
        return [{"key": key, "id": key.name.removeprefix("apiKeys/")} for key in page.api_keys]

    async def _everybody(self, visitor: Visitor) -> list[dict[str, Any]]:
        with from_rpc():
            page = await self._users.ListUsers(auth_pb2.ListUsersRequest(page_size=_LIST_MAX), timeout=_ASK_S)
        return [
            {"user": user, "id": user.name.removeprefix("users/"), "self": user.login == visitor.name}
            for user in page.users
        ]


def _page(visitor: Visitor, tab: str, *, error: MeshError | None = None, **values: Any) -> Response:
    return visitor.page(
        f"access/{tab}.html",
        status=422 if error else 200,
        tab=tab,
        tabs={**_PAGES, _PEOPLE: "People"} if visitor.operator else _PAGES,
        problems=_said(error) if error else [],
        **{"changed": False, **values},
    )


def _said(error: MeshError) -> list[str]:
    """Return what is wrong, by the labels of the form."""
    if not isinstance(error, Invalid) or not error.fields:
        return [str(error)]
    return [
        f"{_LABELS.get(name.rpartition('.')[2], name)}: {text}"
        for name, texts in error.fields.items()
        for text in texts
    ]


def _signed_out() -> Response:
    """Lead to the sign-in, and from there back to this page."""
    response = shell.see_other(f"/?redirect={HOME}")
    response.headers.append("set-cookie", DELETED)
    return response
