"""Flow Control of the kodosumi panel (panel API document, "Flow Control"): which flows there are.

Flows come from exposes when they boot, so registering is asking whether a source is one of them.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import pydantic
from agentmesh_protos.dialects.kodosumi.v1 import flow_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import flow_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import registry_pb2
from google.protobuf import struct_pb2

from gateway.core import values
from gateway.core.catalogue import Catalogue
from gateway.core.peers import Peers
from gateway.dialects.kodosumi import flow_urls
from gateway.http import bodies
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import NotFound, from_rpc


class Page(pydantic.BaseModel):
    """How many flows to list."""

    pp: int = pydantic.Field(default=10, ge=1, le=1000)


class Sources(pydantic.BaseModel):
    """The body of register and unregister."""

    url: str | list[str]

    @property
    def urls(self) -> list[str]:
        """One or many, always as a list."""
        return [self.url] if isinstance(self.url, str) else self.url


class FlowServicer(pb_grpc.FlowServiceServicer):
    """Lists the registry's flows in the panel's shape."""

    def __init__(self, peers: Peers) -> None:
        self._catalogue = Catalogue(peers)
        self._exposes = peers.exposes

    async def ListFlows(self, request: pb.ListFlowsRequest, context: Any) -> pb.ListFlowsResponse:
        """GET /flow: a page behind the flow whose uid is `offset`; an unknown one starts again."""
        size = bodies.validate({"pp": request.pp} if request.pp else {}, Page).pp
        endpoints = await self._endpoints(request.q)
        start = next((n + 1 for n, endpoint in enumerate(endpoints) if endpoint.uid == request.offset), 0)
        items = endpoints[start : start + size]
        more = start + size < len(endpoints)
        return pb.ListFlowsResponse(items=items, offset=values.value(items[-1].uid if more else None))

    async def ListTags(self, request: pb.ListTagsRequest, context: Any) -> struct_pb2.Struct:
        """GET /flow/tags."""
        counts = struct_pb2.Struct()
        for tag, count in sorted((await self._catalogue.tags()).items()):
            counts.fields[tag].number_value = count
        return counts

    async def ListRegisters(self, request: pb.ListRegistersRequest, context: Any) -> pb.ListRegistersResponse:
        """GET /flow/register."""
        sources = _sources(await self._endpoints())
        return pb.ListRegistersResponse(routes=sources, registers=sources)

    async def RegisterFlows(self, request: pb.RegisterFlowsRequest, context: Any) -> struct_pb2.ListValue:
        """POST /flow/register: the flows of sources that are booted exposes."""
        wanted = [_expose_of(url) for url in bodies.parse_model(request.json_body, Sources).urls]
        endpoints = await self._endpoints()
        known = {_expose_of(endpoint.source) for endpoint in endpoints}
        for expose in wanted:
            if expose not in known:
                raise NotFound(f"Expose '{expose}' has no flows: boot it first")
        return values.array(endpoint for endpoint in endpoints if _expose_of(endpoint.source) in wanted)

    async def RefreshFlows(self, request: pb.RefreshFlowsRequest, context: Any) -> pb.RefreshFlowsResponse:
        """PUT /flow/register."""
        endpoints = await self._endpoints()
        sources = _sources(endpoints)
        return pb.RefreshFlowsResponse(
            summaries=[endpoint.summary for endpoint in endpoints],
            urls=[endpoint.url for endpoint in endpoints],
            sources=sources,
            connected=sources,
        )

    async def UnregisterFlows(self, request: pb.UnregisterFlowsRequest, context: Any) -> pb.UnregisterFlowsResponse:
        """POST /flow/unregister: disable the exposes, so that their flows are not listed."""
        urls = bodies.parse_model(request.json_body, Sources).urls
        for url in urls:
            with from_rpc():
                stored = await self._exposes.GetExpose(registry_pb2.GetExposeRequest(name=f"exposes/{_expose_of(url)}"))
                stored.enabled = False
                await self._exposes.SaveExpose(registry_pb2.SaveExposeRequest(expose=stored))
        return pb.UnregisterFlowsResponse(deletes=urls)

    async def _endpoints(self, query: str = "") -> list[pb.Endpoint]:
        base = exchange().base_url
        endpoints = [endpoint_of(flow, base) for flow in await self._catalogue.all(query)]
        return sorted(endpoints, key=lambda endpoint: (endpoint.summary, endpoint.url))


def endpoint_of(flow: registry_pb2.Flow, base_url: str) -> pb.Endpoint:
    """Return a flow in the panel's shape."""
    url = flow_urls.flow_url(flow.name)
    expose = flow.expose.removeprefix("exposes/")
    return pb.Endpoint(
        uid=hashlib.md5(url.encode(), usedforsecurity=False).hexdigest(),
        method=flow.method,
        url=url,
        source=f"{base_url}{flow_urls.app_url(expose)}/openapi.json",
        summary=flow.summary,
        description=flow.description,
        deprecated=values.optional(flow, "deprecated"),
        author=values.optional(flow, "author"),
        organization=values.optional(flow, "organization"),
        tags=sorted(flow.tags),
        base_url=f"{base_url}{url}",
    )


def _sources(endpoints: Iterable[pb.Endpoint]) -> list[str]:
    return sorted({endpoint.source for endpoint in endpoints})


def _expose_of(source: str) -> str:
    """Return the expose a source names: a source of ours, a URL of its app elsewhere, or just its name."""
    path = source.partition("://")[2].partition("/")[2] if "://" in source else source
    if path.lstrip("/").startswith("-/"):
        return flow_urls.split(f"/{path.lstrip('/')}")[0]
    return path.strip("/").partition("/")[0]


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.FlowService",
    add=pb_grpc.add_FlowServiceServicer_to_server,
    servicer=FlowServicer,
)
