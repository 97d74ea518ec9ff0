"""The runner's service of apps.  Unpack, call, pack."""

from google.protobuf import empty_pb2
from mesh.runner.v1 import app_pb2, app_pb2_grpc

from meshkit import names
from meshkit.errors import Denied
from meshkit.interceptors import Context
from meshkit.principal import caller
from meshkit.tasks import Tasks
from services.runner.apps import App, Apps
from services.runner.calls import Calls
from services.runner.engine import EXPOSE
from services.runner.wire import app_from_pb, app_to_pb


class AppServicer(app_pb2_grpc.AppServiceServicer):
    """Apps.  What was begun is finished, though its caller hangs up: a deploy, a removal, a launch."""

    def __init__(self, apps: Apps, calls: Calls, tasks: Tasks) -> None:
        self._apps = apps
        self._calls = calls
        self._tasks = tasks

    async def DeployApp(self, request: app_pb2.DeployAppRequest, context: Context) -> app_pb2.App:
        """Load an app on hosts of its own.

        Raises `Invalid`, `Denied` for the engine, and `Unavailable` if no host can be started.
        """
        placed = app_from_pb(request)
        _check_free(placed.expose)
        return self._pb(await self._tasks.complete(self._apps.deploy(placed), "deploy-app"))

    async def RemoveApp(self, request: app_pb2.RemoveAppRequest, context: Context) -> empty_pb2.Empty:
        """Stop an app and forget it.  Raises `NotFound`, and `Denied` for the engine."""
        _check_free(names.parse(request.name, "apps"))
        await self._tasks.complete(self._apps.remove(names.parse(request.name, "apps")), "remove-app")
        return empty_pb2.Empty()

    async def ListApps(self, request: app_pb2.ListAppsRequest, context: Context) -> app_pb2.ListAppsResponse:
        """Return every app that shall be served; the engine, which nobody has deployed, for who asks for it."""
        shown = [app for app in self._apps.list() if request.show_engine or app.expose != EXPOSE]
        return app_pb2.ListAppsResponse(apps=[self._pb(app) for app in shown])

    async def CallApp(self, request: app_pb2.CallAppRequest, context: Context) -> app_pb2.CallAppResponse:
        """Send an HTTP request to an app.  Raises `NotFound`, `Unavailable`, `DeadlineExceeded`, `Invalid`."""
        call = self._calls.call(request, names.parse(request.name, "apps"), caller().user)
        return await self._tasks.complete(call, "call-app")

    def _pb(self, app: App) -> app_pb2.App:
        return app_to_pb(app, self._apps.ready_count(app))


def _check_free(expose: str) -> None:
    if expose == EXPOSE:
        raise Denied(f"{EXPOSE} is the mesh's own app, which runs agents and crews: choose another name")
