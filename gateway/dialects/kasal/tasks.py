"""Kasal: tasks, which the mesh calls task definitions."""

from collections.abc import Sequence
from typing import Any

from agentmesh_protos.dialects.kasal.v1 import task_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import task_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import crew_pb2
from google.protobuf import empty_pb2, field_mask_pb2

from gateway.core.peers import Peers
from gateway.dialects.kasal import asking, ids, views
from gateway.dialects.kasal.agents import get_agent
from gateway.dialects.kasal.crews import Crews
from gateway.dialects.kasal.definitions import NewTask, TaskChange
from gateway.dialects.kasal.progress import Progress
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.errors import NotFound


class TaskServicer(pb_grpc.TaskServiceServicer):
    """Unpack, ask the registry, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._crews = Crews(peers)
        self._progress = Progress(peers)
        self._task_defs = peers.task_defs

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.Tasks:
        """Return a page of the caller's tasks."""
        page = asking.Page.of(request.page, request.limit)
        asked = crew_pb2.ListTaskDefsRequest()
        tasks, total = await page.read(self._task_defs.ListTaskDefs, asked)
        words = await self._progress.words(tasks)
        return pb.Tasks(tasks=[views.task_item(task, words) for task in tasks], total=total, page=page.number)

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Any) -> pb.CreatedTask:
        """Add a task for an agent, at the end of those of its crew."""
        sent = asking.parsed(request.json_body, NewTask, "task")
        agent = await get_agent(self._agents, sent.agent_id)
        crew = (await self._crews.get(sent.crew_id)).name if sent.crew_id else ""
        depends_on, context_texts = await self._context(sent.context)
        task = crew_pb2.TaskDef(
            crew=crew,
            agent=agent.name,
            description=sent.description,
            expected_output=sent.expected_output,
            depends_on=depends_on,
            context=context_texts,
        )
        with asking.defining("task"):
            made = await self._task_defs.CreateTaskDef(crew_pb2.CreateTaskDefRequest(task_def=task))
        return pb.CreatedTask(id=ids.TASK.of(made.name), status="created")

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.TaskItem:
        """Return a task."""
        task = await self._get(request.task_id)
        return views.task_item(task, await self._progress.words([task]))

    async def UpdateTask(self, request: pb.UpdateTaskRequest, context: Any) -> pb.UpdatedTask:
        """Change what was sent; the rest stays."""
        sent = asking.parsed(request.json_body, TaskChange, "task")
        task = await self._get(request.task_id)
        values: dict[str, Any] = sent.model_dump(include={"description", "expected_output"}, exclude_none=True)
        if sent.agent_id is not None:
            values["agent"] = (await get_agent(self._agents, sent.agent_id)).name
        if sent.context is not None:
            values["depends_on"], values["context"] = await self._context(sent.context)
        if values:
            change = crew_pb2.TaskDef(name=task.name, **values)
            mask = field_mask_pb2.FieldMask(paths=list(values))
            with asking.defining("task"):
                await self._task_defs.UpdateTaskDef(crew_pb2.UpdateTaskDefRequest(task_def=change, update_mask=mask))
        return pb.UpdatedTask(id=request.task_id, updated=True)

    async def DeleteTask(self, request: pb.DeleteTaskRequest, context: Any) -> empty_pb2.Empty:
        """Archive a task."""
        task = await self._get(request.task_id)
        with asking.of(ids.TASK, request.task_id):
            await self._task_defs.DeleteTaskDef(crew_pb2.DeleteTaskDefRequest(name=task.name))
        exchange().body = ""
        return empty_pb2.Empty()

    async def _get(self, task_id: str) -> crew_pb2.TaskDef:
        with asking.of(ids.TASK, task_id):
            asked = crew_pb2.GetTaskDefRequest(name=ids.TASK.name(task_id))
            task: crew_pb2.TaskDef = await self._task_defs.GetTaskDef(asked)
        if task.HasField("delete_time"):
            raise ids.TASK.missing(task_id)
        return task

    async def _context(self, sent: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the tasks that a context names, each once, and its texts: whatever is no task of the caller's."""
        tasks: dict[str, None] = {}
        texts = []
        for item in sent:
            try:
                tasks[(await self._get(item)).name] = None
            except NotFound:
                texts.append(item)
        return list(tasks), texts


SERVICE = Service(
    name="mesh.dialects.kasal.v1.TaskService",
    add=pb_grpc.add_TaskServiceServicer_to_server,
    servicer=TaskServicer,
)
