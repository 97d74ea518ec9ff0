"""Exposes of the kodosumi panel (demonstration notebook: "Create Exposes", "Update Exposes")."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import pydantic
import yaml
from agentmesh_protos.dialects.kodosumi.v1 import expose_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import expose_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import times, values
from gateway.core.peers import Peers
from gateway.http import bodies
from gateway.http.dialect import Service
from meshkit import clock, paging
from meshkit.errors import Conflict, NotFound, from_rpc

_CHECKS_AT_ONCE = 4
_CHECK_TIMEOUT_S = 120.0
_STATE_PREFIX = "EXPOSE_STATE_"
_FOREIGN_STATES = {registry_pb2.EXPOSE_STATE_OUTDATED: "DEPLOY_FAILED"}
"""What Ray Serve calls an app whose new version did not load while the one before serves on."""
_MODIFIED = "This record has been modified by another user. Please reload the page and try again."
_WANTED = (
    ("name", ("display",)),
    ("description", ("description",)),
    ("tags", ("tags",)),
    ("author.name", ("author", "name")),
    ("author.organization", ("author", "organization")),
)
"""What the health check expects of a flow's meta: the panel's word for it, and where it is in the YAML."""


class Meta(pydantic.BaseModel):
    """What an operator says about one flow.  `state` and `heartbeat` may be sent back, and are ignored."""

    url: str
    data: str | None = None
    enabled: bool = pydantic.Field(default=True, strict=True)


class SavedExpose(pydantic.BaseModel):
    """The body of POST /expose."""

    name: str
    original_name: str | None = None
    display: str | None = None
    network: str | None = None
    enabled: bool = pydantic.Field(default=True, strict=True)
    bootstrap: str | None = None
    meta: list[Meta] | None = None
    etag: str | None = None


class ExposeServicer(pb_grpc.ExposeServiceServicer):
    """Unpack, call the registry, pack."""

    def __init__(self, peers: Peers) -> None:
        self._exposes = peers.exposes

    async def SaveExpose(self, request: pb.SaveExposeRequest, context: Any) -> pb.Expose:
        """POST /expose: add or replace; what is omitted becomes empty.  An `Idempotency-Key` makes it repeatable."""
        saved = bodies.parse_model(request.json_body, SavedExpose)
        expose = registry_pb2.Expose(
            name=f"exposes/{saved.name}",
            enabled=saved.enabled,
            bootstrap=saved.bootstrap or "",
            has_meta=saved.meta is not None,
            etag=saved.etag or "",
            display_name=saved.display,
            network=saved.network,
            meta=[
                registry_pb2.FlowMeta(url=meta.url, data=meta.data or "", enabled=meta.enabled)
                for meta in saved.meta or ()
            ],
        )
        save = registry_pb2.SaveExposeRequest(
            expose=expose,
            original_name=f"exposes/{saved.original_name}" if saved.original_name else "",
        )
        with values.fields("expose", display_name="display"):
            try:
                return _expose(await self._save(save))
            except Conflict:
                raise Conflict(_MODIFIED) from None

    async def ListExposes(self, request: pb.ListExposesRequest, context: Any) -> struct_pb2.ListValue:
        """GET /expose."""
        return values.array(_expose(expose) for expose in await self._all())

    async def GetExpose(self, request: pb.GetExposeRequest, context: Any) -> pb.Expose:
        """GET /expose/{name}."""
        return _expose(await self._get(request.name))

    async def DeleteExpose(self, request: pb.DeleteExposeRequest, context: Any) -> empty_pb2.Empty:
        """DELETE /expose/{name}."""
        with from_rpc():
            await self._exposes.DeleteExpose(registry_pb2.DeleteExposeRequest(name=f"exposes/{request.name}"))
        return empty_pb2.Empty()

    async def CheckExposes(self, request: pb.CheckExposesRequest, context: Any) -> struct_pb2.Struct:
        """POST /expose/health.  What the registry sees it keeps, so a check updates nothing here."""
        asked = [registry_pb2.CheckExposeRequest(name=expose.name) for expose in await self._all()]
        slots = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def check(request: registry_pb2.CheckExposeRequest) -> list[dict[str, Any]]:
            async with slots:
                with contextlib.suppress(NotFound):  # deleted meanwhile
                    return [_health(await self._check(request))]
            return []

        results = [result for found in await asyncio.gather(*map(check, asked)) for result in found]
        return values.value(
            {"checked": len(results), "updated": 0, "timestamp": clock.now(), "results": results}
        ).struct_value

    async def CheckExpose(self, request: pb.CheckExposeRequest, context: Any) -> struct_pb2.Struct:
        """POST /expose/{name}/health."""
        asked = registry_pb2.CheckExposeRequest(name=f"exposes/{request.name}")
        results = [_health(await self._check(asked))]
        return values.value({"checked": 1, "timestamp": clock.now(), "results": results}).struct_value

    async def _save(self, request: registry_pb2.SaveExposeRequest) -> registry_pb2.Expose:
        with from_rpc():
            expose: registry_pb2.Expose = await self._exposes.SaveExpose(request)
        return expose

    async def _get(self, name: str) -> registry_pb2.Expose:
        with from_rpc():
            expose: registry_pb2.Expose = await self._exposes.GetExpose(
                registry_pb2.GetExposeRequest(name=f"exposes/{name}")
            )
        return expose

    async def _check(self, request: registry_pb2.CheckExposeRequest) -> registry_pb2.Expose:
        with from_rpc():
            expose: registry_pb2.Expose = await self._exposes.CheckExpose(request, timeout=_CHECK_TIMEOUT_S)
        return expose

    async def _all(self) -> list[registry_pb2.Expose]:
        asked = registry_pb2.ListExposesRequest(page_size=paging.MAX)
        return [expose async for expose in paging.walk(self._exposes.ListExposes, asked)]


def _expose(expose: registry_pb2.Expose) -> pb.Expose:
    heartbeat = expose.heartbeat_time if expose.HasField("heartbeat_time") else expose.update_time
    return pb.Expose(
        name=expose.name.removeprefix("exposes/"),
        display=values.optional(expose, "display_name"),
        network=values.optional(expose, "network"),
        enabled=expose.enabled,
        state=_state(expose),
        heartbeat=times.epoch(heartbeat),
        bootstrap=values.value(expose.bootstrap or None),
        meta=values.value([_meta(meta) for meta in expose.meta] if expose.has_meta else None),
        created=_local_iso(expose.create_time),
        updated=_local_iso(expose.update_time),
        etag=expose.etag,
        flow_stats=f"{expose.alive_count}/{expose.flow_count}",
        stale=expose.stale,
        needs_reboot=expose.needs_reboot,
    )


def _state(expose: registry_pb2.Expose) -> str:
    name = str(registry_pb2.ExposeState.Name(expose.state)).removeprefix(_STATE_PREFIX)
    return _FOREIGN_STATES.get(expose.state, name)


def _meta(meta: registry_pb2.FlowMeta) -> dict[str, Any]:
    return {
        "url": meta.url,
        "data": meta.data or None,
        "enabled": meta.enabled,
        "state": meta.state or None,
        "heartbeat": times.epoch(meta.heartbeat_time) if meta.HasField("heartbeat_time") else None,
    }


def _local_iso(moment: Timestamp) -> str:
    """Return local time without a zone, always with microseconds: `2025-12-10T08:02:38.992394`."""
    return times.local(moment).isoformat(timespec="microseconds")


# -- health ----------------------------------------------------------------------------------------------------------


def _health(expose: registry_pb2.Expose) -> dict[str, Any]:
    name, state = expose.name.removeprefix("exposes/"), _state(expose)
    flows = [_flow_health(meta) for meta in expose.meta]
    if state == "DEAD":
        message = f"Application '{name}' not found"
    else:
        message = state if state == "RUNNING" else f"Status is {state}"
    return {
        "name": name,
        "app": {"valid": state == "RUNNING", "message": message},
        "state": state,
        "state_changed": False,
        "meta_count": len(flows),
        "alive_count": sum(flow["state"] == "alive" for flow in flows),
        "fields_ok": sum(flow["fields"]["valid"] for flow in flows),
        "meta": flows,
    }


def _flow_health(meta: registry_pb2.FlowMeta) -> dict[str, Any]:
    alive = meta.state == "alive"
    missing = missing_fields(meta.data)
    fields = {"valid": not missing, "message": f"Missing: {', '.join(missing)}" if missing else "All fields populated"}
    return {
        "url": meta.url,
        "endpoint": {"valid": alive, "message": endpoint_message(meta.seen)},
        "fields": fields,
        "state": "alive" if alive else "dead",
    }


def endpoint_message(seen: str) -> str:
    """Return in the panel's words what a flow answered: a status, the reason why there was none, or nothing."""
    if not seen.isdecimal():
        return {"": "Not found (404)", "DEADLINE_EXCEEDED": "Timeout"}.get(seen, f"Not responding ({seen})")
    status = int(seen)
    if status == 404:
        return "Not found (404)"
    if status >= 500:
        return f"Server error ({status})"
    return f"Alive ({status})" if status in (200, 204, 405) else f"Responding ({status})"


def missing_fields(data: str) -> list[str]:
    """Return what a flow's meta YAML should say and does not."""
    try:
        said = yaml.safe_load(data)
    except yaml.YAMLError:  # the registry refuses to save it, but it may be older than the rule
        said = None
    return [label for label, path in _WANTED if not _at(said, path)]


def _at(said: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        said = said.get(key) if isinstance(said, Mapping) else None
    return said


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.ExposeService",
    add=pb_grpc.add_ExposeServiceServicer_to_server,
    servicer=ExposeServicer,
)
