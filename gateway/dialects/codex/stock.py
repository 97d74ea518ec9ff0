"""What Codex asks of the mesh: agents, conversations and executions of the current caller."""

import asyncio
import collections
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2

from gateway.core import lists
from gateway.core.peers import Peers
from gateway.core.values import fields
from gateway.dialects.codex import ids
from gateway.dialects.codex.views import AGENTS, CONVERSATIONS
from meshkit.errors import NotFound, from_rpc
from meshkit.paging import walk

NEWEST = 100
"""How many a list has, and may have."""
ANY_AGENT = "agents/-"
_PAGE = 1_000
_MESSAGES_CHARS_MAX = 4 * 1024 * 1024
Item = TypeVar("Item")


class Page(NamedTuple):
    """Which part of a list is asked for."""

    limit: int = NEWEST
    cursor: str = ""
    """Empty: from the newest on."""


Found = tuple[Sequence[Item], str]
"""Items, and the cursor of those behind; empty if there are none."""


class Stock:
    """Finds them."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    # -- agents

    async def agent(self, guid: str, *, archived: bool = False) -> agent_pb2.Agent:
        """Return an agent.  Raises `NotFound`, also for one that is archived unless that does not matter."""
        lost = NotFound(f"agent {guid} not found")
        if not ids.is_guid(guid):
            raise lost
        try:
            with from_rpc():
                found: agent_pb2.Agent = await self._peers.agents.GetAgent(
                    agent_pb2.GetAgentRequest(name=f"{AGENTS}{guid}")
                )
        except NotFound:
            raise lost from None
        if found.state == agent_pb2.AGENT_STATE_ARCHIVED and not archived:
            raise lost
        return found

    async def agents(self, page: Page) -> Found[agent_pb2.Agent]:
        """Return agents, the newest first."""
        asked = agent_pb2.ListAgentsRequest(page_size=page.limit, page_token=page.cursor)
        with _paging(), from_rpc():
            found = await self._peers.agents.ListAgents(asked)
        return list(found.agents), found.next_page_token

    async def counts(self, agents: Iterable[agent_pb2.Agent]) -> list[int]:
        """Return how many executions each of some agents has."""
        targets = [agent.name for agent in agents]
        if not targets:
            return []
        with from_rpc():
            counted = await self._peers.jobs.CountJobs(job_pb2.CountJobsRequest(targets=targets))
        return [int(count.job_count) for count in counted.counts]

    async def names(self, jobs: Iterable[job_pb2.Job]) -> Mapping[str, str]:
        """Return the names of the agents that were executed, by `agents/{id}`."""
        targets = sorted({job.target for job in jobs})
        return dict(zip(targets, await asyncio.gather(*map(self._name, targets)), strict=True))

    async def _name(self, target: str) -> str:
        try:
            with from_rpc():
                return str((await self._peers.agents.GetAgent(agent_pb2.GetAgentRequest(name=target))).display_name)
        except NotFound:  # somebody else's, whose executions an operator may see
            return ""

    # -- executions

    async def execution(self, guid: str) -> job_pb2.Job:
        """Return an execution.  Raises `NotFound`, also for jobs of something else than agents."""
        lost = NotFound(f"execution {guid} not found")
        try:
            with from_rpc():
                job: job_pb2.Job = await self._peers.jobs.GetJob(job_pb2.GetJobRequest(name=ids.job(guid)))
        except NotFound:
            raise lost from None
        if not job.target.startswith(AGENTS):
            raise lost
        return job

    async def executions(
        self, page: Page, target: str = ANY_AGENT, *, states: Iterable[int] = (), conversation: str = ""
    ) -> Found[job_pb2.Job]:
        """Return executions, of all or those that are asked for, the newest first."""
        asked = job_pb2.ListJobsRequest(
            targets=[target],
            states=sorted(states),  # type: ignore[arg-type]
            conversation=conversation,
            page_size=page.limit,
            page_token=page.cursor,
            text_bytes_max=lists.text_bytes_max(page.limit),
        )
        with _paging(), from_rpc():
            found = await self._peers.jobs.ListJobs(asked)
        return list(found.jobs), found.next_page_token

    # -- conversations

    async def conversation(self, guid: str) -> conversation_pb2.Conversation:
        """Return a conversation.  Raises `NotFound`."""
        try:
            with from_rpc():
                found: conversation_pb2.Conversation = await self._peers.conversations.GetConversation(
                    conversation_pb2.GetConversationRequest(name=f"{CONVERSATIONS}{guid}")
                )
        except NotFound:
            raise NotFound(f"conversation {guid} not found") from None
        return found

    async def conversations(self, page: Page, target: str = "") -> Found[conversation_pb2.Conversation]:
        """Return conversations, of all or of one agent, those first in which something was said last."""
        asked = conversation_pb2.ListConversationsRequest(page_size=page.limit, page_token=page.cursor, target=target)
        with _paging(), from_rpc():
            found = await self._peers.conversations.ListConversations(asked)
        return list(found.conversations), found.next_page_token

    async def messages(self, name: str) -> Sequence[conversation_pb2.Message]:
        """Return the messages of `conversations/{id}` in order; of more than an answer can have, the last ones."""
        asked = conversation_pb2.ListMessagesRequest(parent=name, page_size=_PAGE)
        kept: collections.deque[conversation_pb2.Message] = collections.deque()
        chars = 0
        async with contextlib.aclosing(walk(self._peers.conversations.ListMessages, asked)) as messages:
            async for message in messages:
                kept.append(message)
                chars += len(message.content)
                while chars > _MESSAGES_CHARS_MAX:
                    chars -= len(kept.popleft().content)
        return list(kept)


def _paging() -> contextlib.AbstractContextManager[None]:
    """Around calls for a page: what is wrong with its cursor is said so."""
    return fields(page_token="cursor")
