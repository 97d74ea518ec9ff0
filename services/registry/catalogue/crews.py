"""Crews, kept for their owners, with where they stand."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from meshkit import uuids
from meshkit.errors import Invalid
from meshkit.idempotency import Request, once
from meshkit.principal import caller
from meshkit.secrets import Secret
from services.registry import definition_rows as rows
from services.registry.catalogue import agents as agent_room
from services.registry.catalogue import keeping
from services.registry.catalogue.keeping import NEW, Keeper
from services.registry.catalogue.taskdefs import place
from services.registry.domain import agents, crews, taskdefs
from services.registry.domain.agents import Agent, AgentDraft
from services.registry.domain.crews import AGENTS_MAX, MANAGER_API_KEY, TASKS_MAX, Crew, CrewDraft, CrewState
from services.registry.domain.taskdefs import TaskDef, TaskDefDraft
from services.registry.domain.tools import Tool
from services.registry.ports.definitions import DefinitionStore, Transaction

log = structlog.get_logger()


class Standing(NamedTuple):
    """A crew, and where it stands."""

    crew: Crew
    state: CrewState


class NewCrew(NamedTuple):
    """A crew to be added, and what comes with it."""

    draft: CrewDraft
    key: Secret | None
    agents: Sequence[tuple[AgentDraft, Secret | None]]
    tasks: Sequence[TaskDefDraft]


class Crews:
    """Keeps crews.  Every method raises `NotFound` for what the caller may not see."""

    def __init__(self, store: DefinitionStore, keeper: Keeper, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._keeper = keeper
        self._now = now

    async def create(self, new: NewCrew, request: Request | None) -> Standing:
        """Add a crew with its agents and task definitions, all or nothing; the same `request` again adds nothing.

        Raises `Invalid` with the fields, and `NotFound` for an agent or tool of somebody else.
        """
        owner = keeping.own()
        self._check(new)

        def work(tx: Transaction) -> Standing:
            standing = _standing(tx, self._add(tx, new, owner))
            tx.keep_request(request and request.answered(_dump(standing)))
            return standing

        async def make() -> bytes:
            standing = await self._store.write(work)
            log.info("crew added", crew=standing.crew.name, by=owner)
            return _dump(standing)

        return _load(await once(self._store, request, make))

    def _check(self, new: NewCrew) -> None:
        """Raise `Invalid` for what can be seen to be wrong before anything is looked up."""
        for field, given, count_max in (
            ("new_agents", new.agents, AGENTS_MAX),
            ("new_task_defs", new.tasks, TASKS_MAX),
        ):
            if len(given) > count_max:
                raise Invalid(f"too many {field}", {field: [f"at most {count_max}"]})
        crews.check(new.draft)
        self._keeper.check("crew.manager_api_key", new.key)
        for index, (draft, key) in enumerate(new.agents):
            agents.check(draft, f"new_agents[{index}]")
            self._keeper.check(f"new_agents[{index}].api_key", key)
        for index, task in enumerate(new.tasks):
            taskdefs.check(task, f"new_task_defs[{index}]")
            if task.crew:
                raise Invalid("they are of the new crew", {f"new_task_defs[{index}].crew": ["must be empty"]})

    def _add(self, tx: Transaction, new: NewCrew, owner: str) -> Crew:
        now = self._now()
        added = [
            agent_room.add(tx, self._keeper, draft, key, owner=owner, now=now, prefix=f"new_agents[{index}]").id
            for index, (draft, key) in enumerate(new.agents)
        ]
        new_agents = {f"{NEW}{index}": agent_id for index, agent_id in enumerate(added)}
        members = keeping.references(tx, Agent, new.draft.agents, owner, "crew.agents")
        draft = dataclasses.replace(new.draft, agents=(*members, *added))
        crew = crews.create(draft, crew_id=uuids.make(), owner=owner, has_key=bool(new.key), now=now)
        tx.put(crew)
        self._keeper.keep(tx, crew.name, MANAGER_API_KEY, new.key, had=False)
        task_ids = [uuids.make() for _ in new.tasks]
        new_tasks = {f"{NEW}{index}": task_id for index, task_id in enumerate(task_ids)}
        tasks = []
        for index, (task_id, wanted) in enumerate(zip(task_ids, new.tasks, strict=True)):
            field = f"new_task_defs[{index}]"
            wanted = dataclasses.replace(
                wanted,
                crew=crew.id,
                agent=keeping.reference(tx, Agent, wanted.agent, owner, f"{field}.agent", new=new_agents),
                tools=keeping.references(tx, Tool, wanted.tools, owner, f"{field}.tools"),
                depends_on=keeping.references(
                    tx, TaskDef, wanted.depends_on, owner, f"{field}.depends_on", new=new_tasks
                ),
            )
            tasks.append(taskdefs.create(wanted, task_id=task_id, owner=owner, now=now, prefix=field))
        prefixes = {task_id: f"new_task_defs[{index}]" for index, task_id in enumerate(task_ids)}
        for task in tasks:
            place(task, crew, tasks, prefixes)
            tx.put(task)
        return crew

    async def get(self, handle: str) -> Standing:
        """Return a crew, archived or not."""
        seen_by, asks = keeping.scope(), caller().user
        return await self._store.read(lambda tx: _standing(tx, keeping.look(tx, Crew, handle, seen_by, asks)))

    async def select(
        self, owner: str | None, standings: Sequence[str], before: str, limit: int
    ) -> tuple[list[Crew], bool, dict[str, str]]:
        """Return crews, newest first, whether there are more, and the standings of their agents."""

        def work(tx: Transaction) -> tuple[list[Crew], bool, dict[str, str]]:
            found, more = tx.select(Crew, owner, standings, before, limit)
            return found, more, tx.standings({agent for crew in found for agent in crew.agents})

        return await self._store.read(work)

    async def count(self, owner: str | None, standings: Sequence[str]) -> int:
        """Return how many there are."""
        return await self._store.read(lambda tx: tx.count(Crew, owner, standings))

    async def update(
        self, handle: str, wanted: Callable[[Crew], CrewDraft], *, etag: str, key: Secret | None
    ) -> Standing:
        """Change a crew to what `wanted` makes of it; the manager's key stays if it is None.

        Raises `Invalid` with the fields, `Conflict` if `etag` is old, `FailedPrecondition` if a task would be left
        without anybody to do it.
        """
        seen_by, asks = keeping.scope(), caller().user
        self._keeper.check("crew.manager_api_key", key)

        def work(tx: Transaction) -> Standing:
            stored = keeping.look_alive(tx, Crew, handle, seen_by, asks)
            draft = wanted(stored)
            crews.check(draft)
            members = keeping.references(tx, Agent, draft.agents, stored.owner, "crew.agents", kept=stored.agents)
            secret = keeping.given(key, stored.manager, draft.manager)
            crew = crews.update(
                stored,
                dataclasses.replace(draft, agents=members),
                tx.tasks(stored.id),
                etag=etag,
                has_key=stored.has_manager_api_key if secret is None else bool(secret),
                now=self._now(),
            )
            self._keeper.keep(tx, crew.name, MANAGER_API_KEY, secret, had=stored.has_manager_api_key)
            tx.put(crew)
            return _standing(tx, crew)

        return await self._changed(work, "crew changed")

    async def delete(self, handle: str) -> Standing:
        """Archive a crew with its task definitions, and forget its manager's key."""
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> Standing:
            now = self._now()
            crew = crews.archive(keeping.look_alive(tx, Crew, handle, seen_by, asks), now)
            for task in tx.tasks(crew.id):
                tx.put(taskdefs.archive(task, now))
            tx.forget_secret(crew.name, MANAGER_API_KEY)
            tx.put(crew)
            return _standing(tx, crew)

        return await self._changed(work, "crew archived")

    async def _changed(self, work: Callable[[Transaction], Standing], what: str) -> Standing:
        standing = await self._store.write(work)
        log.info(what, crew=standing.crew.name, by=caller().user)
        return standing


def _standing(tx: Transaction, crew: Crew) -> Standing:
    return Standing(crew, crews.state(crew, tx.standings(crew.agents)))


def _dump(standing: Standing) -> bytes:
    return f"{standing.state.name}\n{rows.dump(standing.crew)}".encode()


def _load(answer: bytes) -> Standing:
    state, _, crew = answer.decode().partition("\n")
    return Standing(rows.load(Crew, crew), CrewState[state])
