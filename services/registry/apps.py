"""The runner, as the registry sees it: where apps are placed, and what they say."""

import asyncio
import contextlib
import contextvars
import datetime
import time
from collections.abc import Callable, Sequence

import structlog
from mesh.runner.v1 import app_pb2, app_pb2_grpc

from meshkit.errors import DeadlineExceeded, MeshError, NotFound, Unavailable, from_rpc
from services.registry.documents import Plan
from services.registry.domain import AppStatus, FoundFlow, Snapshot, State

log = structlog.get_logger()

_LIST_S = 2.0
"""How long a reader waits for the runner."""
_REMOVE_S = 60.0
"""The runner ends the app's jobs first."""

_STATES = {
    app_pb2.APP_STATE_STARTING: State.DEPLOYING,
    app_pb2.APP_STATE_RUNNING: State.RUNNING,
    app_pb2.APP_STATE_FAILED: State.DEPLOY_FAILED,
    app_pb2.APP_STATE_UNHEALTHY: State.UNHEALTHY,
    app_pb2.APP_STATE_OUTDATED: State.OUTDATED,
}


class DeployFailed(Exception):
    """The app could not be loaded; the text says why."""


class Apps:
    """Calls the runner, always as the registry itself: never with the token of the user who happens to ask."""

    def __init__(
        self,
        stub: app_pb2_grpc.AppServiceStub,
        now: Callable[[], datetime.datetime],
        *,
        fresh_s: float = 1.0,
        patience_s: float = 10.0,
    ) -> None:
        """Make it where no call is being served: the context of this moment is the one calls are made in.

        Readers are shown an answer of the runner for `fresh_s`; boots wait `patience_s` for one.
        """
        self._fresh_s = fresh_s
        self._patience_s = patience_s
        self._stub = stub
        self._now = now
        self._context = contextvars.copy_context()
        self._asking: set[asyncio.Task[Snapshot]] = set()
        self._latest: asyncio.Task[Snapshot] | None = None
        self._snapshot = Snapshot(apps={}, seen_at=None, reachable=False)
        self._fresh_until = 0.0

    async def current(self) -> Snapshot:
        """Return where apps stand, at most `fresh_s` old.  If the runner does not answer, the snapshot says so."""
        if time.monotonic() < self._fresh_until:
            return self._snapshot
        if self._latest is None:
            self._latest = asyncio.create_task(self._ask(), name="list-apps", context=self._context.copy())
            self._asking.add(self._latest)
            self._latest.add_done_callback(self._asking.discard)
        return await asyncio.shield(self._latest)  # a reader that hangs up does not stop the others

    def forget(self) -> None:
        """Ask again at the next read: something was just changed."""
        self._fresh_until = 0.0
        self._latest = None

    async def close(self) -> None:
        """Stop asking."""
        for task in list(self._asking):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _ask(self) -> Snapshot:
        try:
            snapshot = await self.fetch()
        except MeshError as error:
            log.warning("runner does not answer", error=str(error))
            snapshot = Snapshot(apps={}, seen_at=self._snapshot.seen_at, reachable=False)
        if asyncio.current_task() is self._latest:  # else something changed since we asked
            self._snapshot = snapshot
            self._fresh_until = time.monotonic() + self._fresh_s
            self._latest = None
        return snapshot

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Ask the runner where apps stand; raise a `MeshError` if it does not answer.

        A `patient` caller waits for a runner that is being restarted.
        """
        timeout = self._patience_s if patient else _LIST_S
        try:
            with from_rpc():
                answer = await self._stub.ListApps(app_pb2.ListAppsRequest(), timeout=timeout, wait_for_ready=patient)
        except (Unavailable, DeadlineExceeded) as error:
            raise Unavailable("the runner does not answer: see whether it runs, then try again") from error
        apps = {app.name.removeprefix("apps/"): _status(app) for app in answer.apps}
        return Snapshot(apps=apps, seen_at=self._now())

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> list[FoundFlow]:
        """Load an app and return its flows, none alive yet; raise `DeployFailed` with the reason."""
        request = app_pb2.DeployAppRequest(
            name=f"apps/{expose}",
            import_path=plan.import_path,
            runtime_env_json=plan.runtime_env_json,
            deployments_json=plan.deployments_json,
            fork=plan.fork,
        )
        try:
            with from_rpc():
                app = await self._stub.DeployApp(request, timeout=timeout_s)
        except MeshError as error:
            raise DeployFailed(str(error)) from error
        finally:
            self.forget()
        if app.state != app_pb2.APP_STATE_RUNNING:
            raise DeployFailed(app.message or f"the runner says {app_pb2.AppState.Name(app.state)}")
        return _flows(app.flows)

    async def remove(self, expose: str) -> None:
        """Stop an app; one that is not there is fine.  Raises a `MeshError` if it cannot be stopped."""
        try:
            with contextlib.suppress(NotFound), from_rpc():
                await self._stub.RemoveApp(app_pb2.RemoveAppRequest(name=f"apps/{expose}"), timeout=_REMOVE_S)
        finally:
            self.forget()

    async def probe(self, expose: str, flow: FoundFlow, timeout_s: float) -> int:
        """Ask a flow for its form; return the HTTP status, or raise a `MeshError` if there is none."""
        request = app_pb2.CallAppRequest(
            name=f"apps/{expose}",
            method="GET",
            path=flow.path,
            headers=[app_pb2.Header(name="accept", value="application/json")],
        )
        with from_rpc():
            return int((await self._stub.CallApp(request, timeout=timeout_s)).status)


def _status(app: app_pb2.App) -> AppStatus:
    return AppStatus(
        state=_STATES.get(app.state, State.UNHEALTHY),
        message=app.message,
        heartbeat_at=(app.heartbeat_time.ToDatetime(datetime.UTC) if app.HasField("heartbeat_time") else None),
    )


def _flows(infos: Sequence[app_pb2.FlowInfo]) -> list[FoundFlow]:
    """Return flows by path; of two on one path the first counts."""
    flows: dict[str, FoundFlow] = {}
    for info in infos:
        flows.setdefault(
            info.path.strip("/"),
            FoundFlow(
                path=info.path or "/",
                method=info.method or "GET",
                summary=info.summary,
                description=info.description,
                tags=tuple(sorted(set(info.tags))),
                author=info.author if info.HasField("author") else None,
                organization=info.organization if info.HasField("organization") else None,
                version=info.version if info.HasField("version") else None,
                deprecated=info.deprecated if info.HasField("deprecated") else None,
            ),
        )
    return [flows[path] for path in sorted(flows)]
