"""`AsyncClient.agents`, `.crews`, `.tasks` and `.tools`: what is defined, and can be run or used."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Unpack

import grpc
from agentmesh_protos.registry.v1 import agent_pb2, agent_pb2_grpc, crew_pb2, crew_pb2_grpc, tool_pb2, tool_pb2_grpc
from google.protobuf import field_mask_pb2

from agentmesh._client.connection import Connection
from agentmesh._client.definitions import (
    Agent,
    AgentFields,
    Crew,
    CrewFields,
    TaskDef,
    TaskDefFields,
    Tool,
    ToolFields,
    fill,
    full_name,
    to_agent,
    to_crew,
    to_task_def,
    to_tool,
)
from agentmesh._client.errors import NotFound

_PAGE = 200


class Collection:
    """What the collections share: a connection, and lists that come in pages."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _channel(self) -> grpc.aio.Channel:
        return self._connection.channel

    async def _items(self, method: Any, request: Any, field: str) -> AsyncGenerator[Any, None]:
        request.page_size = _PAGE
        while True:
            page = await self._connection.unary(method, request)
            for item in getattr(page, field):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


class Agents(Collection):
    """Agents.  One may be named `agents/{id}`, by its id, or by its slug."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = agent_pb2_grpc.AgentServiceStub(self._channel)

    async def create(self, *, request_id: str = "", **fields: Unpack[AgentFields]) -> Agent:
        """Add an agent.  The same `request_id` and fields again return the same one.

        Raises `InvalidInputs` with `fields`, and `MeshError` with code ALREADY_EXISTS if its slug is taken.
        """
        request = agent_pb2.CreateAgentRequest(request_id=request_id or str(uuid.uuid4()))
        fill(request.agent, fields)
        return to_agent(await self._connection.unary(self._stub.CreateAgent, request))

    async def get(self, name: str) -> Agent:
        """Return an agent."""
        request = agent_pb2.GetAgentRequest(name=full_name(name, "agents"))
        return to_agent(await self._connection.unary(self._stub.GetAgent, request))

    async def list(self, *, all_owners: bool = False, deleted: bool = False) -> AsyncGenerator[Agent, None]:
        """Yield agents, newest first; `deleted` yields the archived ones, too."""
        request = agent_pb2.ListAgentsRequest(all_owners=all_owners, show_deleted=deleted)
        async for message in self._items(self._stub.ListAgents, request, "agents"):
            yield to_agent(message)

    async def update(self, name: str, *, etag: str = "", **fields: Unpack[AgentFields]) -> Agent:
        """Change the fields that are given.  With an `etag` that is old: `MeshError` with code ABORTED."""
        agent = agent_pb2.Agent(name=full_name(name, "agents"), etag=etag)
        mask = field_mask_pb2.FieldMask(paths=fill(agent, fields))
        request = agent_pb2.UpdateAgentRequest(agent=agent, update_mask=mask)
        return to_agent(await self._connection.unary(self._stub.UpdateAgent, request))

    async def delete(self, name: str) -> Agent:
        """Archive an agent: it cannot be run any more."""
        request = agent_pb2.DeleteAgentRequest(name=full_name(name, "agents"))
        return to_agent(await self._connection.unary(self._stub.DeleteAgent, request))

    async def undelete(self, name: str) -> Agent:
        """Bring an archived agent back, paused."""
        request = agent_pb2.UndeleteAgentRequest(name=full_name(name, "agents"))
        return to_agent(await self._connection.unary(self._stub.UndeleteAgent, request))


class Crews(Collection):
    """Crews.  One may be named `crews/{id}`, by its id, or by what people call it, in which case does not matter."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = crew_pb2_grpc.CrewServiceStub(self._channel)

    async def create(
        self,
        *,
        new_agents: Sequence[AgentFields] = (),
        new_tasks: Sequence[TaskDefFields] = (),
        request_id: str = "",
        **fields: Unpack[CrewFields],
    ) -> Crew:
        """Add a crew, and what comes with it, all or nothing.

        A new task may be for the n-th new agent, `+n`, and depend on the n-th new task, `+n`, from 0.  The same
        `request_id` and fields again return the same crew.
        """
        request = crew_pb2.CreateCrewRequest(request_id=request_id or str(uuid.uuid4()))
        fill(request.crew, fields)
        for agent in new_agents:
            fill(request.new_agents.add(), agent)
        for task in new_tasks:
            fill(request.new_task_defs.add(), task)
        return to_crew(await self._connection.unary(self._stub.CreateCrew, request))

    async def get(self, name: str) -> Crew:
        """Return a crew.  Raises `NotFound` if it is not there, or several are called like that."""
        request = crew_pb2.GetCrewRequest(name=await self._named(name))
        return to_crew(await self._connection.unary(self._stub.GetCrew, request))

    async def list(self, *, all_owners: bool = False, deleted: bool = False) -> AsyncGenerator[Crew, None]:
        """Yield crews, newest first; `deleted` yields the archived ones, too."""
        request = crew_pb2.ListCrewsRequest(all_owners=all_owners, show_deleted=deleted)
        async for message in self._items(self._stub.ListCrews, request, "crews"):
            yield to_crew(message)

    async def update(self, name: str, *, etag: str = "", **fields: Unpack[CrewFields]) -> Crew:
        """Change the fields that are given.  With an `etag` that is old: `MeshError` with code ABORTED."""
        crew = crew_pb2.Crew(name=await self._named(name), etag=etag)
        mask = field_mask_pb2.FieldMask(paths=fill(crew, fields))
        request = crew_pb2.UpdateCrewRequest(crew=crew, update_mask=mask)
        return to_crew(await self._connection.unary(self._stub.UpdateCrew, request))

    async def delete(self, name: str) -> Crew:
        """Archive a crew with its task definitions; its agents stay."""
        request = crew_pb2.DeleteCrewRequest(name=await self._named(name))
        return to_crew(await self._connection.unary(self._stub.DeleteCrew, request))

    async def _named(self, name: str) -> str:
        full = full_name(name, "crews")
        called = full.removeprefix("crews/").strip().casefold()
        try:
            uuid.UUID(called)
        except ValueError:
            found = [crew.name async for crew in self.list() if crew.display_name.strip().casefold() == called]
            if len(found) > 1:
                raise NotFound(
                    f"{len(found)} crews are called {name}, name one of them: {', '.join(found[:5])}", code="NOT_FOUND"
                ) from None
            return found[0] if found else full
        return full


