"""A registry with two users, an operator and a service who call it."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from agentmesh_protos.registry.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    crew_pb2,
    crew_pb2_grpc,
    definition_pb2_grpc,
    tool_pb2,
    tool_pb2_grpc,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from meshkit import identity
from tests.registry.conftest import Mesh, Metadata, Peers

OFFLINE = agent_pb2.Model(provider="offline")


@dataclasses.dataclass(frozen=True)
class Caller:
    """Calls the registry as somebody."""

    channel: grpc.aio.Channel
    metadata: Metadata

    async def __call__(self, method: str, request: Any) -> Any:
        """Call `AgentService.CreateAgent`, say."""
        service, _, name = method.partition(".")
        for module in (agent_pb2_grpc, crew_pb2_grpc, tool_pb2_grpc, definition_pb2_grpc):
            if stub := getattr(module, f"{service}Stub", None):
                return await getattr(stub(self.channel), name)(request, metadata=self.metadata, timeout=30)
        raise LookupError(service)

    async def agent(self, display_name: str = "Atlas", **fields: Any) -> agent_pb2.Agent:
        """Add an agent on the offline model."""
        agent = agent_pb2.Agent(**{"display_name": display_name, "model": OFFLINE, **fields})
        added: agent_pb2.Agent = await self("AgentService.CreateAgent", agent_pb2.CreateAgentRequest(agent=agent))
        return added

    async def tool(self, display_name: str = "lookup", **fields: Any) -> tool_pb2.Tool:
        """Add an HTTP tool."""
        values = {"kind": tool_pb2.TOOL_KIND_HTTP, "endpoint": "https://tools.example.com/lookup", **fields}
        request = tool_pb2.CreateToolRequest(tool=tool_pb2.Tool(display_name=display_name, **values))
        added: tool_pb2.Tool = await self("ToolService.CreateTool", request)
        return added

    async def crew(self, agents: list[str] | None = None, **fields: Any) -> crew_pb2.Crew:
        """Add a crew of agents that exist."""
        values = {"display_name": "Crew", "agents": agents or [], **fields}
        added: crew_pb2.Crew = await self(
            "CrewService.CreateCrew", crew_pb2.CreateCrewRequest(crew=crew_pb2.Crew(**values))
        )
        return added

    async def task(self, **fields: Any) -> crew_pb2.TaskDef:
        """Add a task definition."""
        task = crew_pb2.TaskDef(**{"description": "Look it up.", **fields})
        added: crew_pb2.TaskDef = await self(
            "TaskDefService.CreateTaskDef", crew_pb2.CreateTaskDefRequest(task_def=task)
        )
        return added


@dataclasses.dataclass(frozen=True)
class People:
    """Who calls."""

    mesh: Mesh
    ada: Caller
    bob: Caller
    operator: Caller
    service: Caller


def people_of(mesh: Mesh, peers: Peers, channel: grpc.aio.Channel) -> People:
    """Return callers of the registry behind a channel."""
    badge = identity.sign(peers.config.secret, "service:runner", "registry")
    bob = (("authorization", f"Bearer {peers.auth.token(operator=False)}"),)
    return People(
        mesh=mesh,
        ada=Caller(channel, mesh.user),
        bob=Caller(channel, bob),
        operator=Caller(channel, mesh.operator),
        service=Caller(channel, ((identity.SERVICE_HEADER, badge),)),
    )


@pytest.fixture
async def people(mesh: Mesh, peers: Peers) -> AsyncIterator[People]:
    """Return callers of a registry on SQLite."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        yield people_of(mesh, peers, channel)


@dataclasses.dataclass
class Refusal:
    """What an RPC was refused with."""

    code: str = ""
    text: str = ""
    fields: tuple[str, ...] = ()
    reason: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


async def refusal(call: Any) -> Refusal:
    """Return with what a call is refused; fail if it is not."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told = Refusal(code=caught.value.code().name, text=caught.value.details() or "")
    status = rpc_status.from_call(caught.value)
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            told.fields = tuple(dict.fromkeys(violation.field for violation in bad.field_violations))
        elif detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            told.reason, told.metadata = info.reason, dict(info.metadata)
    return told
