"""The engine: the app of the mesh's own that runs agents and crews.

It is placed like any other app, but by the runner, at each start, and nobody else may deploy or remove it.
"""

import asyncio

import structlog

from meshkit.errors import MeshError
from services.runner.apps.apps import Apps
from services.runner.apps.appstates import AppState
from services.runner.domain import PlacedApp

log = structlog.get_logger()
EXPOSE = "agents"
ENTRY_POINT = "agentmesh.engine.flow:run"
PLACED = PlacedApp(
    expose=EXPOSE,
    import_path="agentmesh.engine.app:app",
    runtime_env_json="{}",
    deployments_json="[]",
    fork=True,
)
_AGAIN_S = 1.0
_AGAIN_S_MAX = 30.0


async def provide(apps: Apps) -> None:
    """Have the engine served; tried again until it is, since nobody is there to try it by hand."""
    pause_s = _AGAIN_S
    while True:
        try:
            app = await apps.provide(PLACED)
            if app.state is not AppState.FAILED:
                return
            log.warning("the engine could not be loaded", error=app.message)
        except MeshError as error:
            log.warning("the engine cannot be placed now", error=str(error))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _AGAIN_S_MAX)
