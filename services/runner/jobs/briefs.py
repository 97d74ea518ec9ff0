"""What a host is told of a job when it is handed over: what it is, what it needs, what was done of it before.

Secrets are asked for here, each time, and go nowhere but into the frame for the host.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TypeVar

from agentmesh_protos.registry.v1 import definition_pb2
from agentmesh_protos.runner.v1 import host_pb2
from google.protobuf.message import Message

from services.runner.domain import Job, talk
from services.runner.ports.definitions import Definitions
from services.runner.ports.store import ConversationStore, JobStore, MemoryRecords
from services.runner.shapes import hit_to_pb, message_to_pb

_WINDOW = 10
_HITS_MAX = 5
_QUERY_CHARS_MAX = 8_000
_BYTES_MAX = 1024 * 1024
"""Of messages, and of memories."""
M = TypeVar("M", bound=Message)


class Briefs:
    """Completes what hosts are told."""

    def __init__(
        self,
        store: JobStore,
        conversations: ConversationStore,
        memories: MemoryRecords,
        definitions: Definitions,
        *,
        private_tools: bool = False,
        private_models: bool = False,
    ) -> None:
        """`private_tools` and `private_models` may be at addresses that are not the Internet's."""
        self._store = store
        self._conversations = conversations
        self._memories = memories
        self._definitions = definitions
        self._private_tools = private_tools
        self._private_models = private_models

    async def complete(self, job: Job, run: host_pb2.Run) -> None:
        """Add to a `Run` what an agent's or crew's job needs.  Raises `Unavailable` if its secrets cannot be told."""
        run.MergeFrom(host_pb2.Run.FromString(await self._store.brief(job.job_id)))
        run.private_tools, run.private_models = self._private_tools, self._private_models
        definition = run.definition
        if names := list(_secretive(definition)):
            run.secrets.update(await self._definitions.secrets(names))
        if job.conversation.startswith(talk.CONVERSATION):
            conversation_id = job.conversation.removeprefix(talk.CONVERSATION)
            window = _window(definition)
            said = await self._conversations.last_messages(conversation_id, job.job_id, window)
            run.messages.extend(reversed(list(_within(map(message_to_pb, reversed(said))))))
        if _remembers(definition):
            run.recalls.extend(_within([recall async for recall in self._recalls(definition, job)]))

    async def _recalls(self, definition: definition_pb2.Definition, job: Job) -> AsyncIterator[host_pb2.Recall]:
        for subject, query in _questions(definition, job):
            hits = await self._memories.search(job.owner, job.target, None, query[:_QUERY_CHARS_MAX], _HITS_MAX)
            if hits:
                yield host_pb2.Recall(subject=subject, hits=map(hit_to_pb, hits))


def _within(messages: Iterable[M]) -> Iterator[M]:
    """Yield the first messages that are not too large together."""
    left = _BYTES_MAX
    for message in messages:
        left -= message.ByteSize()
        if left < 0:
            return
        yield message


def _secretive(definition: definition_pb2.Definition) -> Iterator[str]:
    """Yield the names of what has a key or a token."""
    yield from (agent.name for agent in definition.agents if agent.has_api_key)
    if definition.crew.has_manager_api_key:
        yield definition.crew.name
    yield from (tool.name for tool in definition.tools if tool.has_auth_token)


def _window(definition: definition_pb2.Definition) -> int:
    return max((agent.memory.window for agent in definition.agents), default=0) or _WINDOW


def _remembers(definition: definition_pb2.Definition) -> bool:
    if definition.HasField("crew"):
        return bool(definition.crew.memory)
    return any(agent.memory.enabled for agent in definition.agents)


def _questions(definition: definition_pb2.Definition, job: Job) -> Iterator[tuple[str, str]]:
    """Yield what memory is asked: for each task what is to be done, else what the agent is asked."""
    for task_def in definition.task_defs:
        yield task_def.name, f"{task_def.description} {job.inputs_json}"
    if not definition.task_defs:
        for agent in definition.agents[:1]:
            yield agent.name, job.inputs_json
