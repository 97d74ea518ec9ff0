"""System, for operators: whether the mesh is well, what runs it, what waits, and how much it does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2, job_pb2
from starlette.responses import Response

from gateway.core.catalogue import Catalogue
from gateway.core.peers import Peers
from gateway.web.health import SERVING, Health
from gateway.web.metrics import Metrics
from gateway.web.panel import rates, shell
from gateway.web.panel.away import unless_away
from gateway.web.panel.live import Live
from gateway.web.panel.visitor import Visitor
from meshkit.errors import Denied, NotFound, from_rpc
from meshkit.verifier import MESH

_ASK_S = 4.0
"""Who does not answer by then is away, which is what this page is there to say."""
_FLOWS_MAX = 500
_LOOK_S = 2.0
_APPS: dict[int, tuple[str, str]] = {
    app_pb2.APP_STATE_STARTING: ("Starting", "busy"),
    app_pb2.APP_STATE_RUNNING: ("Running", "good"),
    app_pb2.APP_STATE_FAILED: ("Failed", "bad"),
    app_pb2.APP_STATE_UNHEALTHY: ("Unhealthy", "warn"),
    app_pb2.APP_STATE_OUTDATED: ("Outdated", "warn"),
}


class System:
    """The mesh itself, for operators: of a service that is away it says so, and shows what the others know."""

    def __init__(self, peers: Peers, health: Health, metrics: Metrics | None) -> None:
        self._catalogue = Catalogue(peers)
        self._apps = peers.apps
        self._jobs = peers.jobs
        self._health = health
        self._metrics = metrics

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/system."""
        return visitor.page("system.html", **await self._values(visitor, None))

    async def watch(self, visitor: Visitor) -> Response:
        """GET /panel/live/system."""
        return Live(visitor, self._parts(visitor))

    async def _parts(self, visitor: Visitor) -> AsyncGenerator[str, None]:
        last, before = "", None
        while True:
            values = await self._values(visitor, before)
            before = values.pop("counted")
            now = shell.render("parts/system.html", **values)
            if now != last:
                yield now
                last = now
            await asyncio.sleep(_LOOK_S)

    async def _values(self, visitor: Visitor, before: rates.Counted | None) -> dict[str, Any]:
        if not visitor.operator:
            raise Denied("only operators see the mesh itself")
        (serving, report), apps, queues, counted = await asyncio.gather(
            self._health.report(),
            unless_away(_ASK_S, self._placed()),
            unless_away(_ASK_S, self._queues()),
            unless_away(_ASK_S, self._counted(visitor)),
        )
        return {
            "serving": serving,
            "report": report,
            "services": _services(report),
            "measures": (report["isolation"] or {}).get("measures", ()),
            "hosts": [_host(app) for app in apps] if apps is not None else None,
            "queues": queues,
            "rates": rates.between(before, counted) if counted is not None else [],
            "counted": counted,
        }

    async def _placed(self) -> Sequence[app_pb2.App]:
        with from_rpc():
            found = await self._apps.ListApps(app_pb2.ListAppsRequest(show_engine=True), timeout=_ASK_S)
        return list(found.apps)

    async def _queues(self) -> list[dict[str, Any]]:
        """Return of each flow with jobs how many are queued, run, and wait for somebody; the busiest first."""
        found = await self._catalogue.all(most=_FLOWS_MAX)
        targets = [flow.name for flow in found]
        if not targets:
            return []
        with from_rpc():
            request = job_pb2.CountJobsRequest(targets=targets, all_owners=True)
            counts = (await self._jobs.CountJobs(request, timeout=_ASK_S)).counts
        busy = [_queue(count) for count in counts if count.job_count]
        return sorted(busy, key=lambda each: (-each["queued"], -each["running"], -each["waiting"], -each["all"]))

    async def _counted(self, visitor: Visitor) -> rates.Counted | None:
        if self._metrics is None:
            return None
        try:
            text = await self._metrics.read(f"Bearer {MESH.find(visitor.request.headers)}")
        except NotFound:  # they are off
            return None
        return rates.counted(text, time.monotonic())


def _services(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each service with the states of its replicas."""
    buses = report["bus"]
    found = []
    for service, state in report["services"].items():
        replicas = report["replicas"].get(service, [state])
        well = all(each == SERVING for each in replicas)
        word, badge = (
            ("Serving", "good") if well else ("Degraded", "warn") if state == SERVING else (_words(state), "bad")
        )
        deaf = buses.get(service, SERVING) != SERVING
        found.append({"name": service, "state": word, "badge_class": badge, "replicas": len(replicas), "deaf": deaf})
    return found


def _queue(count: job_pb2.TargetCount) -> dict[str, Any]:
    """Return a flow's jobs in the words of the list of executions: what waits, waits for an answer or a payment."""
    return {
        "flow": count.target.removeprefix("flows/"),
        "queued": count.waiting_count - count.awaiting_payment_count,
        "running": count.running_count - count.awaiting_input_count,
        "waiting": count.awaiting_input_count + count.awaiting_payment_count,
        "all": count.job_count,
    }


def _words(state: str) -> str:
    return state.replace("_", " ").capitalize()


def _host(app: app_pb2.App) -> dict[str, Any]:
    word, badge = _APPS.get(app.state, ("Not placed", ""))
    return {
        "app": app.name.removeprefix("apps/"),
        "state": word,
        "badge_class": badge,
        "ready": app.ready_count,
        "wanted": app.replica_count,
        "message": app.message,
    }