class Tasks(Collection):
    """Task definitions.  One may be named `taskDefs/{id}` or by its id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = crew_pb2_grpc.TaskDefServiceStub(self._channel)

    async def create(self, *, request_id: str = "", **fields: Unpack[TaskDefFields]) -> TaskDef:
        """Add a task definition at the end of its crew's."""
        request = crew_pb2.CreateTaskDefRequest(request_id=request_id or str(uuid.uuid4()))
        fill(request.task_def, fields)
        return to_task_def(await self._connection.unary(self._stub.CreateTaskDef, request))

    async def get(self, name: str) -> TaskDef:
        """Return a task definition."""
        request = crew_pb2.GetTaskDefRequest(name=full_name(name, "taskDefs"))
        return to_task_def(await self._connection.unary(self._stub.GetTaskDef, request))

    async def list(
        self, crew: str = "", *, all_owners: bool = False, deleted: bool = False
    ) -> AsyncGenerator[TaskDef, None]:
        """Yield those of a crew in their order, or else all, newest first."""
        request = crew_pb2.ListTaskDefsRequest(
            crew=full_name(crew, "crews"), all_owners=all_owners, show_deleted=deleted
        )
        async for message in self._items(self._stub.ListTaskDefs, request, "task_defs"):
            yield to_task_def(message)

    async def update(self, name: str, *, etag: str = "", **fields: Unpack[TaskDefFields]) -> TaskDef:
        """Change the fields that are given.  With an `etag` that is old: `MeshError` with code ABORTED."""
        task = crew_pb2.TaskDef(name=full_name(name, "taskDefs"), etag=etag)
        mask = field_mask_pb2.FieldMask(paths=fill(task, fields))
        request = crew_pb2.UpdateTaskDefRequest(task_def=task, update_mask=mask)
        return to_task_def(await self._connection.unary(self._stub.UpdateTaskDef, request))

    async def delete(self, name: str) -> TaskDef:
        """Archive a task definition that no other depends on."""
        request = crew_pb2.DeleteTaskDefRequest(name=full_name(name, "taskDefs"))
        return to_task_def(await self._connection.unary(self._stub.DeleteTaskDef, request))


class Tools(Collection):
    """Tools.  One may be named `tools/{id}`, by its id, or by what models call it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = tool_pb2_grpc.ToolServiceStub(self._channel)

    async def create(self, *, request_id: str = "", **fields: Unpack[ToolFields]) -> Tool:
        """Add a tool: `kind` is `http` or `mcp`.  Raises `InvalidInputs` for an endpoint that may not be called."""
        request = tool_pb2.CreateToolRequest(request_id=request_id or str(uuid.uuid4()))
        fill(request.tool, fields)
        return to_tool(await self._connection.unary(self._stub.CreateTool, request))

    async def get(self, name: str) -> Tool:
        """Return a tool."""
        request = tool_pb2.GetToolRequest(name=full_name(name, "tools"))
        return to_tool(await self._connection.unary(self._stub.GetTool, request))

    async def list(self, *, all_owners: bool = False, deleted: bool = False) -> AsyncGenerator[Tool, None]:
        """Yield the tools that come with the mesh, then the others, newest first."""
        request = tool_pb2.ListToolsRequest(all_owners=all_owners, show_deleted=deleted)
        async for message in self._items(self._stub.ListTools, request, "tools"):
            yield to_tool(message)

    async def update(self, name: str, *, etag: str = "", **fields: Unpack[ToolFields]) -> Tool:
        """Change the fields that are given.  With an `etag` that is old: `MeshError` with code ABORTED."""
        tool = tool_pb2.Tool(name=full_name(name, "tools"), etag=etag)
        mask = field_mask_pb2.FieldMask(paths=fill(tool, fields))
        request = tool_pb2.UpdateToolRequest(tool=tool, update_mask=mask)
        return to_tool(await self._connection.unary(self._stub.UpdateTool, request))

    async def delete(self, name: str) -> Tool:
        """Archive a tool, and forget its token."""
        request = tool_pb2.DeleteToolRequest(name=full_name(name, "tools"))
        return to_tool(await self._connection.unary(self._stub.DeleteTool, request))
