"""The runner, over gRPC: the adapter of `services.registry.ports.apps`."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncGenerator, Callable, Sequence

import grpc
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc

from meshkit.clock import moment_of
from meshkit.errors import DeadlineExceeded, MeshError, NotFound, Unavailable, from_rpc
from services.registry.domain.bounds import Bounds
from services.registry.domain.deploying import Deployed, DeployFailed, Isolation, Plan
from services.registry.domain.exposes import FoundFlow
from services.registry.domain.standings import AppStatus, Snapshot, State

_LIST_S = 2.0
"""How long the runner may take to say where apps stand."""
_SILENCE_S = 12.0
"""How long its stream may be silent: it says something every five seconds."""
_REMOVE_S = 60.0
"""The runner ends the app's jobs first."""
_FORM_BYTES_MAX = 1024 * 1024
"""A longer form or schema is left out of the catalogue: whoever needs it asks the app."""

_STATES: dict[int, State] = {
    app_pb2.APP_STATE_STARTING: State.DEPLOYING,
    app_pb2.APP_STATE_RUNNING: State.RUNNING,
    app_pb2.APP_STATE_FAILED: State.DEPLOY_FAILED,
    app_pb2.APP_STATE_UNHEALTHY: State.UNHEALTHY,
    app_pb2.APP_STATE_OUTDATED: State.OUTDATED,
}
_ISOLATIONS: dict[Isolation | None, app_pb2.Isolation.ValueType] = {
    None: app_pb2.ISOLATION_UNSPECIFIED,
    Isolation.PROCESS: app_pb2.ISOLATION_PROCESS,
    Isolation.SHARED: app_pb2.ISOLATION_SHARED,
}


def state_of(number: int) -> State:
    """Return what an `AppState` of the runner means here; one that is not known is not a healthy one."""
    return _STATES.get(number, State.UNHEALTHY)


class RunnerApps:
    """Calls `mesh.runner.v1.AppService`."""

    def __init__(
        self, stub: app_pb2_grpc.AppServiceStub, now: Callable[[], datetime.datetime], *, patience_s: float = 10.0
    ) -> None:
        """`patience_s` is how long a patient caller waits for an answer."""
        self._stub = stub
        self._now = now
        self._patience_s = patience_s

    async def fetch(self, *, patient: bool = False) -> Snapshot:
        """Return where apps stand; raise `Unavailable` if the runner does not answer."""
        timeout = self._patience_s if patient else _LIST_S
        try:
            with from_rpc():
                answer = await self._stub.ListApps(app_pb2.ListAppsRequest(), timeout=timeout, wait_for_ready=patient)
        except (Unavailable, DeadlineExceeded) as error:
            raise Unavailable("the runner does not answer: see whether it runs, then try again") from error
        apps = {app.name.removeprefix("apps/"): _status(app) for app in answer.apps}
        return Snapshot(apps=apps, seen_at=self._now())

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """Yield where apps stand with each message of the runner; raise `Unavailable` when it is cut off or silent."""
        apps: dict[str, AppStatus] = {}
        complete = False
        call = self._stub.WatchApps(app_pb2.WatchAppsRequest())
        try:
            while True:
                with from_rpc():
                    async with asyncio.timeout(_SILENCE_S):
                        message = await call.read()
                if message is grpc.aio.EOF:
                    return
                apps |= {app.name.removeprefix("apps/"): _status(app) for app in message.apps}
                for name in message.removed:
                    apps.pop(name.removeprefix("apps/"), None)
                complete = complete or message.complete
                if complete:
                    yield Snapshot(apps=dict(apps), seen_at=self._now())
        except TimeoutError:
            raise Unavailable(f"the runner has said nothing for {_SILENCE_S:g} s") from None
        finally:
            call.cancel()

    async def deploy(self, expose: str, plan: Plan, timeout_s: float) -> Deployed:
        """Load an app and return what serves now; raise `DeployFailed` with the reason if nothing does."""
        request = app_pb2.DeployAppRequest(
            name=f"apps/{expose}",
            import_path=plan.import_path,
            runtime_env_json=plan.runtime_env_json,
            deployments_json=plan.deployments_json,
            fork=plan.fork,
            isolation=_ISOLATIONS[plan.isolation],
            bounds=_bounds(plan.bounds),
        )
        try:
            with from_rpc():
                app = await self._stub.DeployApp(request, timeout=timeout_s)
        except MeshError as error:
            raise DeployFailed(str(error)) from error
        status = _status(app)
        if not status.state.serves:
            raise DeployFailed(app.message or f"the runner says {app_pb2.AppState.Name(app.state)}")
        return Deployed(status=status, flows=flows_of(app.flows))

    async def remove(self, expose: str) -> None:
        """Stop an app; one that is not there is fine.  Raises a `MeshError` if it cannot be stopped."""
        with contextlib.suppress(NotFound), from_rpc():
            await self._stub.RemoveApp(app_pb2.RemoveAppRequest(name=f"apps/{expose}"), timeout=_REMOVE_S)

    async def probe(self, expose: str, path: str, timeout_s: float) -> int:
        """Ask a flow for its form; return the HTTP status, or raise a `MeshError` if there is none."""
        request = app_pb2.CallAppRequest(
            name=f"apps/{expose}",
            method="GET",
            path=path,
            headers=[app_pb2.Header(name="accept", value="application/json")],
        )
        with from_rpc():
            return int((await self._stub.CallApp(request, timeout=timeout_s)).status)


def _bounds(bounds: Bounds) -> app_pb2.Bounds:
    return app_pb2.Bounds(
        memory_bytes=bounds.memory_bytes,
        process_count=bounds.processes,
        open_file_count=bounds.open_files,
        file_bytes=bounds.file_bytes,
        read_paths=bounds.read_paths,
        write_paths=bounds.write_paths,
    )


def _status(app: app_pb2.App) -> AppStatus:
    return AppStatus(
        state=state_of(app.state),
        message=app.message,
        activity=app.activity,
        heartbeat_at=moment_of(app.heartbeat_time) if app.HasField("heartbeat_time") else None,
    )


def flows_of(infos: Sequence[app_pb2.FlowInfo]) -> tuple[FoundFlow, ...]:
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
                elements_json=_bounded(info.elements_json),
                input_schema_json=_bounded(info.input_schema_json),
            ),
        )
    return tuple(flows[path] for path in sorted(flows))


def _bounded(text: str) -> str:
    return text if len(text.encode()) <= _FORM_BYTES_MAX else ""
