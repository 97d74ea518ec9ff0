"""Agents, kept for their owners."""

import dataclasses
import datetime
from collections.abc import Callable, Sequence

import structlog

from meshkit import uuids
from meshkit.idempotency import Request, once
from meshkit.principal import caller
from meshkit.secrets import Secret
from services.registry import definition_rows as rows
from services.registry.catalogue import keeping
from services.registry.catalogue.keeping import Keeper
from services.registry.domain import agents
from services.registry.domain.agents import API_KEY, Agent, AgentDraft
from services.registry.domain.records import missing
from services.registry.domain.tools import Tool
from services.registry.ports.definitions import DefinitionStore, Transaction

log = structlog.get_logger()


class Agents:
    """Keeps agents.  Every method raises `NotFound` for what the caller may not see."""

    def __init__(self, store: DefinitionStore, keeper: Keeper, now: Callable[[], datetime.datetime]) -> None:
        self._store = store
        self._keeper = keeper
        self._now = now

    async def create(self, draft: AgentDraft, key: Secret | None, request: Request | None) -> Agent:
        """Add an agent; the same `request` again returns what it was then.

        Raises `Invalid` with the fields, `AlreadyExists` if its slug is taken, `NotFound` for a tool of somebody else.
        """
        owner = keeping.own()
        agents.check(draft, "agent")
        self._keeper.check("agent.api_key", key)

        def work(tx: Transaction) -> Agent:
            agent = add(tx, self._keeper, draft, key, owner=owner, now=self._now(), prefix="agent")
            tx.keep_request(request and request.answered(rows.dump(agent).encode()))
            return agent

        async def make() -> bytes:
            agent = await self._store.write(work)
            log.info("agent added", agent=agent.name, by=owner)
            return rows.dump(agent).encode()

        return rows.load(Agent, await once(self._store, request, make))

    async def get(self, handle: str) -> Agent:
        """Return an agent by its id, archived or not, or by its slug."""
        seen_by, owner = keeping.scope(), caller().user
        return await self._store.read(lambda tx: keeping.look(tx, Agent, handle, seen_by, owner))

    async def select(
        self, owner: str | None, standings: Sequence[str], before: str, limit: int
    ) -> tuple[list[Agent], bool]:
        """Return agents of these states, newest first, and whether there are more."""
        return await self._store.read(lambda tx: tx.select(Agent, owner, standings, before, limit))

    async def count(self, owner: str | None, standings: Sequence[str]) -> int:
        """Return how many there are of these states."""
        return await self._store.read(lambda tx: tx.count(Agent, owner, standings))

    async def update(
        self,
        handle: str,
        wanted: Callable[[Agent], AgentDraft],
        *,
        etag: str,
        state_named: bool,
        key: Secret | None,
    ) -> Agent:
        """Change an agent to what `wanted` makes of it; the key stays if it is None, unless it would go elsewhere.

        Raises `Invalid` with the fields, `Conflict` if `etag` is old, `AlreadyExists` if the new slug is taken.
        """
        seen_by, asks = keeping.scope(), caller().user
        self._keeper.check("agent.api_key", key)

        def work(tx: Transaction) -> Agent:
            stored = keeping.look(tx, Agent, handle, seen_by, asks)
            draft = wanted(stored)
            agents.check(draft, "agent")
            tools = keeping.references(tx, Tool, draft.tools, stored.owner, "agent.tools", kept=stored.tools)
            secret = keeping.given(key, stored.model, draft.model)
            agent = agents.update(
                stored,
                dataclasses.replace(draft, tools=tools),
                etag=etag,
                state_named=state_named,
                has_key=stored.has_api_key if secret is None else bool(secret),
                now=self._now(),
            )
            self._keeper.keep(tx, agent.name, API_KEY, secret, had=stored.has_api_key)
            tx.put(agent)
            return agent

        return await self._changed(work, "agent changed")

    async def delete(self, handle: str) -> Agent:
        """Archive an agent; its key is kept for the day it is brought back."""
        seen_by, asks = keeping.scope(), caller().user

        def work(tx: Transaction) -> Agent:
            agent = agents.archive(keeping.look_alive(tx, Agent, handle, seen_by, asks), self._now())
            tx.put(agent)
            return agent

        return await self._changed(work, "agent archived")

    async def restore(self, agent_id: str) -> Agent:
        """Bring an archived agent back; raise `AlreadyExists` if it is not archived, or its slug is another's now."""
        seen_by = keeping.scope()

        def work(tx: Transaction) -> Agent:
            stored = tx.find(Agent, agent_id, seen_by)
            if stored is None:
                raise missing(f"agents/{agent_id}")
            agent = agents.restore(stored, self._now())
            tx.put(agent)
            return agent

        return await self._changed(work, "agent restored")

    async def _changed(self, work: Callable[[Transaction], Agent], what: str) -> Agent:
        agent = await self._store.write(work)
        log.info(what, agent=agent.name, by=caller().user)
        return agent


def add(
    tx: Transaction,
    keeper: Keeper,
    draft: AgentDraft,
    key: Secret | None,
    *,
    owner: str,
    now: datetime.datetime,
    prefix: str,
) -> Agent:
    """Add an agent within a transaction; `prefix` is where it was given."""
    tools = keeping.references(tx, Tool, draft.tools, owner, f"{prefix}.tools")
    agent = agents.create(
        dataclasses.replace(draft, tools=tools),
        agent_id=uuids.make(),
        owner=owner,
        has_key=bool(key),
        is_free=lambda slug: tx.find_handle(Agent, slug, owner) is None,
        now=now,
        prefix=prefix,
    )
    tx.put(agent)
    keeper.keep(tx, agent.name, API_KEY, key, had=False)
    return agent
