"""Whether the runtime takes tasks: asked of the services that a task needs, seldom, and told without a secret."""

import asyncio
import importlib.metadata
import time
from collections.abc import Awaitable
from typing import Any

from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.dialects.koda.v1 import runtime_pb2 as pb
from agentmesh_protos.dialects.koda.v1 import runtime_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import app_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.http.answers import json_answer
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import MeshError, from_rpc
from meshkit.principal import on_own_behalf

_DEADLINE_S = 2.0
_FRESH_S = 0.5
"""What was found is told again for so long: anybody may ask."""
_RETRY_AFTER_S = 1
_ENGINE = "apps/agents"
_SERVES = (app_pb2.APP_STATE_RUNNING, app_pb2.APP_STATE_OUTDATED)
_VERSION = importlib.metadata.version("agentmesh")


class RuntimeServicer(pb_grpc.RuntimeServiceServicer):
    """Asks and tells."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._asking = asyncio.Lock()
        self._found: dict[str, str] = {}
        self._found_at = -_FRESH_S

    async def GetReady(self, request: pb.GetReadyRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say whether tasks would run."""
        found = await self._checks()
        wrong = {name: detail for name, detail in found.items() if detail}
        ready = not wrong
        body = {
            "status": "ready" if ready else "not_ready",
            "ready": ready,
            "accepting_tasks": ready,
            "version": _VERSION,
            "checks": {name: {"ok": not detail, "detail": detail or None} for name, detail in found.items()},
            "reason": "; ".join(f"{name}: {detail}" for name, detail in wrong.items()) or None,
        }
        if not ready:
            exchange().status = 503
            exchange().add_header("retry-after", str(_RETRY_AFTER_S))
        exchange().add_header("cache-control", "no-store")
        return json_answer(body)

    async def GetLive(self, request: pb.GetLiveRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say that we are here."""
        return json_answer({"status": "alive", "version": _VERSION})

    async def _checks(self) -> dict[str, str]:
        """Return what is wrong, by what was looked at; empty if nothing is."""
        async with self._asking:
            if time.monotonic() - self._found_at >= _FRESH_S:
                looks = {"auth": self._auth(), "database": self._database(), "workers": self._workers()}
                told = await asyncio.gather(*(_told(look) for look in looks.values()))
                self._found = dict(zip(looks, told, strict=True))
                self._found_at = time.monotonic()
            return self._found

    async def _auth(self) -> str:
        await self._peers.auth.GetJwks(auth_pb2.GetJwksRequest(), timeout=_DEADLINE_S)
        return ""

    async def _database(self) -> str:
        await self._peers.agents.ListAgents(agent_pb2.ListAgentsRequest(page_size=1), timeout=_DEADLINE_S)
        return ""

    async def _workers(self) -> str:
        placed = await self._peers.apps.ListApps(app_pb2.ListAppsRequest(show_engine=True), timeout=_DEADLINE_S)
        engine = next((app for app in placed.apps if app.name == _ENGINE), None)
        serves = engine is not None and engine.state in _SERVES and engine.ready_count
        return "" if serves else "no worker serves agents"


async def _told(look: Awaitable[str]) -> str:
    """Return what is wrong, in words that tell nothing of the inside; empty if nothing is."""
    try:
        with on_own_behalf(), from_rpc():
            return await look
    except MeshError:
        return "does not answer"


SERVICE = Service(
    name="mesh.dialects.koda.v1.RuntimeService",
    add=pb_grpc.add_RuntimeServiceServicer_to_server,
    servicer=RuntimeServicer,
)
