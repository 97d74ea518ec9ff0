"""The runner's service of apps.  Unpack, call, pack."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import names, paging
from meshkit.errors import Denied, Invalid, from_rpc
from meshkit.interceptors import Context
from meshkit.principal import caller
from meshkit.tasks import Tasks
from services.runner.apps.apps import Apps
from services.runner.apps.appstates import App
from services.runner.births.calls import Calls
from services.runner.births.engine import EXPOSE
from services.runner.wire import app_from_pb, app_to_pb

_QUIET_S = 5.0
"""How long a stream may be silent."""
_CALL_S = 10.0
_DEPLOY_S = 600.0
"""At another replica; apps have a time to load that is shorter."""
Elsewhere = Callable[[], Awaitable[Any]]


class AppServicer(app_pb2_grpc.AppServiceServicer):
    """Apps.  What was begun is finished, though its caller hangs up: a deploy, a removal, a launch."""

    def __init__(self, apps: Apps, calls: Calls, tasks: Tasks, elsewhere: Elsewhere | None = None) -> None:
        """`elsewhere` returns the service of the replica that places hosts, if that is not this one."""
        self._elsewhere = elsewhere
        self._apps = apps
        self._calls = calls
        self._tasks = tasks

    async def DeployApp(self, request: app_pb2.DeployAppRequest, context: Context) -> app_pb2.App:
        """Load an app on hosts of its own.

        Raises `Invalid`, `Denied` for the engine, and `Unavailable` if no host can be started.
        """
        placed = app_from_pb(request)
        _check_free(placed.expose)
        if self._elsewhere is not None and (placing := await self._elsewhere()) is not None:
            with from_rpc():
                app: app_pb2.App = await placing.DeployApp(request, timeout=_DEPLOY_S)
            await self._apps.refresh()
            return app
        return self._pb(await self._tasks.complete(self._apps.deploy(placed), "deploy-app"))

    async def RemoveApp(self, request: app_pb2.RemoveAppRequest, context: Context) -> empty_pb2.Empty:
        """Stop an app and forget it.  Raises `NotFound`, and `Denied` for the engine."""
        _check_free(names.parse(request.name, "apps"))
        if self._elsewhere is not None and (placing := await self._elsewhere()) is not None:
            with from_rpc():
                await placing.RemoveApp(request, timeout=_DEPLOY_S)
            await self._apps.refresh()
            return empty_pb2.Empty()
        await self._tasks.complete(self._apps.remove(names.parse(request.name, "apps")), "remove-app")
        return empty_pb2.Empty()

    async def ListApps(self, request: app_pb2.ListAppsRequest, context: Context) -> app_pb2.ListAppsResponse:
        """Return every app that shall be served; the engine, which nobody has deployed, for who asks for it.

        Behind as many bytes as a page may have, apps are without their flows.
        """
        shown = [self._pb(app) for app in self._apps.list() if request.show_engine or app.expose != EXPOSE]
        left = paging.PAGE_BYTES_MAX
        for app in shown:
            left -= app.ByteSize()
            if left < 0:
                del app.flows[:]
        return app_pb2.ListAppsResponse(apps=shown)

    async def WatchApps(
        self, request: app_pb2.WatchAppsRequest, context: Context
    ) -> AsyncIterator[app_pb2.WatchAppsResponse]:
        """Send every app that shall be served, then what changes, until the runner ends."""
        known: dict[str, app_pb2.App] | None = None
        async for _ in self._apps.changes(_QUIET_S):
            apps = {app.name: app for app in map(self._pb, self._apps.list())}
            before = known or {}
            changed = [app for name, app in apps.items() if before.get(name) != app]
            for app in changed:  # one by one: each may have megabytes of forms
                yield app_pb2.WatchAppsResponse(apps=[app])
            removed = sorted(before.keys() - apps.keys())
            if known is None or removed or not changed:
                yield app_pb2.WatchAppsResponse(removed=removed, complete=known is None)
            known = apps

    async def CallApp(self, request: app_pb2.CallAppRequest, context: Context) -> app_pb2.CallAppResponse:
        """Send an HTTP request to an app.  Raises `NotFound`, `Unavailable`, `DeadlineExceeded`, `Invalid`."""
        if not caller().service:  # who asks, and by which address, is not for everybody to say
            request.client = request.base_url = ""
        call = self._calls.call(request, names.parse(request.name, "apps"), caller().user)
        return await self._tasks.complete(call, "call-app")

    async def StreamApp(
        self, request_iterator: AsyncIterator[app_pb2.StreamAppRequest], context: Context
    ) -> AsyncIterator[app_pb2.StreamAppResponse]:
        """Send an HTTP request to an app, or open a WebSocket, and pass on what comes of it.

        Raises as `CallApp` does, and `Invalid` for a stream that does not begin with a call.
        """
        requests = aiter(request_iterator)
        async with asyncio.timeout(_CALL_S):
            first = await anext(requests, app_pb2.StreamAppRequest())
        if not first.HasField("call"):
            raise Invalid("the first message must be a call", {"call": ["must come first"]})
        expose = names.parse(first.call.name, "apps")
        said = (request.part async for request in requests)
        async with contextlib.aclosing(self._calls.stream(first, expose, caller().user, said)) as parts:
            async for part in parts:
                yield app_pb2.StreamAppResponse(part=part)

    def _pb(self, app: App) -> app_pb2.App:
        return app_to_pb(app, self._apps.ready_count(app))


def _check_free(expose: str) -> None:
    if expose == EXPOSE:
        raise Denied(f"{EXPOSE} is the mesh's own app, which runs agents and crews: choose another name")
