"""Task definitions, kept for their owners."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from meshkit import uuids
from meshkit.errors import FailedPrecondition
from meshkit.idempotency import Request, once
from meshkit.principal import caller
from services.registry import definition_rows as rows
from services.registry.catalogue import keeping
from services.registry.domain import taskdefs
from services.registry.domain.agents import Agent
from services.registry.domain.crews import TASKS_MAX, Crew
from services.registry.domain.records import missing
from services.registry.domain.taskdefs import TaskDef, TaskDefDraft
from services.registry.domain.tools import Tool
from services.registry.ports.definitions import DefinitionStore, Transaction

log = structlog.get_logger()
_FIELD = "task_def"


class TaskDefs:
    """Keeps task definitions.  Every method raises `NotFound` for what the caller may not see."""

    def __init__(self, store: DefinitionStore, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._now = now

    async def create(self, draft: TaskDefDraft, request: Request | None) -> TaskDef:
        """Add a task definition at the end of its crew's; the same `request` again returns what it was then.

        Raises `Invalid` with the fields, `FailedPrecondition` if its crew is full, and `NotFound` for a crew, an agent,
        a tool or a task of somebody else.
        """
        owner = keeping.own()
        taskdefs.check(draft, _FIELD)

        def work(tx: Transaction) -> TaskDef:
            wanted = _resolved(tx, draft, owner)
            if not wanted.crew and wanted.agent:
                wanted = dataclasses.replace(wanted, crew=tx.first_crew(wanted.agent))
            task = taskdefs.create(wanted, task_id=uuids.make(), owner=owner, now=self._now())
            _put(tx, task)
            tx.keep_request(request and request.answered(rows.dump(task).encode()))
            return task

        async def make() -> bytes:
            task = await self._store.write(work)
            log.info("task definition added", task_def=task.name, by=owner)
            return rows.dump(task).encode()

        return rows.load(TaskDef, await once(self._store, request, make))

    async def get(self, handle: str) -> TaskDef:
        """Return a task definition, archived or not."""
        seen_by, asks = keeping.scope(), caller().user
        return await self._store.read(lambda tx: keeping.look(tx, TaskDef, handle, seen_by, asks))

    async def select(
        self, owner: str | None, standings: Sequence[str], before: str, limit: int
    ) -> tuple[list[TaskDef], bool]:
        """Return task definitions, newest first, and whether there are more."""
        return await self._store.read(lambda tx: tx.select(TaskDef, owner, standings, before, limit))

    async def count(self, owner: str | None, standings: Sequence[str]) -> int:
        """Return how many there are."""
        return await self._store.read(lambda tx: tx.count(TaskDef, owner, standings))

    async def select_of_crew(
        self, crew: str, standings: Sequence[str], after: str, limit: int
    ) -> tuple[list[TaskDef], bool]:
        """Return those of a crew in their order, and whether there are more."""
        return await self._store.read(lambda tx: tx.select_tasks(crew, standings, after, limit))

    async def count_of_crew(self, crew: str, standings: Sequence[str]) -> int:
        """Return how many a crew has; raise `NotFound` for a crew that the caller may not see."""
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> int:
            return tx.count_tasks(keeping.look(tx, Crew, crew, seen_by, asks, "crew").id, standings)

        return await self._store.read(work)

    async def update(self, handle: str, wanted: Callable[[TaskDef], TaskDefDraft], *, etag: str) -> TaskDef:
        """Change a task definition to what `wanted` makes of it.

        Raises `Invalid` with the fields, such as for a circle, and `Conflict` if `etag` is old.
        """
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> TaskDef:
            stored = keeping.look_alive(tx, TaskDef, handle, seen_by, asks)
            draft = wanted(stored)
            taskdefs.check(draft, _FIELD)
            task = taskdefs.update(stored, _resolved(tx, draft, stored.owner, stored), etag=etag, now=self._now())
            _put(tx, task)
            return task

        return await self._changed(work, "task definition changed")

    async def delete(self, handle: str) -> TaskDef:
        """Archive a task definition; raise `FailedPrecondition` while another one depends on it."""
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> TaskDef:
            stored = keeping.look_alive(tx, TaskDef, handle, seen_by, asks)
            taskdefs.check_unneeded(stored, tx.tasks(stored.crew))
            task = taskdefs.archive(stored, self._now())
            tx.put(task)
            return task

        return await self._changed(work, "task definition archived")

    async def _changed(self, work: Callable[[Transaction], TaskDef], what: str) -> TaskDef:
        task = await self._store.write(work)
        log.info(what, task_def=task.name, by=caller().user)
        return task


def place(task: TaskDef, crew: Crew | None, tasks: Iterable[TaskDef], prefix_of: Mapping[str, str]) -> None:
    """Raise `Invalid` or `NotFound` if a task does not fit into its crew with these `tasks`, of which it is one."""
    prefix = prefix_of.get(task.id, _FIELD)
    members = None if crew is None else crew.agents
    taskdefs.check_place(task, members, hands_out=crew is not None and crew.hands_out, prefix=prefix)
    of_crew = {one.id: one for one in tasks}
    for index, other in enumerate(task.depends_on):
        if other not in of_crew:
            raise missing(f"taskDefs/{other}", f"{prefix}.depends_on[{index}]")
    taskdefs.check_circles(of_crew.values(), prefix_of)


def _resolved(tx: Transaction, draft: TaskDefDraft, owner: str, stored: TaskDef | None = None) -> TaskDefDraft:
    """Return what is wanted with ids in the place of names; what was named before is not looked up again."""
    before = (stored.crew, stored.agent) if stored is not None else ()
    tools = stored.tools if stored is not None else ()
    return dataclasses.replace(
        draft,
        crew=keeping.reference(tx, Crew, draft.crew, owner, f"{_FIELD}.crew", kept=before),
        agent=keeping.reference(tx, Agent, draft.agent, owner, f"{_FIELD}.agent", kept=before),
        tools=keeping.references(tx, Tool, draft.tools, owner, f"{_FIELD}.tools", kept=tools),
    )


def _put(tx: Transaction, task: TaskDef) -> None:
    """Keep a task, if it fits into its crew."""
    if not task.crew:
        place(task, None, [], {})
    else:
        crew = tx.find(Crew, task.crew, task.owner)
        others = [other for other in tx.tasks(task.crew) if other.id != task.id]
        if len(others) >= TASKS_MAX:
            raise FailedPrecondition(
                f"crews/{task.crew} has {TASKS_MAX} task definitions, which is the most: delete one first",
                resource=f"crews/{task.crew}",
            )
        place(task, crew, [*others, task], {})
    tx.put(task)
