"""Crews and task definitions over gRPC."""

from collections.abc import Sequence

from agentmesh_protos.registry.v1 import crew_pb2 as pb
from agentmesh_protos.registry.v1 import crew_pb2_grpc as pb_grpc

from meshkit import masks
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from meshkit.secrets import Secret
from services.registry import definition_wire as wire
from services.registry.catalogue import keeping
from services.registry.catalogue.crews import Crews, NewCrew
from services.registry.catalogue.taskdefs import TaskDefs
from services.registry.domain import crews as rules
from services.registry.domain.crews import MANAGER_API_KEY, Crew
from services.registry.domain.taskdefs import TaskDef


class CrewServicer(pb_grpc.CrewServiceServicer):
    """Serves `mesh.registry.v1.CrewService`."""

    def __init__(self, crews: Crews, key: bytes) -> None:
        """`key` hides from readers of the table of requests what was in them."""
        self._crews = crews
        self._key = key

    async def CreateCrew(self, request: pb.CreateCrewRequest, context: Context) -> pb.Crew:
        """Add one, with what comes with it."""
        new = NewCrew(
            wire.crew_draft(request.crew),
            Secret(request.crew.manager_api_key),
            [
                (wire.agent_draft(agent, f"new_agents[{index}]"), Secret(agent.api_key))
                for index, agent in enumerate(request.new_agents)
            ],
            [wire.task_def_draft(task, f"new_task_defs[{index}]") for index, task in enumerate(request.new_task_defs)],
        )
        return wire.crew_pb(*await self._crews.create(new, ask(request, self._key)))

    async def GetCrew(self, request: pb.GetCrewRequest, context: Context) -> pb.Crew:
        """Return one."""
        return wire.crew_pb(*await self._crews.get(wire.handle(request.name, "crews", "name")))

    async def ListCrews(self, request: pb.ListCrewsRequest, context: Context) -> pb.ListCrewsResponse:
        """Return a page."""
        owner = keeping.listed_scope(all_owners=request.all_owners, what="crews")
        standings = keeping.standings(show_deleted=request.show_deleted)
        of_agents: dict[str, str] = {}

        async def select(before: str, limit: int) -> tuple[Sequence[Crew], bool]:
            crews, more, found = await self._crews.select(owner, standings, before, limit)
            of_agents.update(found)
            return crews, more

        found = await keeping.page(request, select, "crews", owner or "*", *standings)
        return pb.ListCrewsResponse(
            crews=[wire.crew_pb(crew, rules.state(crew, of_agents)) for crew in found.items],
            next_page_token=found.next_token,
            total_size=await self._crews.count(owner, standings),
        )

    async def UpdateCrew(self, request: pb.UpdateCrewRequest, context: Context) -> pb.Crew:
        """Change one."""
        sent = request.crew
        paths = masks.paths(sent, request.update_mask, wire.CREW_WRITABLE)
        standing = await self._crews.update(
            wire.handle(sent.name, "crews", "crew.name"),
            lambda stored: wire.crew_update(sent, paths, stored),
            etag=sent.etag,
            key=wire.secret_given(MANAGER_API_KEY, sent.manager_api_key, paths),
        )
        return wire.crew_pb(*standing)

    async def DeleteCrew(self, request: pb.DeleteCrewRequest, context: Context) -> pb.Crew:
        """Archive one."""
        return wire.crew_pb(*await self._crews.delete(wire.handle(request.name, "crews", "name")))


class TaskDefServicer(pb_grpc.TaskDefServiceServicer):
    """Serves `mesh.registry.v1.TaskDefService`."""

    def __init__(self, tasks: TaskDefs, key: bytes) -> None:
        """`key` hides from readers of the table of requests what was in them."""
        self._tasks = tasks
        self._key = key

    async def CreateTaskDef(self, request: pb.CreateTaskDefRequest, context: Context) -> pb.TaskDef:
        """Add one."""
        draft = wire.task_def_draft(request.task_def)
        return wire.task_def_pb(await self._tasks.create(draft, ask(request, self._key)))

    async def GetTaskDef(self, request: pb.GetTaskDefRequest, context: Context) -> pb.TaskDef:
        """Return one."""
        return wire.task_def_pb(await self._tasks.get(wire.handle(request.name, "taskDefs", "name")))

    async def ListTaskDefs(self, request: pb.ListTaskDefsRequest, context: Context) -> pb.ListTaskDefsResponse:
        """Return a page."""
        owner = keeping.listed_scope(all_owners=request.all_owners, what="task definitions")
        standings = keeping.standings(show_deleted=request.show_deleted)
        crew = wire.handle(request.crew, "crews", "crew") if request.crew else ""
        total = await self._tasks.count_of_crew(crew, standings) if crew else await self._tasks.count(owner, standings)

        async def select(last: str, limit: int) -> tuple[Sequence[TaskDef], bool]:
            if crew:
                return await self._tasks.select_of_crew(crew, standings, last, limit)
            return await self._tasks.select(owner, standings, last, limit)

        found = await keeping.page(request, select, "taskDefs", crew or owner or "*", *standings)
        return pb.ListTaskDefsResponse(
            task_defs=[wire.task_def_pb(task) for task in found.items],
            next_page_token=found.next_token,
            total_size=total,
        )

    async def UpdateTaskDef(self, request: pb.UpdateTaskDefRequest, context: Context) -> pb.TaskDef:
        """Change one."""
        sent = request.task_def
        paths = masks.paths(sent, request.update_mask, wire.TASK_DEF_WRITABLE)
        task = await self._tasks.update(
            wire.handle(sent.name, "taskDefs", "task_def.name"),
            lambda stored: wire.task_def_update(sent, paths, stored),
            etag=sent.etag,
        )
        return wire.task_def_pb(task)

    async def DeleteTaskDef(self, request: pb.DeleteTaskDefRequest, context: Context) -> pb.TaskDef:
        """Archive one."""
        return wire.task_def_pb(await self._tasks.delete(wire.handle(request.name, "taskDefs", "name")))
