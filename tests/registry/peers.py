"""The registry's peers, in this process but on real ports: an auth service that issues tokens, and a runner."""

import asyncio
import contextlib
import dataclasses
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator

import grpc
import jwt
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import app_pb2, app_pb2_grpc
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import empty_pb2

from meshkit.bus import MemoryBus
from meshkit.interceptors import Context


@contextlib.asynccontextmanager
async def serving(server: grpc.aio.Server) -> AsyncIterator[str]:
    """Serve on a free port for the length of the block; yield the address."""
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


class Auth:
    """The two methods of the auth service that other services need: it keeps one key, and revokes nobody."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def token(self, *, operator: bool) -> str:
        """Return an access token, as the mesh's auth service would."""
        now = time.time()
        claims = {"iss": "agentmesh", "sub": str(uuid.uuid4()), "operator": operator, "jti": uuid.uuid4().hex}
        return jwt.encode({**claims, "iat": now, "exp": now + 600}, self._key, "ES256", headers={"kid": "test"})

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve on `server`."""
        handlers = {
            "GetJwks": grpc.unary_unary_rpc_method_handler(
                self._jwks, auth_pb2.GetJwksRequest.FromString, auth_pb2.Jwks.SerializeToString
            ),
            "WatchRevocations": grpc.unary_stream_rpc_method_handler(
                self._revocations,
                auth_pb2.WatchRevocationsRequest.FromString,
                auth_pb2.WatchRevocationsResponse.SerializeToString,
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("mesh.auth.v1.AuthService", handlers),))

    async def _jwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> auth_pb2.Jwks:
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return auth_pb2.Jwks(jwks_json=json.dumps({"keys": [{**key, "kid": "test", "alg": "ES256"}]}))

    async def _revocations(
        self, request: auth_pb2.WatchRevocationsRequest, context: Context
    ) -> AsyncIterator[auth_pb2.WatchRevocationsResponse]:
        yield auth_pb2.WatchRevocationsResponse()
        await asyncio.Event().wait()


@dataclasses.dataclass
class Module:
    """What an import path leads to."""

    flows: list[app_pb2.FlowInfo]
    statuses: dict[str, int] = dataclasses.field(default_factory=dict)
    """HTTP status by path; 200 if not named."""
    gate: asyncio.Event | None = None
    """If given, the app is not loaded before this is set."""
    answering: asyncio.Event | None = None
    """If given, no flow answers before this is set."""
    loading: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """Set once a load has begun."""


_SERVING = (app_pb2.APP_STATE_RUNNING, app_pb2.APP_STATE_OUTDATED)


class Runner(app_pb2_grpc.AppServiceServicer):
    """A runner whose apps are entries in a table: no code is loaded, but the protocol is the real one."""

    def __init__(self) -> None:
        self.modules: dict[str, Module] = {}
        """By import path; what is not here cannot be imported."""
        self.apps: dict[str, app_pb2.App] = {}
        self.deployed: list[app_pb2.DeployAppRequest] = []
        self.removed: list[str] = []
        self.callers: list[dict[str, str]] = []
        """The metadata of every call."""
        self.loading_now = 0
        self.loading_most = 0
        self.stuck: set[str] = set()
        """Names of apps that cannot be removed."""
        self.watched = 0
        """How many streams were opened."""
        self._bus = MemoryBus()

    async def change(self, name: str, state: app_pb2.AppState.ValueType, message: str = "") -> None:
        """Let an app stand elsewhere than before, as when its host is lost."""
        self.apps[name].state, self.apps[name].message = state, message
        await self._bus.publish("apps")

    def _see(self, context: Context) -> None:
        self.callers.append(dict(context.invocation_metadata()))

    async def DeployApp(self, request: app_pb2.DeployAppRequest, context: Context) -> app_pb2.App:
        """Load from the table."""
        self._see(context)
        self.deployed.append(request)
        before = self.apps.get(request.name)
        app = app_pb2.App(name=request.name, import_path=request.import_path, state=app_pb2.APP_STATE_STARTING)
        app.heartbeat_time.GetCurrentTime()
        self.apps[request.name] = app
        await self._bus.publish("apps")
        self.loading_now += 1
        self.loading_most = max(self.loading_most, self.loading_now)
        try:
            module = self.modules.get(request.import_path)
            if module is None:
                app.state = app_pb2.APP_STATE_FAILED
                app.message = f"ModuleNotFoundError: No module named {request.import_path.partition(':')[0]!r}"
                if before is not None and before.state in _SERVING:
                    before.state, before.message = app_pb2.APP_STATE_OUTDATED, app.message
                    app = self.apps[request.name] = before
                return app
            module.loading.set()
            if module.gate is not None:
                await module.gate.wait()
            app.flows.extend(module.flows)
            app.state = app_pb2.APP_STATE_RUNNING
            return app
        finally:
            self.loading_now -= 1
            await self._bus.publish("apps")

    async def RemoveApp(self, request: app_pb2.RemoveAppRequest, context: Context) -> empty_pb2.Empty:
        """Forget an app."""
        self._see(context)
        if request.name in self.stuck:
            await context.abort(grpc.StatusCode.INTERNAL, "it clings to life")
        self.removed.append(request.name)
        self.apps.pop(request.name, None)
        await self._bus.publish("apps")
        return empty_pb2.Empty()

    async def ListApps(self, request: app_pb2.ListAppsRequest, context: Context) -> app_pb2.ListAppsResponse:
        """Return the table."""
        self._see(context)
        return app_pb2.ListAppsResponse(apps=self.apps.values())

    async def WatchApps(
        self, request: app_pb2.WatchAppsRequest, context: Context
    ) -> AsyncIterator[app_pb2.WatchAppsResponse]:
        """Send the whole table, then what changes in it."""
        self._see(context)
        self.watched += 1
        known: dict[str, app_pb2.App] = {}
        async with self._bus.subscribe("apps") as waker:
            for complete in itertools.chain([True], itertools.repeat(False)):
                apps = {name: app_pb2.App.FromString(app.SerializeToString()) for name, app in self.apps.items()}
                changed = [app for name, app in apps.items() if known.get(name) != app]
                yield app_pb2.WatchAppsResponse(apps=changed, removed=known.keys() - apps.keys(), complete=complete)
                known = apps
                await waker.wait(1)

    async def CallApp(self, request: app_pb2.CallAppRequest, context: Context) -> app_pb2.CallAppResponse:
        """Answer with the status in the table."""
        self._see(context)
        app = self.apps.get(request.name)
        if app is None or app.state not in _SERVING:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "app does not run")
        assert app is not None
        if (answering := self.modules[app.import_path].answering) is not None:
            await answering.wait()
        return app_pb2.CallAppResponse(status=self.modules[app.import_path].statuses.get(request.path, 200))
