"""Which page is where, and who may see it: whoever is signed in, each what is theirs."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable

from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.gateway.v1 import options_pb2
from agentmesh_protos.runner.v1 import lock_pb2
from google.api import httpbody_pb2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.core.peers import Peers
from gateway.http import bodies, multipart
from gateway.http.cookies import check_redirect
from gateway.http.passages import read
from gateway.web.health import Health
from gateway.web.metrics import Metrics
from gateway.web.panel import assets, away, shell
from gateway.web.panel.access import Access
from gateway.web.panel.agents import Agents
from gateway.web.panel.apps import Apps
from gateway.web.panel.crew_editor import CrewEditor
from gateway.web.panel.crews import Crews
from gateway.web.panel.executions import Executions
from gateway.web.panel.flows import Flows
from gateway.web.panel.inbox import Inbox
from gateway.web.panel.model_pages import ModelPages
from gateway.web.panel.payments import Payments
from gateway.web.panel.sessions import Sessions
from gateway.web.panel.system import System
from gateway.web.panel.tools import Tools
from gateway.web.panel.visitor import Visitor
from meshkit.access import check_access, user_of
from meshkit.errors import Denied, MeshError, NotFound, Unauthenticated, from_rpc
from meshkit.interceptors.held import held
from meshkit.interceptors.streams import Open
from meshkit.principal import acting
from meshkit.verifier import MESH, TokenVerifier

PATHS = "/panel"
_ASK_S = 5.0
_COUNT_S = 2.0
"""Every page says how many questions wait, and none waits longer for that."""
_LOCKS_MAX = 100
_PASSWORD = "/panel/access/password"
"""What is sent there ends the token that it is sent with: whoever has sent it still hears what came of it."""
_THEME_AGE_S = 365 * 24 * 3600

_Page = Callable[[Visitor], Awaitable[Response]]


class Panel:
    """The pages, on behalf of who is signed in."""

    def __init__(
        self, peers: Peers, verifier: TokenVerifier, health: Health, metrics: Metrics | None, *, live_per_owner: int
    ) -> None:
        """`live_per_owner` bounds the pages that change by themselves; 0 for no bound."""
        self._peers = peers
        self._live = Open(live_per_owner, "live pages", "AGENTMESH_LIVE_PAGES_PER_OWNER")
        self._health = health
        self._metrics = metrics
        self._verifier = verifier

    def routes(self) -> list[BaseRoute]:
        """Return what answers below `PATHS`."""
        flows, executions, inbox = Flows(self._peers, self._health), Executions(self._peers), Inbox(self._peers)
        apps, payments, access = Apps(self._peers), Payments(self._peers), Access(self._peers)
        agents, crews, sessions = Agents(self._peers), Crews(self._peers), Sessions(self._peers)
        editor, tools, models = CrewEditor(self._peers), Tools(self._peers), ModelPages(self._peers)
        system = System(self._peers, self._health, self._metrics)
        one = "/panel/executions/{fid}"
        pages: list[tuple[str, str, _Page]] = [
            ("GET", "/panel/flows", flows.show),
            ("GET", "/panel/run/{flow:path}", flows.form),
            ("POST", "/panel/run/{flow:path}", flows.launch),
            ("POST", "/panel/check/{flow:path}", flows.check),
            ("GET", "/panel/executions", executions.show),
            ("POST", "/panel/executions", executions.do_many),
            ("GET", "/panel/live/executions", executions.watch),
            ("GET", "/panel/live/executions/{fid}/{tab}", executions.watch_one),
            ("POST", f"{one}/cancel", executions.cancel),
            ("POST", f"{one}/delete", executions.delete),
            ("GET", f"{one}/download/{{what}}", executions.download),
            ("GET", f"{one}/files/{{path:path}}", executions.file),
            ("POST", f"{one}/locks/{{lid}}", executions.answer),
            ("GET", one, executions.show_one),
            ("GET", f"{one}/{{tab}}", executions.show_one),
            ("GET", "/panel/inbox", inbox.show),
            ("GET", "/panel/live/inbox", inbox.watch),
            ("GET", "/panel/apps", apps.show),
            ("GET", "/panel/live/apps", apps.watch),
            ("POST", "/panel/boot", apps.boot),
            ("GET", "/panel/deploy", apps.form),
            ("POST", "/panel/deploy", apps.deploy),
            ("POST", "/panel/deploy/check", apps.check),
            ("GET", "/panel/apps/{name}", apps.show_one),
            ("GET", "/panel/apps/{name}/{tab}", apps.show_one),
            ("GET", "/panel/live/apps/{name}/{tab}", apps.watch_one),
            ("POST", "/panel/apps/{name}/edit", apps.save),
            ("POST", "/panel/apps/{name}/check", apps.check),
            ("POST", "/panel/apps/{name}/restart", apps.restart),
            ("POST", "/panel/apps/{name}/enabled", apps.enable),
            ("POST", "/panel/apps/{name}/delete", apps.delete),
            ("GET", "/panel/payments", payments.show),
            ("GET", "/panel/live/payments", payments.watch),
            ("GET", "/panel/payments/{fid}", payments.show_one),
            ("GET", "/panel/live/payments/{fid}", payments.watch_one),
            ("GET", "/panel/access", access.first),
            ("GET", "/panel/access/keys", access.keys),
            ("GET", "/panel/access/sessions", access.sessions),
            ("GET", _PASSWORD, access.password),
            ("GET", "/panel/access/people", access.people),
            ("POST", "/panel/access/keys", access.create_key),
            ("POST", "/panel/access/keys/{key}/delete", access.delete_key),
            ("POST", _PASSWORD, access.change_password),
            ("POST", "/panel/access/end", access.end_all),
            ("POST", "/panel/access/users", access.create_user),
            ("POST", "/panel/access/users/{user}", access.change_user),
            ("GET", "/panel/access/users/{user}", sessions.show_user),
            ("POST", "/panel/access/sessions/end", sessions.end_others),
            ("POST", "/panel/access/sessions/{session}/end", sessions.end),
            ("GET", "/panel/agents", agents.show),
            ("GET", "/panel/new-agent", agents.form),
            ("POST", "/panel/new-agent", agents.create),
            ("GET", "/panel/agents/{id}", agents.show_one),
            ("GET", "/panel/agents/{id}/{tab}", agents.show_one),
            ("POST", "/panel/agents/{id}/chat", agents.say),
            ("GET", "/panel/agents/{id}/chat/{talk}", agents.chat),
            ("POST", "/panel/agents/{id}/chat/{talk}", agents.say),
            ("GET", "/panel/live/agents/{id}/chat/{talk}", agents.watch_chat),
            ("POST", "/panel/agents/{id}/definition", agents.save),
            ("POST", "/panel/agents/{id}/delete", agents.delete),
            ("POST", "/panel/{whose}/{id}/forget", crews.forget),
            ("GET", "/panel/new-crew", editor.form),
            ("POST", "/panel/new-crew", editor.create),
            ("GET", "/panel/crews/{id}", crews.show_one),
            ("GET", "/panel/crews/{id}/definition", editor.show),
            ("POST", "/panel/crews/{id}/definition", editor.save),
            ("POST", "/panel/crews/{id}/delete", editor.delete),
            ("POST", "/panel/crews/{id}/tasks/{task}", editor.save_task),
            ("POST", "/panel/crews/{id}/tasks/{task}/delete", editor.delete_task),
            ("GET", "/panel/crews/{id}/{tab}", crews.show_one),
            ("POST", "/panel/crews/{id}/run", crews.run),
            ("GET", "/panel/models", models.show),
            ("GET", "/panel/models/one", models.show_one),
            ("POST", "/panel/models/one", models.change),
            ("GET", "/panel/new-tool", tools.form),
            ("POST", "/panel/new-tool", tools.create),
            ("GET", "/panel/tools/{id}", tools.show),
            ("POST", "/panel/tools/{id}", tools.save),
            ("POST", "/panel/tools/{id}/delete", tools.delete),
            ("GET", "/panel/system", system.show),
            ("GET", "/panel/live/system", system.watch),
            ("POST", "/panel/theme", self._choose_theme),
            ("GET", "/panel/{rest:path}", _unknown),
        ]
        return [
            Route(f"{assets.PREFIX}/{{digest}}/{{name}}", self._open(assets.serve), methods=["GET"]),
            Route(PATHS, lambda _: shell.see_other(shell.HOME), methods=["GET"]),
            *(
                Route(path, self._page(page, is_held=(method, path) != ("POST", _PASSWORD)), methods=[method])
                for method, path, page in pages
            ),
        ]

    def _open(self, page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                return await page(request)
            except MeshError as error:
                return shell.error_page(request, error)

        return serve

    def _page(self, page: _Page, *, is_held: bool) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            visitor: Visitor | None = None
            try:
                principal = await user_of(MESH.find(request.headers), self._verifier, optional=False)
                check_access(principal, options_pb2.ACCESS_USER)
                hold = held(self._verifier, principal) if is_held else contextlib.nullcontext()
                with acting(principal), hold:
                    visitor = await self._welcome(request)
                    known = dataclasses.replace(visitor, principal=principal, verifier=self._verifier, live=self._live)
                    return await page(known)
            except Unauthenticated:
                return shell.sign_in_first(request)
            except away.AWAY as error:
                return await self._say_who_is_away(request, error, visitor)
            except MeshError as error:
                return shell.error_page(request, error, me=visitor)

        return serve

    async def _say_who_is_away(self, request: Request, error: MeshError, visitor: Visitor | None) -> Response:
        """Answer with a page that comes back by itself; a page that is looked at already stays as it is."""
        if shell.target_of(request).startswith(shell.LIVE):
            return away.stream()
        was_sent = request.method == "POST"
        text = away.message(error, await self._health.states(), was_sent=was_sent)
        return shell.error_page(request, error, text, me=visitor, returns=not was_sent)

    async def _welcome(self, request: Request) -> Visitor:
        """Return who has come, with what every page says to them."""
        if request.method == "POST":
            form, files = _sent(request.headers.get("content-type", bodies.FORM), await read(request))
        else:
            form, files = {}, []
        user, waiting = await asyncio.gather(self._self(), away.unless_away(_COUNT_S, self._waiting()))
        return Visitor(
            request=request,
            form=form,
            files=files,
            name=user.login,
            default_password=user.default_password,
            waiting=waiting or 0,
            operator=user.operator,
        )

    async def _self(self) -> auth_pb2.User:
        with from_rpc():
            found: auth_pb2.User = await self._peers.users.GetSelf(auth_pb2.GetSelfRequest(), timeout=_ASK_S)
        return found

    async def _waiting(self) -> int:
        """Return how many questions wait for them."""
        with from_rpc():
            request = lock_pb2.ListLocksRequest(page_size=_LOCKS_MAX)
            return len((await self._peers.locks.ListLocks(request, timeout=_COUNT_S)).locks)

    async def _choose_theme(self, visitor: Visitor) -> Response:
        theme = visitor.form.get("theme", "")
        if theme not in shell.THEMES:
            raise Denied("there is no such theme")
        response = shell.see_other(check_redirect(visitor.form.get("back") or shell.HOME))
        response.set_cookie(shell.THEME_COOKIE, theme, max_age=_THEME_AGE_S, path="/", samesite="lax", httponly=True)
        return response


def _sent(kind: str, body: bytes) -> tuple[dict[str, str], list[multipart.Sent]]:
    """Return the texts and the files of a form.  Raises `Invalid`."""
    if kind.lower().startswith("multipart/form-data"):
        return multipart.parts(body, kind)
    return bodies.parse_form(httpbody_pb2.HttpBody(content_type=kind, data=body)) if body else {}, []


async def _unknown(visitor: Visitor) -> Response:
    raise NotFound("Nothing is at this address. It may have been mistyped, or what was here was deleted.")
