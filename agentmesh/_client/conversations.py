"""`AsyncClient.conversations`: what users and agents have said to each other."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator

from agentmesh_protos.runner.v1 import conversation_pb2, conversation_pb2_grpc

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.definitions import full_name
from agentmesh._client.records import moment, word


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a user and agents have said to each other, one job after another."""

    name: str
    """`conversations/{id}`."""
    title: str
    summary: str
    active: bool
    """Whether it goes on, as its owner says."""
    owner: str
    """`users/{uuid}`."""
    message_count: int
    job_count: int
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    """When its title, summary or state was changed last."""
    last_message_time: datetime.datetime | None
    """When something was said last; when it was begun, if nothing was."""

    @property
    def id(self) -> str:
        """A UUID."""
        return self.name.removeprefix("conversations/")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing that was said."""

    name: str
    """`conversations/{conversation}/messages/{index}`."""
    index: int
    """From 0, without gaps."""
    role: str
    """`user`, or `assistant` for an agent or a crew."""
    content: str
    job: str
    """`jobs/{id}` in which it was said."""
    create_time: datetime.datetime | None


class Conversations(Collection):
    """Conversations.  One may be named `conversations/{id}` or by its id; `create_job` takes the former."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = conversation_pb2_grpc.ConversationServiceStub(self._channel)

    async def create(self, title: str, *, summary: str = "", request_id: str = "") -> Conversation:
        """Begin a conversation; `title` has 1 to 500 characters, `summary` at most 2,000.

        The same `request_id` and texts again return the same one.  Raises `InvalidInputs` with `fields`.
        """
        request = conversation_pb2.CreateConversationRequest(
            conversation=conversation_pb2.Conversation(title=title, summary=summary),
            request_id=request_id or str(uuid.uuid4()),
        )
        return _to_conversation(await self._connection.unary(self._stub.CreateConversation, request))

    async def get(self, name: str) -> Conversation:
        """Return a conversation, without its messages.  Raises `NotFound` for one of somebody else, too."""
        request = conversation_pb2.GetConversationRequest(name=full_name(name, "conversations"))
        return _to_conversation(await self._connection.unary(self._stub.GetConversation, request))

    async def list(self, *, target: str = "", all_owners: bool = False) -> AsyncGenerator[Conversation, None]:
        """Yield conversations, those in which something was said last first; of one `target`, such as `agents/{id}`."""
        request = conversation_pb2.ListConversationsRequest(target=target, all_owners=all_owners)
        async for message in self._items(self._stub.ListConversations, request, "conversations"):
            yield _to_conversation(message)

    async def messages(self, name: str) -> AsyncGenerator[Message, None]:
        """Yield the messages of a conversation, in the order in which they were said."""
        request = conversation_pb2.ListMessagesRequest(parent=full_name(name, "conversations"))
        async for message in self._items(self._stub.ListMessages, request, "messages"):
            yield _to_message(message)


def _to_conversation(message: conversation_pb2.Conversation) -> Conversation:
    return Conversation(
        name=message.name,
        title=message.title,
        summary=message.summary,
        active=message.active,
        owner=message.owner,
        message_count=message.message_count,
        job_count=message.job_count,
        create_time=moment(message, "create_time"),
        update_time=moment(message, "update_time"),
        last_message_time=moment(message, "last_message_time"),
    )


def _to_message(message: conversation_pb2.Message) -> Message:
    return Message(
        name=message.name,
        index=message.index,
        role=word(conversation_pb2.MessageRole, message.role, "MESSAGE_ROLE_"),
        content=message.content,
        job=message.job,
        create_time=moment(message, "create_time"),
    )
