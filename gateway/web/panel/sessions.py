"""What people are signed in with: their own, and for operators everybody's."""

from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import shell
from gateway.web.panel.visitor import Visitor
from meshkit.errors import NotFound, from_rpc

HOME = "/panel/access"
_LIST_MAX = 50
_ASK_S = 10.0
# The first that is found: each of these calls itself what follows, too.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "Chrome/": "Chrome",
    "CriOS/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "CrOS": "ChromeOS",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


class Sessions:
    """Lists and ends sessions; the auth service decides whose one may."""

    def __init__(self, peers: Peers) -> None:
        self._auth = peers.auth
        self._users = peers.users

    async def listed(self, user: str = "") -> dict[str, Any]:
        """Return the newest sessions of the caller, or of `users/{uuid}`, and whether there are more."""
        request = auth_pb2.ListSessionsRequest(user=user, page_size=_LIST_MAX)
        with from_rpc():
            page = await self._auth.ListSessions(request, timeout=_ASK_S)
        rows = [
            {"session": each, "id": each.name.removeprefix("sessions/"), "what": what(each.client)}
            for each in page.sessions
        ]
        return {"rows": rows, "more": bool(page.next_page_token)}

    async def show_user(self, visitor: Visitor) -> Response:
        """GET /panel/access/users/{user}."""
        request = auth_pb2.GetUserRequest(name=f"users/{visitor.path('user')}")
        with from_rpc():
            user = await self._users.GetUser(request, timeout=_ASK_S)
        return visitor.page("user.html", user=user, sessions=await self.listed(user.name))

    async def end(self, visitor: Visitor) -> Response:
        """POST /panel/access/sessions/{session}/end."""
        request = auth_pb2.DeleteSessionRequest(name=f"sessions/{visitor.path('session')}")
        try:
            with from_rpc():
                await self._auth.DeleteSession(request, timeout=_ASK_S)
        except NotFound:  # it has ended meanwhile: what was wanted
            pass
        return _back(visitor)

    async def end_others(self, visitor: Visitor) -> Response:
        """POST /panel/access/sessions/end."""
        request = auth_pb2.EndSessionsRequest(user=visitor.form.get("user", ""))
        with from_rpc():
            await self._auth.EndSessions(request, timeout=_ASK_S)
        return _back(visitor)


def what(client: str) -> str:
    """Return what signed in, as people call it: `Firefox on Linux`, `curl`; empty if that is not known."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in client), "")
    if not client.startswith("Mozilla/") or not browser:
        return client.partition(" ")[0].partition("/")[0]
    system = next((name for mark, name in _SYSTEMS.items() if mark in client), "")
    return f"{browser} on {system}" if system else browser


def _back(visitor: Visitor) -> Response:
    """Lead to the page that the form was on."""
    user = visitor.form.get("user", "").removeprefix("users/")
    return shell.see_other(f"{HOME}/users/{user}" if user.replace("-", "").isalnum() else f"{HOME}/sessions")
