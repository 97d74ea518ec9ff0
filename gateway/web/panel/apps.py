"""Apps, for operators: where each stands and why, its boot log, and the editor of its bootstrap."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import registry_pb2 as pb
from agentmesh_protos.runner.v1 import app_pb2
from starlette.responses import HTMLResponse, Response

from gateway.core.peers import Peers
from gateway.web.panel import boots, shell
from gateway.web.panel.addresses import naming
from gateway.web.panel.live import Live, changes
from gateway.web.panel.visitor import Visitor
from meshkit.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    Invalid,
    MeshError,
    NotFound,
    Unavailable,
    from_rpc,
)

TABS = {"flows": "Flows", "log": "Boot log", "edit": "Bootstrap"}
HOME = "/panel/apps"
_APPS_MAX = 500
_ASK_S = 10.0
_STATES: dict[int, tuple[str, str]] = {
    pb.EXPOSE_STATE_DRAFT: ("Draft", ""),
    pb.EXPOSE_STATE_DEAD: ("Stopped", ""),
    pb.EXPOSE_STATE_DEPLOYING: ("Deploying", "busy"),
    pb.EXPOSE_STATE_RUNNING: ("Running", "good"),
    pb.EXPOSE_STATE_DEPLOY_FAILED: ("Deploy failed", "bad"),
    pb.EXPOSE_STATE_UNHEALTHY: ("Unhealthy", "warn"),
    pb.EXPOSE_STATE_OUTDATED: ("Outdated", "warn"),
}
_UNSAID = (Invalid, Conflict, NotFound, Denied, Unavailable, DeadlineExceeded)
_EXAMPLE = """\
import_path: package.module:app
# runtime_env:
#   env_vars: {NAME: value}
"""


class Apps:
    """What is deployed, on behalf of an operator; the registry refuses everybody else."""

    def __init__(self, peers: Peers) -> None:
        self._exposes = peers.exposes
        self._boot = peers.boot
        self._apps = peers.apps

    # -- all of them ---------------------------------------------------------------------------------------------

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/apps."""
        return visitor.page("apps.html", **await self._list())

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/apps."""

        async def part() -> str:
            return shell.render("parts/apps.html", **await self._list())

        await part()  # who may not see it is told by a status
        return Live(visitor, changes(part))

    async def boot(self, visitor: Visitor) -> Response:
        """POST /panel/boot: what runs becomes what is defined."""
        await self._begun(self._boot.StartBoot(pb.StartBootRequest(), timeout=_ASK_S))
        return shell.see_other(HOME)

    async def _list(self) -> dict[str, Any]:
        with from_rpc():
            page, boot = await asyncio.gather(
                self._exposes.ListExposes(pb.ListExposesRequest(page_size=_APPS_MAX), timeout=_ASK_S),
                self._boot.GetBoot(pb.GetBootRequest(), timeout=_ASK_S),
            )
        return {
            "rows": [_row(expose) for expose in page.exposes],
            "cut": bool(page.next_page_token),
            "booting": boot.running,
            "log": boots.lines_of(boot),
            "began": boots.began(boot),
        }

    # -- one -----------------------------------------------------------------------------------------------------

    async def show_one(self, visitor: Visitor) -> Response:
        """GET /panel/apps/{name}[/{tab}]."""
        tab = _tab(visitor)
        values = await self._one(visitor.path("name"), tab)
        return visitor.page("app.html", **values, **_editor(values["expose"]))

    async def watch_one(self, visitor: Visitor) -> Response:
        """GET /panel/live/apps/{name}/{tab}."""
        tab = _tab(visitor)

        async def part() -> str:
            return shell.render("parts/app.html", **await self._one(visitor.path("name"), tab))

        await part()
        return Live(visitor, changes(part))

    async def save(self, visitor: Visitor) -> Response:
        """POST /panel/apps/{name}/edit: save the bootstrap, or show it again with what is wrong."""
        stored = await self._get(visitor.path("name"))
        wanted = _edited(stored, visitor.form)
        try:
            await self._save(wanted, validate_only=True)
            if "check" not in visitor.form:
                await self._save(wanted)
        except (Invalid, Conflict) as error:
            values = await self._one(visitor.path("name"), "edit")
            editor = _editor(wanted, wrong=_wrong(error))
            return visitor.page("app.html", status=422, **values, **editor)
        if "check" in visitor.form:
            values = await self._one(visitor.path("name"), "edit")
            return visitor.page("app.html", **values, **_editor(wanted, fine=True))
        if "restart" in visitor.form:
            return await self.restart(visitor)
        return shell.see_other(_url(visitor.path("name")))

    async def check(self, visitor: Visitor) -> Response:
        """POST …/check: what `save` would say, as the part of the page that says it."""
        name, wrong = visitor.path("name"), ""
        try:
            stored = await self._get(name) if name else _new(visitor.form)
            await self._save(_edited(stored, visitor.form), validate_only=True)
        except _UNSAID as error:  # a page of its own would take the place of a line here
            wrong = _wrong(error)
        return HTMLResponse(shell.render("parts/verdict.html", wrong=wrong, fine=not wrong))

    async def restart(self, visitor: Visitor) -> Response:
        """POST /panel/apps/{name}/restart."""
        await self._restart(visitor.path("name"))
        return shell.see_other(f"{_url(visitor.path('name'))}/log")

    async def enable(self, visitor: Visitor) -> Response:
        """POST /panel/apps/{name}/enabled: start it, or stop it and keep its bootstrap."""
        name = visitor.path("name")
        expose = await self._get(name)
        expose.enabled = visitor.form.get("enabled") == "true"
        await self._save(expose)
        await self._restart(name)
        return shell.see_other(f"{_url(name)}/log")

    async def delete(self, visitor: Visitor) -> Response:
        """POST /panel/apps/{name}/delete: forget it; it must be disabled, as its app would run on."""
        expose = await self._get(visitor.path("name"))
        if expose.enabled:
            raise Invalid("Disable the app first: what runs would run on until the next boot.")
        with from_rpc():
            await self._exposes.DeleteExpose(pb.DeleteExposeRequest(name=expose.name), timeout=_ASK_S)
        return shell.see_other(HOME)

    # -- a new one -----------------------------------------------------------------------------------------------

    async def form(self, visitor: Visitor) -> Response:
        """GET /panel/deploy."""
        with from_rpc():  # who may not deploy is not shown how
            await self._exposes.ListExposes(pb.ListExposesRequest(page_size=1), timeout=_ASK_S)
        return visitor.page("deploy.html", **_editor(pb.Expose(bootstrap=_EXAMPLE)), name="")

    async def deploy(self, visitor: Visitor) -> Response:
        """POST /panel/deploy: add an app and start it."""
        wanted = _edited(_new(visitor.form), visitor.form)
        name = wanted.name.removeprefix("exposes/").strip().lower()
        try:
            if await self._is_there(name):
                raise Invalid(f"There is an app {name} already: choose another name.")
            await self._save(wanted, validate_only=True)
            if "check" not in visitor.form:
                await self._save(wanted)
        except Invalid as error:
            editor = _editor(wanted, wrong=_wrong(error))
            return visitor.page("deploy.html", status=422, **editor, name=visitor.form.get("name", ""))
        if "check" in visitor.form:
            return visitor.page("deploy.html", **_editor(wanted, fine=True), name=name)
        await self._restart(name)
        return shell.see_other(f"{_url(name)}/log")

    # -- what it stands on ---------------------------------------------------------------------------------------

    async def _one(self, name: str, tab: str) -> dict[str, Any]:
        expose, boot, apps = await asyncio.gather(self._get(name), self._last_boot(), self._placed())
        placed = apps.get(name)
        return {
            **_row(expose),
            "tab": tab,
            "tabs": TABS,
            "booting": boot.running,
            "began": boots.began(boot),
            "log": boots.lines_of(boot, name),
            "flows": [_flow(meta) for meta in expose.meta],
            "detail": placed.detail if placed else "",
            "import_path": placed.import_path if placed else "",
            "hosts": f"{placed.ready_count} of {placed.replica_count}" if placed else "",
        }

    async def _get(self, name: str) -> pb.Expose:
        with naming("app", "it may have been deleted"):
            request = pb.GetExposeRequest(name=f"exposes/{name}")
            expose: pb.Expose = await self._exposes.GetExpose(request, timeout=_ASK_S)
        return expose

    async def _is_there(self, name: str) -> bool:
        with contextlib.suppress(NotFound):
            return bool(await self._get(name))
        return False

    async def _last_boot(self) -> pb.Boot:
        with from_rpc():
            boot: pb.Boot = await self._boot.GetBoot(pb.GetBootRequest(), timeout=_ASK_S)
        return boot

    async def _placed(self) -> Mapping[str, app_pb2.App]:
        with from_rpc():
            answer = await self._apps.ListApps(app_pb2.ListAppsRequest(), timeout=_ASK_S)
        return {app.name.removeprefix("apps/"): app for app in answer.apps}

    async def _save(self, expose: pb.Expose, *, validate_only: bool = False) -> None:
        with from_rpc():
            request = pb.SaveExposeRequest(expose=expose, validate_only=validate_only)
            await self._exposes.SaveExpose(request, timeout=_ASK_S)

    async def _restart(self, name: str) -> None:
        request = pb.RefreshExposeRequest(name=f"exposes/{name}")
        await self._begun(self._boot.RefreshExpose(request, timeout=_ASK_S))

    async def _begun(self, events: Any) -> None:
        """Wait until a boot has begun; it goes on without us, and the page follows it."""
        try:
            with from_rpc():
                async for _ in events:
                    return
        except FailedPrecondition:
            raise FailedPrecondition(
                "A boot is under way. What was saved is saved: restart the app when the boot has ended."
            ) from None
        finally:
            events.cancel()


def _tab(visitor: Visitor) -> str:
    tab = visitor.path("tab") or "flows"
    if tab not in TABS:
        raise NotFound("An app has no such tab.")
    return tab


def _url(name: str) -> str:
    return f"{HOME}/{name}"


def _new(form: Mapping[str, str]) -> pb.Expose:
    return pb.Expose(name=f"exposes/{form.get('name', '')}", enabled=True)


def _edited(stored: pb.Expose, form: Mapping[str, str]) -> pb.Expose:
    """Return an expose with what the editor sent in place of what is stored."""
    wanted = pb.Expose()
    wanted.CopyFrom(stored)
    wanted.bootstrap = form.get("bootstrap", "").replace("\r\n", "\n")
    wanted.etag = form.get("etag", "")
    return wanted


def _editor(expose: pb.Expose, *, wrong: str = "", fine: bool = False) -> dict[str, Any]:
    """Return what the editor is filled with, and what was said of it."""
    return {"bootstrap": expose.bootstrap, "etag": expose.etag, "wrong": wrong, "fine": fine}


def _wrong(error: MeshError) -> str:
    """Return what is wrong with what was typed."""
    if isinstance(error, Conflict):
        return "Somebody else has saved it meanwhile. Copy what you need, and open this page again."
    return str(error)


def _row(expose: pb.Expose) -> dict[str, Any]:
    """Return what is shown of an app wherever it is."""
    word, badge = _STATES.get(expose.state, ("Unknown", ""))
    name = expose.name.removeprefix("exposes/")
    return {
        "expose": expose,
        "name": name,
        "title": expose.display_name or name,
        "url": _url(name),
        "state": word,
        "badge_class": badge,
        "message": expose.message,
        "seen": expose.heartbeat_time if expose.HasField("heartbeat_time") else None,
    }


def _flow(meta: pb.FlowMeta) -> dict[str, Any]:
    word, badge = {"alive": ("Answers", "good"), "dead": ("Does not answer", "bad")}.get(meta.state, ("Not asked", ""))
    return {
        "url": meta.url,
        "run": f"/panel/run{meta.url.rstrip('/')}",
        "runs": meta.enabled and meta.state == "alive",
        "state": word if meta.enabled else "Disabled",
        "badge_class": badge if meta.enabled else "",
        "answered": boots.answered(meta.seen) if meta.seen else "",
    }
