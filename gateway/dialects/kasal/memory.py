"""Kasal: what crews remember."""

from typing import Any

from agentmesh_protos.dialects.kasal.v1 import crew_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import crew_pb2_grpc as pb_grpc
from agentmesh_protos.runner.v1 import memory_pb2
from google.protobuf import empty_pb2

from gateway.core.peers import Peers
from gateway.dialects.kasal import asking, ids
from gateway.dialects.kasal.crews import Crews
from gateway.dialects.kasal.definitions import MemoryKind
from gateway.http.dialect import Service
from gateway.http.exchange import exchange

_MOST = 1000
_LAYERS = {
    "short_term": memory_pb2.MEMORY_LAYER_SHORT,
    "long_term": memory_pb2.MEMORY_LAYER_LONG,
    "all": memory_pb2.MEMORY_LAYER_UNSPECIFIED,
}


class MemoryServicer(pb_grpc.MemoryServiceServicer):
    """Unpack, ask the runner, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._crews = Crews(peers)
        self._memory = peers.memory

    async def GetMemory(self, request: pb.GetMemoryRequest, context: Any) -> pb.Memory:
        """Return what a crew remembers; insights by their category."""
        crew = await self._crews.get(request.crew_id)
        short = await self._records(crew.name, memory_pb2.MEMORY_LAYER_SHORT)
        insights: dict[str, list[str]] = {}
        for record in await self._records(crew.name, memory_pb2.MEMORY_LAYER_LONG):
            insights.setdefault(record.category or "general", []).append(record.content)
        return pb.Memory(
            short_term=[
                pb.ShortTerm(timestamp=asking.time_of(record.create_time), content=record.content) for record in short
            ],
            long_term=[pb.LongTerm(category=category, insights=texts) for category, texts in insights.items()],
        )

    async def ClearMemory(self, request: pb.ClearMemoryRequest, context: Any) -> empty_pb2.Empty:
        """Delete what a crew remembers, for good."""
        layer = _LAYERS[asking.parsed(request.json_body, MemoryKind, "memory").type]
        crew = await self._crews.get(request.crew_id)
        with asking.of(ids.CREW, request.crew_id):
            await self._memory.ClearMemory(memory_pb2.ClearMemoryRequest(scope=crew.name, layer=layer))
        exchange().body = ""
        return empty_pb2.Empty()

    async def _records(self, crew: str, layer: memory_pb2.MemoryLayer.ValueType) -> list[memory_pb2.MemoryRecord]:
        asked = memory_pb2.ListMemoryRecordsRequest(scope=crew, layer=layer)
        return await asking.listed(self._memory.ListMemoryRecords, asked, most=_MOST)


SERVICE = Service(
    name="mesh.dialects.kasal.v1.MemoryService",
    add=pb_grpc.add_MemoryServiceServicer_to_server,
    servicer=MemoryServicer,
)
