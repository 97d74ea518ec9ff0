"""Where apps stand, between replicas of the runner: the one that places hosts tells, the others read."""

import contextlib
from collections.abc import Collection, Mapping

from agentmesh_protos.runner.v1 import app_pb2, host_pb2

from meshkit.errors import FailedPrecondition
from services.runner.apps.appstates import App, AppState
from services.runner.callers.masking import Masks
from services.runner.domain import PlacedApp, deployments
from services.runner.ports.replicas import ReplicaStore, Standing
from services.runner.ports.store import AppStore


class Standings:
    """What this replica has read of apps, and has told."""

    def __init__(self, store: AppStore, replicas: ReplicaStore, masks: Masks) -> None:
        self._store = store
        self._replicas = replicas
        self._masks = masks
        self._versions: dict[str, int] = {}
        self._told: dict[str, Standing] = {}

    def begin(self) -> None:
        """Know nothing of what was read or told."""
        self._versions.clear()
        self._told.clear()

    async def read(self) -> tuple[dict[str, App], Collection[str]]:
        """Return the apps that have changed since they were read, and the exposes of all.  Raises `Unavailable`."""
        versions = await self._replicas.versions()
        changed = {expose for expose, version in versions.items() if self._versions.get(expose) != version}
        apps: dict[str, App] = {}
        if changed:
            kept = {placed.expose: placed for placed in await self._store.apps() if placed.expose in changed}
            apps = {one.expose: self._app(kept[one.expose], one) for one in await self._replicas.standings(list(kept))}
        self._versions = versions
        return apps, versions.keys()

    async def flows(self) -> dict[str, dict[str, app_pb2.FlowInfo]]:
        """Return what was said last of what each app offers, by expose and path.  Raises `Unavailable`."""
        known = await self._replicas.standings(list(await self._replicas.versions()))
        return {one.expose: _flows_of(one) for one in known}

    async def tell(self, apps: Mapping[str, App]) -> None:
        """Write down where apps stand, if they stand elsewhere than we have told.  Raises `Unavailable`."""
        for expose, app in list(apps.items()):
            standing = _standing_of(app)
            if self._told.get(expose) != standing:
                await self._replicas.note_standing(standing)
                self._told[expose] = standing

    def _app(self, kept: PlacedApp, standing: Standing) -> App:
        app = App(kept, deployments.parse(kept.deployments_json).resources_json)
        with contextlib.suppress(FailedPrecondition):  # the key of this mesh is another one now
            app.placed = self._masks.opened_app(kept)
        # One of which nothing is said yet is being started.
        app.state = AppState(standing.state) if standing.state else AppState.STARTING
        app.message, app.detail, app.seen_at = standing.message, standing.detail, standing.seen_at
        app.flows = _flows_of(standing)
        return app


def _standing_of(app: App) -> Standing:
    flows = host_pb2.Loaded(flows=app.flows.values())
    return Standing(
        expose=app.expose,
        state=app.state.value,
        message=app.message,
        detail=app.detail,
        seen_at=app.seen_at,
        flows=flows.SerializeToString(deterministic=True),
    )


def _flows_of(standing: Standing) -> dict[str, app_pb2.FlowInfo]:
    return {flow.path: flow for flow in host_pb2.Loaded.FromString(standing.flows).flows}
