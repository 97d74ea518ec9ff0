"""Which flows there are: the one place that dialects ask for them."""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import yaml
from agentmesh_protos.registry.v1 import registry_pb2

from gateway.core.peers import Peers
from meshkit import paging
from meshkit.errors import DeadlineExceeded, Invalid, NotFound, Unavailable, from_rpc

FLOWS_MAX = 10_000
"""Of a list; who has more must search."""


def meta_of(flow: registry_pb2.Flow) -> Mapping[str, Any]:
    """Return what the operator's YAML says of a flow; empty if it says nothing usable."""
    return _meta(flow.meta_yaml)


@functools.lru_cache(maxsize=1024)
def _meta(text: str) -> Mapping[str, Any]:
    try:
        value = yaml.safe_load(text) if text else {}
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


class Catalogue:
    """The registry's flows, as the current caller may see them."""

    def __init__(self, peers: Peers) -> None:
        self._flows = peers.flows
        self._followed = peers.followed

    async def all(self, query: str = "", *, most: int = FLOWS_MAX) -> list[registry_pb2.Flow]:
        """Return the flows that `query` is found in, in the registry's order."""
        asked = registry_pb2.ListFlowsRequest(query=query, page_size=min(most, paging.MAX))
        found: list[registry_pb2.Flow] = []
        async with contextlib.aclosing(paging.walk(self._flows.ListFlows, asked)) as flows:
            async for flow in flows:
                found.append(flow)
                if len(found) >= most:
                    break
        return found

    async def get(self, name: str) -> registry_pb2.Flow:
        """Return `flows/{expose}` or `flows/{expose}/{path}`.  Raises `NotFound`."""
        with from_rpc():
            flow: registry_pb2.Flow = await self._flows.GetFlow(registry_pb2.GetFlowRequest(name=name))
        return flow

    def known(self, name: str) -> registry_pb2.Flow | None:
        """Return a flow by its name if that costs no call; it may be a moment old, or `None` though it is there.

        For launches: the runner decides whether it may run and what it costs.
        """
        flow = self._followed.get(name)
        return flow if flow is not None and flow.enabled else None

    async def find(self, name: str) -> registry_pb2.Flow | None:
        """Return a flow, switched off or not; `None` for whatever else has this name.

        The registry is asked for what is not known here: a flow may have come a moment ago.  While it is away, what is
        not known counts as nothing: an app may serve paths of its own.
        """
        flow = self._followed.get(name)
        if flow is None:
            try:
                flow = await self.get(name)
            except (NotFound, Invalid, Unavailable, DeadlineExceeded):
                return None
        return flow

    async def declared(self, name: str) -> registry_pb2.Flow | None:
        """Return a flow, as `find` does, if the mesh checks its inputs."""
        flow = await self.find(name)
        return flow if flow is not None and flow.input_schema_json else None

    async def tags(self) -> dict[str, int]:
        """Return how many flows have a tag, by tag."""
        with from_rpc():
            tags = await self._flows.ListFlowTags(registry_pb2.ListFlowTagsRequest())
        return dict(tags.counts)
