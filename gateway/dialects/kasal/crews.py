"""Kasal: crews."""

import asyncio
from typing import Any

from agentmesh_protos.dialects.kasal.v1 import crew_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import crew_pb2_grpc as pb_grpc
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2
from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import empty_pb2, field_mask_pb2

from gateway.core.peers import Peers
from gateway.core.states import STATES, TERMINAL
from gateway.dialects.kasal import asking, ids, views
from gateway.dialects.kasal.definitions import CrewChange, NewCrew
from gateway.dialects.kasal.progress import Progress
from gateway.http.dialect import Service
from gateway.http.exchange import exchange
from meshkit.principal import caller

_AT_ONCE = 8


class Crews:
    """What other nouns ask of crews, too."""

    def __init__(self, peers: Peers) -> None:
        self._crews = peers.crews

    async def get(self, crew_id: str) -> crew_pb2.Crew:
        """Return a crew of the caller's.  Raises `NotFound`, also for one that was deleted."""
        with asking.of(ids.CREW, crew_id):
            crew: crew_pb2.Crew = await self._crews.GetCrew(crew_pb2.GetCrewRequest(name=ids.CREW.name(crew_id)))
        if crew.state == crew_pb2.CREW_STATE_ARCHIVED:
            raise ids.CREW.missing(crew_id)
        return crew

    async def all(self) -> list[crew_pb2.Crew]:
        """Return every crew of the caller's, newest first."""
        return await asking.listed(self._crews.ListCrews, crew_pb2.ListCrewsRequest())

    async def set_agents(self, crew: crew_pb2.Crew, agents: list[str]) -> None:
        """Give a crew its agents.  Raises `Conflict` if somebody else has changed it since it was read."""
        change = crew_pb2.Crew(name=crew.name, agents=agents, etag=crew.etag)
        mask = field_mask_pb2.FieldMask(paths=["agents"])
        with asking.defining("crew"):
            await self._crews.UpdateCrew(crew_pb2.UpdateCrewRequest(crew=change, update_mask=mask))


class CrewServicer(pb_grpc.CrewServiceServicer):
    """Unpack, ask the registry, show what it says as Kasal does."""

    def __init__(self, peers: Peers) -> None:
        self._agents = peers.agents
        self._crews = peers.crews
        self._jobs = peers.jobs
        self._known = Crews(peers)
        self._progress = Progress(peers)
        self._task_defs = peers.task_defs

    async def ListCrews(self, request: pb.ListCrewsRequest, context: Any) -> pb.Crews:
        """Return a page of the caller's crews."""
        page = asking.Page.of(request.page, request.limit)
        crews, total = await page.read(self._crews.ListCrews, crew_pb2.ListCrewsRequest())
        busy = {task.crew for task in await self._tasks("")} if crews else set()
        items = [views.crew_item(crew, has_tasks=crew.name in busy) for crew in crews]
        return pb.Crews(crews=items, total=total, page=page.number)

    async def CreateCrew(self, request: pb.CreateCrewRequest, context: Any) -> pb.CreatedCrew:
        """Add a crew with its agents and tasks, in one write."""
        sent = asking.parsed(request.json_body, NewCrew, "crew")
        crew = crew_pb2.Crew(
            display_name=sent.name,
            description=sent.description,
            process=views.PROCESSES[sent.process],
            memory=sent.memory,
        )
        wanted = crew_pb2.CreateCrewRequest(
            crew=crew, new_agents=[agent.to_registry() for agent in sent.agents], new_task_defs=list(sent.task_defs())
        )
        with asking.defining("crew"):
            made = await self._crews.CreateCrew(wanted)
        status = views.crew_status(made, has_tasks=bool(sent.tasks))
        return pb.CreatedCrew(id=ids.CREW.of(made.name), name=made.display_name, status=status)

    async def GetCrew(self, request: pb.GetCrewRequest, context: Any) -> pb.Crew:
        """Return a crew with its agents and tasks."""
        crew = await self._known.get(request.crew_id)
        agents, tasks = await asyncio.gather(self._members(crew), self._tasks(crew.name))
        return views.crew(crew, agents, tasks, await self._progress.words(tasks))

    async def UpdateCrew(self, request: pb.UpdateCrewRequest, context: Any) -> pb.UpdatedCrew:
        """Change what was sent; the rest stays."""
        sent = asking.parsed(request.json_body, CrewChange, "crew")
        name = (await self._known.get(request.crew_id)).name
        values = sent.values()
        if sent.agents is not None:
            values["agents"] = [ids.AGENT.name(agent) for agent in sent.agents]
        if values:
            change: Any = {"name": name, **values}
            mask = field_mask_pb2.FieldMask(paths=list(values))
            with asking.defining("crew"):
                await self._crews.UpdateCrew(crew_pb2.UpdateCrewRequest(crew=crew_pb2.Crew(**change), update_mask=mask))
        return pb.UpdatedCrew(id=request.crew_id, updated=True)

    async def DeleteCrew(self, request: pb.DeleteCrewRequest, context: Any) -> empty_pb2.Empty:
        """Stop what runs of a crew, and delete it."""
        crew = await self._known.get(request.crew_id)
        await self._stop(crew.name)
        with asking.of(ids.CREW, request.crew_id):
            await self._crews.DeleteCrew(crew_pb2.DeleteCrewRequest(name=crew.name))
        await self._stop(crew.name)  # what was started meanwhile; nothing more can be
        exchange().body = ""
        return empty_pb2.Empty()

    async def _members(self, crew: crew_pb2.Crew) -> list[agent_pb2.Agent]:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> agent_pb2.Agent:
            async with slots:
                with asking.of(ids.AGENT, ids.AGENT.of(name)):
                    agent: agent_pb2.Agent = await self._agents.GetAgent(agent_pb2.GetAgentRequest(name=name))
                    return agent

        return await asyncio.gather(*map(one, crew.agents))

    async def _tasks(self, crew: str) -> list[crew_pb2.TaskDef]:
        """Return the tasks of a crew in their order, or all of the caller's."""
        asked = crew_pb2.ListTaskDefsRequest(crew=crew)
        return await asking.listed(self._task_defs.ListTaskDefs, asked)

    async def _stop(self, crew: str) -> None:
        """Stop every execution of a crew that has not ended."""
        open_states: list[Any] = [state for state in STATES.values() if state not in TERMINAL]
        asked = job_pb2.ListJobsRequest(
            targets=[crew], states=open_states, all_owners=caller().operator, text_bytes_max=1
        )
        jobs = await asking.listed(self._jobs.ListJobs, asked)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def stop(job: job_pb2.Job) -> None:
            async with slots:
                with asking.of(ids.JOB, ids.JOB.of(job.name)):
                    await self._jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name))

        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(stop(job))


SERVICE = Service(
    name="mesh.dialects.kasal.v1.CrewService",
    add=pb_grpc.add_CrewServiceServicer_to_server,
    servicer=CrewServicer,
)
