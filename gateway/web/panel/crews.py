"""Crews: who they are, what they work on, and how one is run."""

import asyncio
import json
import re
from collections.abc import Iterable
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2
from agentmesh_protos.runner.v1 import job_pb2
from starlette.responses import Response

from gateway.core import jobs
from gateway.core.peers import Peers
from gateway.web.panel import choices, shell
from gateway.web.panel.addresses import naming
from gateway.web.panel.agents import ASK_S, LAYERS, LIST_MAX, Past, crew_state
from gateway.web.panel.visitor import Visitor
from meshkit.errors import NotFound, from_rpc

CREW_TABS = {"tasks": "Tasks", "definition": "Definition", "memory": "Memory", "executions": "Executions"}
_INPUT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,62})\}")
_INPUTS_MAX = 30
_PREFIX = "input:"


class Crews:
    """The caller's crews."""

    def __init__(self, peers: Peers) -> None:
        self._crews = peers.crews
        self._agents = peers.agents
        self._tasks = peers.task_defs
        self._jobs = peers.jobs
        self._past = Past(peers)

    async def show_one(self, visitor: Visitor) -> Response:
        """GET /panel/crews/{id}[/{tab}]."""
        crew, tab = await crew_of(self._crews, visitor), visitor.path("tab") or "tasks"
        match tab:
            case "tasks":
                members, tasks = await asyncio.gather(self._members(visitor, crew), self._work(crew))
                values: dict[str, Any] = {"members": members, "tasks": _in_words(tasks, members)}
                values["inputs"] = inputs_of(task.description for task in tasks)
            case "memory":
                values = {"records": await self._past.remembered(crew.name)}
            case "executions":
                values = {"rows": await self._past.executions(crew.name)}
            case _:
                raise NotFound("A crew has no such tab.")
        state = crew_state(crew)
        return visitor.page("crew.html", crew=crew, tab=tab, tabs=CREW_TABS, layers=LAYERS, state=state, **values)

    async def run(self, visitor: Visitor) -> Response:
        """POST /panel/crews/{id}/run: with the inputs that its tasks name."""
        crew = await crew_of(self._crews, visitor)
        inputs = {name.removeprefix(_PREFIX): text for name, text in visitor.form.items() if name.startswith(_PREFIX)}
        request = job_pb2.CreateJobRequest(target=crew.name, inputs_json=json.dumps(inputs), base_url=visitor.base_url)
        with from_rpc():
            job = await self._jobs.CreateJob(request, timeout=ASK_S)
        return shell.see_other(f"/panel/executions/{jobs.id_of(job)}")

    async def forget(self, visitor: Visitor) -> Response:
        """POST /panel/{agents|crews}/{id}/forget: delete for good what is remembered of the caller."""
        scope = f"{visitor.path('whose')}/{visitor.path('id')}"
        await self._past.forget(scope)
        return shell.see_other(f"/panel/{scope}/memory")

    async def _members(self, visitor: Visitor, crew: crew_pb2.Crew) -> list[agent_pb2.Agent]:
        return choices.chosen(crew.agents, await choices.agents_of(self._agents, visitor, crew.owner))

    async def _work(self, crew: crew_pb2.Crew) -> list[crew_pb2.TaskDef]:
        with from_rpc():
            request = crew_pb2.ListTaskDefsRequest(page_size=LIST_MAX, crew=crew.name)
            return list((await self._tasks.ListTaskDefs(request, timeout=ASK_S)).task_defs)


async def crew_of(crews: Any, visitor: Visitor) -> crew_pb2.Crew:
    """Return the crew that an address names, which `crews`, the stub, knows.  Raises `NotFound`."""
    request = crew_pb2.GetCrewRequest(name=f"crews/{visitor.path('id')}")
    with naming("crew"):
        crew: crew_pb2.Crew = await crews.GetCrew(request, timeout=ASK_S)
    return crew


def inputs_of(descriptions: Iterable[str]) -> list[str]:
    """Return the inputs that tasks name (`{topic}`), each once, in order."""
    return list(dict.fromkeys(name for text in descriptions for name in _INPUT.findall(text)))[:_INPUTS_MAX]


def _in_words(tasks: list[crew_pb2.TaskDef], members: list[agent_pb2.Agent]) -> list[dict[str, Any]]:
    """Return tasks with the names of who does them and of what comes first."""
    people = {agent.name: agent.display_name for agent in members}
    titles = {task.name: task.display_name or task.description for task in tasks}
    return [
        {
            "task": task,
            "by": people.get(task.agent, ""),
            "behind": [titles[name] for name in task.depends_on if name in titles],
        }
        for task in tasks
    ]
