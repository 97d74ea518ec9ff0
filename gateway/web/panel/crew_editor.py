"""Crews and their task definitions, made, changed and deleted on forms."""

import asyncio
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import crew_pb2
from google.protobuf import field_mask_pb2
from starlette.responses import Response

from gateway.core.peers import Peers
from gateway.web.panel import choices, definitions, shell
from gateway.web.panel.agents import ASK_S, HOME, LIST_MAX, crew_state
from gateway.web.panel.crews import CREW_TABS, crew_of
from gateway.web.panel.definitions import REFUSALS, faults_of, keeping
from gateway.web.panel.visitor import Visitor
from meshkit.errors import MeshError, from_rpc

_NEW = "new"
"""What the form of a task is called that is not there yet."""


class CrewEditor:
    """The caller's crews, as they are defined."""

    def __init__(self, peers: Peers) -> None:
        self._crews = peers.crews
        self._agents = peers.agents
        self._tasks = peers.task_defs
        self._tools = peers.tools

    async def form(self, visitor: Visitor) -> Response:
        """GET /panel/new-crew."""
        return await self._new(visitor, crew_pb2.Crew())

    async def create(self, visitor: Visitor) -> Response:
        """POST /panel/new-crew: it has no tasks yet, so that is where one is led."""
        crew, _ = definitions.crew_of(visitor.form)
        try:
            definitions.check_numbers(visitor.form)
            with keeping():
                made = await self._crews.CreateCrew(crew_pb2.CreateCrewRequest(crew=crew), timeout=ASK_S)
        except REFUSALS as error:
            return await self._new(visitor, crew, error)
        return shell.see_other(f"/panel/{made.name}/definition#tasks")

    async def show(self, visitor: Visitor) -> Response:
        """GET /panel/crews/{id}/definition."""
        return await self._page(visitor, await crew_of(self._crews, visitor))

    async def save(self, visitor: Visitor) -> Response:
        """POST /panel/crews/{id}/definition."""
        crew = await crew_of(self._crews, visitor)
        wanted, paths = definitions.crew_of(visitor.form)
        wanted.name, wanted.etag = crew.name, visitor.form.get("etag", "")
        mask = field_mask_pb2.FieldMask(paths=paths)
        try:
            definitions.check_numbers(visitor.form)
            with keeping():
                await self._crews.UpdateCrew(crew_pb2.UpdateCrewRequest(crew=wanted, update_mask=mask), timeout=ASK_S)
        except REFUSALS as error:
            wanted.has_manager_api_key = crew.has_manager_api_key
            return await self._page(visitor, crew, filled=wanted, error=error)
        return shell.see_other(f"/panel/{crew.name}/definition")

    async def delete(self, visitor: Visitor) -> Response:
        """POST /panel/crews/{id}/delete."""
        crew = await crew_of(self._crews, visitor)
        with from_rpc():
            await self._crews.DeleteCrew(crew_pb2.DeleteCrewRequest(name=crew.name), timeout=ASK_S)
        return shell.see_other(HOME)

    async def save_task(self, visitor: Visitor) -> Response:
        """POST /panel/crews/{id}/tasks/{task}; `new` makes one."""
        crew, which = await crew_of(self._crews, visitor), visitor.path("task")
        task = definitions.task_of(visitor.form)
        task.crew = crew.name
        try:
            with keeping():
                if which == _NEW:
                    await self._tasks.CreateTaskDef(crew_pb2.CreateTaskDefRequest(task_def=task), timeout=ASK_S)
                else:
                    task.name, task.etag = f"taskDefs/{which}", visitor.form.get("etag", "")
                    mask = field_mask_pb2.FieldMask(paths=definitions.TASK_PATHS)
                    request = crew_pb2.UpdateTaskDefRequest(task_def=task, update_mask=mask)
                    await self._tasks.UpdateTaskDef(request, timeout=ASK_S)
        except REFUSALS as error:
            return await self._page(visitor, crew, task=(which, task), error=error)
        return shell.see_other(f"/panel/{crew.name}/definition#tasks")

    async def delete_task(self, visitor: Visitor) -> Response:
        """POST /panel/crews/{id}/tasks/{task}/delete."""
        crew, which = await crew_of(self._crews, visitor), visitor.path("task")
        try:
            with from_rpc():
                request = crew_pb2.DeleteTaskDefRequest(name=f"taskDefs/{which}")
                await self._tasks.DeleteTaskDef(request, timeout=ASK_S)
        except REFUSALS as error:
            return await self._page(visitor, crew, task=(which, None), error=error)
        return shell.see_other(f"/panel/{crew.name}/definition#tasks")

    async def _new(self, visitor: Visitor, crew: crew_pb2.Crew, error: MeshError | None = None) -> Response:
        status = 422 if error else 200
        agents = await choices.agents_of(self._agents, visitor)
        return visitor.page("new_crew.html", status=status, filled=crew, all_agents=agents, **faults_of(error))

    async def _page(
        self,
        visitor: Visitor,
        crew: crew_pb2.Crew,
        *,
        filled: crew_pb2.Crew | None = None,
        task: tuple[str, crew_pb2.TaskDef | None] = ("", None),
        error: MeshError | None = None,
    ) -> Response:
        """Answer with the page; `error` is about the `task`, if that is named, or else about the crew."""
        with from_rpc():
            agents, tasks, tools = await asyncio.gather(
                choices.agents_of(self._agents, visitor, crew.owner),
                self._tasks.ListTaskDefs(
                    crew_pb2.ListTaskDefsRequest(crew=crew.name, page_size=LIST_MAX), timeout=ASK_S
                ),
                choices.tools_of(self._tools, visitor, crew.owner),
            )
        which, sent = task
        nothing, found = faults_of(None), faults_of(error)
        titles = {each.name: each.display_name for each in (*tasks.task_defs, *agents)}
        found["problems"] = [_in_words(text, titles) for text in found["problems"]]
        forms = [_task_form(each, which, sent, found if which == _id_of(each) else nothing) for each in tasks.task_defs]
        blank = sent if which == _NEW and sent is not None else crew_pb2.TaskDef()
        return visitor.page(
            "crew.html",
            status=422 if error else 200,
            crew=crew,
            tab="definition",
            tabs=CREW_TABS,
            state=crew_state(crew),
            filled=filled or crew,
            all_agents=agents,
            members=choices.chosen(crew.agents, agents),
            all_tools=tools,
            forms=[*forms, {"id": _NEW, "task": blank, "open": which == _NEW, **(found if which == _NEW else nothing)}],
            **(nothing if which else found),
        )


def _task_form(
    task: crew_pb2.TaskDef, which: str, sent: crew_pb2.TaskDef | None, faults: dict[str, Any]
) -> dict[str, Any]:
    """Return the form of a task, filled with what was `sent` if it is `which` was."""
    mine = which == _id_of(task)
    shown = sent if mine and sent is not None else _as_written(task)
    return {"id": _id_of(task), "task": shown, "open": mine, **faults}


def _as_written(task: crew_pb2.TaskDef) -> crew_pb2.TaskDef:
    """Return a task without a name that was only made of its description: it is to change with that."""
    first = next(iter(task.description.strip().splitlines()), "").strip()
    if not task.display_name or not first.startswith(task.display_name.removesuffix("…")):
        return task
    written = crew_pb2.TaskDef()
    written.CopyFrom(task)
    written.ClearField("display_name")
    return written


def _in_words(text: str, titles: Mapping[str, str]) -> str:
    """Return a text with what people call what it names."""
    for name, title in titles.items():
        text = text.replace(name, f"“{title}”")
    return text


def _id_of(task: crew_pb2.TaskDef) -> str:
    return task.name.removeprefix("taskDefs/")
