"""`Client.agents`, `.crews`, `.tasks`, `.tools` and `.conversations`: as those of `AsyncClient`, without asyncio."""

from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar, Unpack

from agentmesh._client import collections, conversations
from agentmesh._client.conversations import Conversation, Message
from agentmesh._client.definitions import (
    Agent,
    AgentFields,
    Crew,
    CrewFields,
    TaskDef,
    TaskDefFields,
    Tool,
    ToolFields,
)

T = TypeVar("T")


class Runner(Protocol):
    """Runs what is asynchronous to its end."""

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns."""

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield what an asynchronous iterator yields."""


class SyncAgents:
    """Agents; see `AsyncClient.agents`."""

    def __init__(self, runner: Runner, agents: collections.Agents) -> None:
        self._runner = runner
        self._agents = agents

    def create(self, *, request_id: str = "", **fields: Unpack[AgentFields]) -> Agent:
        """Add an agent."""
        return self._runner.call(self._agents.create(request_id=request_id, **fields))

    def get(self, name: str) -> Agent:
        """Return an agent."""
        return self._runner.call(self._agents.get(name))

    def list(self, *, all_owners: bool = False, deleted: bool = False) -> Iterator[Agent]:
        """Yield agents, newest first."""
        return self._runner.iterate(self._agents.list(all_owners=all_owners, deleted=deleted))

    def update(self, name: str, *, etag: str = "", **fields: Unpack[AgentFields]) -> Agent:
        """Change the fields that are given."""
        return self._runner.call(self._agents.update(name, etag=etag, **fields))

    def delete(self, name: str) -> Agent:
        """Archive an agent."""
        return self._runner.call(self._agents.delete(name))

    def undelete(self, name: str) -> Agent:
        """Bring an archived agent back, paused."""
        return self._runner.call(self._agents.undelete(name))


class SyncCrews:
    """Crews; see `AsyncClient.crews`."""

    def __init__(self, runner: Runner, crews: collections.Crews) -> None:
        self._runner = runner
        self._crews = crews

    def create(
        self,
        *,
        new_agents: Sequence[AgentFields] = (),
        new_tasks: Sequence[TaskDefFields] = (),
        request_id: str = "",
        **fields: Unpack[CrewFields],
    ) -> Crew:
        """Add a crew, and what comes with it, all or nothing."""
        return self._runner.call(
            self._crews.create(new_agents=new_agents, new_tasks=new_tasks, request_id=request_id, **fields)
        )

    def get(self, name: str) -> Crew:
        """Return a crew."""
        return self._runner.call(self._crews.get(name))

    def list(self, *, all_owners: bool = False, deleted: bool = False) -> Iterator[Crew]:
        """Yield crews, newest first."""
        return self._runner.iterate(self._crews.list(all_owners=all_owners, deleted=deleted))

    def update(self, name: str, *, etag: str = "", **fields: Unpack[CrewFields]) -> Crew:
        """Change the fields that are given."""
        return self._runner.call(self._crews.update(name, etag=etag, **fields))

    def delete(self, name: str) -> Crew:
        """Archive a crew with its task definitions."""
        return self._runner.call(self._crews.delete(name))


class SyncTasks:
    """Task definitions; see `AsyncClient.tasks`."""

    def __init__(self, runner: Runner, tasks: collections.Tasks) -> None:
        self._runner = runner
        self._tasks = tasks

    def create(self, *, request_id: str = "", **fields: Unpack[TaskDefFields]) -> TaskDef:
        """Add a task definition."""
        return self._runner.call(self._tasks.create(request_id=request_id, **fields))

    def get(self, name: str) -> TaskDef:
        """Return a task definition."""
        return self._runner.call(self._tasks.get(name))

    def list(self, crew: str = "", *, all_owners: bool = False, deleted: bool = False) -> Iterator[TaskDef]:
        """Yield those of a crew in their order, or else all, newest first."""
        return self._runner.iterate(self._tasks.list(crew, all_owners=all_owners, deleted=deleted))

    def update(self, name: str, *, etag: str = "", **fields: Unpack[TaskDefFields]) -> TaskDef:
        """Change the fields that are given."""
        return self._runner.call(self._tasks.update(name, etag=etag, **fields))

    def delete(self, name: str) -> TaskDef:
        """Archive a task definition."""
        return self._runner.call(self._tasks.delete(name))


class SyncTools:
    """Tools; see `AsyncClient.tools`."""

    def __init__(self, runner: Runner, tools: collections.Tools) -> None:
        self._runner = runner
        self._tools = tools

    def create(self, *, request_id: str = "", **fields: Unpack[ToolFields]) -> Tool:
        """Add a tool."""
        return self._runner.call(self._tools.create(request_id=request_id, **fields))

    def get(self, name: str) -> Tool:
        """Return a tool."""
        return self._runner.call(self._tools.get(name))

    def list(self, *, all_owners: bool = False, deleted: bool = False) -> Iterator[Tool]:
        """Yield the tools that come with the mesh, then the others, newest first."""
        return self._runner.iterate(self._tools.list(all_owners=all_owners, deleted=deleted))

    def update(self, name: str, *, etag: str = "", **fields: Unpack[ToolFields]) -> Tool:
        """Change the fields that are given."""
        return self._runner.call(self._tools.update(name, etag=etag, **fields))

    def delete(self, name: str) -> Tool:
        """Archive a tool."""
        return self._runner.call(self._tools.delete(name))


class SyncConversations:
    """Conversations; see `AsyncClient.conversations`."""

    def __init__(self, runner: Runner, conversations: conversations.Conversations) -> None:
        self._runner = runner
        self._conversations = conversations

    def create(self, title: str, *, summary: str = "", request_id: str = "") -> Conversation:
        """Begin a conversation."""
        return self._runner.call(self._conversations.create(title, summary=summary, request_id=request_id))

    def get(self, name: str) -> Conversation:
        """Return a conversation, without its messages."""
        return self._runner.call(self._conversations.get(name))

    def list(self, *, target: str = "", all_owners: bool = False) -> Iterator[Conversation]:
        """Yield conversations, those in which something was said last first."""
        return self._runner.iterate(self._conversations.list(target=target, all_owners=all_owners))

    def messages(self, name: str) -> Iterator[Message]:
        """Yield the messages of a conversation, in the order in which they were said."""
        return self._runner.iterate(self._conversations.messages(name))
