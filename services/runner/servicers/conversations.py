"""The runner's service of conversations.  Unpack, call, pack."""

import dataclasses
import uuid
from collections.abc import Callable

from agentmesh_protos.runner.v1 import conversation_pb2, conversation_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import idempotency, names, paging
from meshkit.errors import Denied, Invalid
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from services.runner.callers.requests import Requests
from services.runner.callers.shares import Shares
from services.runner.domain import conversations
from services.runner.domain.conversations import Conversation
from services.runner.ports.store import ConversationStore
from services.runner.shapes import conversation_to_pb, message_to_pb

_CHANGEABLE = ("title", "summary", "active")


class ConversationServicer(conversation_pb2_grpc.ConversationServiceServicer):
    """Conversations; what is not the caller's is not found."""

    def __init__(self, store: ConversationStore, requests: Requests, shares: Shares, now: Callable[[], float]) -> None:
        self._store = store
        self._shares = shares
        self._requests = requests
        self._now = now

    async def CreateConversation(
        self, request: conversation_pb2.CreateConversationRequest, context: Context
    ) -> conversation_pb2.Conversation:
        """Add a conversation.  Raises `Invalid`, `Denied`, and `Exhausted` if its owner keeps too much."""
        if not caller().user:
            raise Denied("conversations belong to users: call with a user's token")
        title, summary = request.conversation.title, request.conversation.summary
        conversations.check(title, summary)
        asked = idempotency.ask(request)
        async with self._requests.one_at_a_time(asked):
            if asked is not None and (known := await self._requests.known(asked)) is not None:
                return conversation_to_pb(await self._store.get(known.decode()))
            await self._shares.check_stored(caller().user)
            now = self._now()
            made = Conversation(
                conversation_id=str(uuid7(now)),
                owner=caller().user,
                title=title,
                summary=summary,
                created_at=now,
                updated_at=now,
                last_message_at=now,
            )
            await self._store.add(made, asked and asked.answered(made.conversation_id.encode()))
        return conversation_to_pb(made)

    async def GetConversation(
        self, request: conversation_pb2.GetConversationRequest, context: Context
    ) -> conversation_pb2.Conversation:
        """Return a conversation.  Raises `NotFound`, `Invalid`."""
        return conversation_to_pb(await self._own(request.name))

    async def ListConversations(
        self, request: conversation_pb2.ListConversationsRequest, context: Context
    ) -> conversation_pb2.ListConversationsResponse:
        """Return a page of conversations, the last one that was spoken in first.  Raises `Denied`, `Invalid`."""
        if request.all_owners and not caller().sees_all:
            raise Denied("only operators may list the conversations of all owners")
        owner = None if request.all_owners else caller().user

        async def fetch(after: str, limit: int) -> list[Conversation]:
            return await self._store.find(owner, request.target, paging.of_moment(after), limit)

        page = await paging.page(request, fetch, _key, owner or "", request.target)
        return conversation_pb2.ListConversationsResponse(
            conversations=map(conversation_to_pb, page.items), next_page_token=page.next_token
        )

    async def UpdateConversation(
        self, request: conversation_pb2.UpdateConversationRequest, context: Context
    ) -> conversation_pb2.Conversation:
        """Change what the mask names.  Raises `NotFound`, `Invalid`."""
        wanted = request.conversation
        known = await self._own(wanted.name)
        paths = list(request.update_mask.paths) or [name for name in ("title", "summary") if getattr(wanted, name)]
        paths = list(_CHANGEABLE) if paths == ["*"] else paths
        if wrong := [path for path in paths if path not in _CHANGEABLE]:
            raise Invalid(f"{wrong[0][:80]} cannot be changed", {"update_mask": [f"one of {', '.join(_CHANGEABLE)}"]})
        now = self._now()

        def rule(before: Conversation) -> Conversation:
            changes = {path: getattr(wanted, path) for path in paths}
            after = dataclasses.replace(before, **changes, updated_at=now)
            conversations.check(after.title, after.summary)
            return after

        return conversation_to_pb(await self._store.update(known.conversation_id, rule))

    async def DeleteConversation(
        self, request: conversation_pb2.DeleteConversationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Delete a conversation with its messages.  Raises `NotFound`, `Invalid`."""
        await self._store.delete((await self._own(request.name)).conversation_id)
        return empty_pb2.Empty()

    async def ListMessages(
        self, request: conversation_pb2.ListMessagesRequest, context: Context
    ) -> conversation_pb2.ListMessagesResponse:
        """Return a page of messages, in order.  Raises `NotFound`, `Invalid`."""
        conversation_id = (await self._own(request.parent, "parent")).conversation_id

        async def fetch(after: str, limit: int) -> list[conversations.Message]:
            return await self._store.messages(conversation_id, paging.number(after) if after else -1, limit)

        page = await paging.page(request, fetch, lambda message: str(message.number), conversation_id)
        return conversation_pb2.ListMessagesResponse(
            messages=map(message_to_pb, page.items), next_page_token=page.next_token
        )

    async def _own(self, name: str, field: str = "name") -> Conversation:
        conversation = await self._store.get(names.parse(name, "conversations", field))
        check_owner(conversation.owner, conversation.name)
        return conversation


def _key(conversation: Conversation) -> str:
    return paging.moment(conversation.last_message_at, conversation.conversation_id)


def uuid7(now: float) -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562 §5.7): milliseconds, then chance."""
    chance = uuid.uuid4().int
    bits = (int(now * 1000) & (2**48 - 1)) << 80 | chance & (2**80 - 1)
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=bits)
