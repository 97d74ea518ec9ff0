"""Conversations and memories in the process's memory: the twins of `stores.conversations` and `stores.memories`."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence

from meshkit import paging
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain import Layer, Memory, Role, Said
from services.runner.domain.conversations import Conversation, Message
from services.runner.domain.memories import SHORT_MAX, Ranked, fuse, terms
from services.runner.domain.pages import ROW_BYTES

_CONVERSATION_BYTES = 1000
Note = Callable[[Request | None, float], None]
"""Keeps a request.  Raises `AlreadyExists`."""
Targets = Callable[[str], Iterable[str]]
"""Returns the targets of the jobs of a conversation, by its name."""


class MemoryConversations:
    """A `ConversationStore`."""

    def __init__(self, note: Note, targets: Targets, stored: collections.Counter[str]) -> None:
        """`stored` is how many bytes are kept of an owner."""
        self._note = note
        self._stored = stored
        self._targets = targets
        self._conversations: dict[str, Conversation] = {}
        self._messages: dict[str, list[Message]] = {}

    def all(self) -> Iterable[Conversation]:
        """Return every conversation."""
        return self._conversations.values()

    async def add(self, conversation: Conversation, request: Request | None) -> None:
        """As `ConversationStore.add`."""
        if conversation.conversation_id in self._conversations:
            raise AlreadyExists("conversation exists", resource=conversation.name)
        self._note(request, conversation.created_at)
        self._conversations[conversation.conversation_id] = conversation
        self._messages[conversation.conversation_id] = []
        self._stored[conversation.owner] += _CONVERSATION_BYTES

    async def get(self, conversation_id: str) -> Conversation:
        """As `ConversationStore.get`."""
        try:
            return self._conversations[conversation_id]
        except KeyError:
            raise NotFound("conversation not found", resource=f"conversations/{conversation_id}") from None

    async def find(
        self, owner: str | None, target: str, before: tuple[float, str] | None, limit: int
    ) -> list[Conversation]:
        """As `ConversationStore.find`."""
        found = [
            one
            for one in self._conversations.values()
            if owner in (None, one.owner)
            and (not target or target in self._targets(one.name))
            and (before is None or (one.last_message_at, one.conversation_id) < before)
        ]
        return sorted(found, key=lambda one: (one.last_message_at, one.conversation_id), reverse=True)[:limit]

    async def update(self, conversation_id: str, rule: Callable[[Conversation], Conversation]) -> Conversation:
        """As `ConversationStore.update`."""
        changed = self._conversations[conversation_id] = rule(await self.get(conversation_id))
        return changed

    async def delete(self, conversation_id: str) -> None:
        """As `ConversationStore.delete`."""
        owner = (await self.get(conversation_id)).owner
        said = sum(_bytes(message.content) for message in self._messages[conversation_id])
        self._stored[owner] -= _CONVERSATION_BYTES + said
        del self._conversations[conversation_id], self._messages[conversation_id]

    async def messages(self, conversation_id: str, after: int, limit: int) -> list[Message]:
        """As `ConversationStore.messages`."""
        return list(paging.until_full(self._messages.get(conversation_id, [])[after + 1 : after + 1 + limit]))

    async def last_messages(self, conversation_id: str, before_job: str, limit: int) -> list[Message]:
        """As `ConversationStore.last_messages`."""
        messages = self._messages.get(conversation_id, [])
        own = next((message.number for message in messages if message.job_id == before_job), len(messages))
        return messages[max(0, own - limit) : own]

    def append(self, said: Sequence[Said]) -> None:
        """Add what a job says; a conversation that was deleted meanwhile hears nothing."""
        for one in said:
            conversation_id = one.conversation.removeprefix("conversations/")
            known = self._conversations.get(conversation_id)
            if known is None:
                continue
            self._stored[known.owner] += _bytes(one.content)
            self._messages[conversation_id].append(
                Message(
                    conversation_id=conversation_id,
                    number=known.message_count,
                    role=one.role,
                    content=one.content,
                    job_id=one.job_id,
                    created_at=one.at,
                )
            )
            self._conversations[conversation_id] = dataclasses.replace(
                known,
                message_count=known.message_count + 1,
                job_count=known.job_count + (one.role == Role.USER),
                last_message_at=max(known.last_message_at, one.at),
            )


class MemoryMemories:
    """A `MemoryRecords`."""

    def __init__(self, note: Note, stored: collections.Counter[str]) -> None:
        """`stored` is how many bytes are kept of an owner."""
        self._note = note
        self._stored = stored
        self._records: dict[int, Memory] = {}
        self._last = 0

    async def add(self, record: Memory, request: Request | None) -> Memory:
        """As `MemoryRecords.add`."""
        self._note(request and request.answered(str(self._last + 1).encode()), record.created_at)
        return self.write([record])[0]

    async def get(self, owner: str, number: int) -> Memory | None:
        """As `MemoryRecords.get`."""
        found = self._records.get(number)
        return found if found is not None and found.owner == owner else None

    async def find(self, owner: str, scope: str, layer: Layer | None, before: int, limit: int) -> list[Memory]:
        """As `MemoryRecords.find`."""
        found = [record for record in self._of(owner, scope, layer) if not before or record.number < before]
        return list(paging.until_full(found[:limit]))

    async def search(self, owner: str, scope: str, layer: Layer | None, query: str, limit: int) -> list[Ranked]:
        """As `MemoryRecords.search`."""
        records = self._of(owner, scope, layer)
        wanted = set(terms(query))
        lexical = _by_shared(records, wanted)
        linked = {term for record in lexical[:10] for term in terms(record.content)}
        graph = _by_shared([record for record in records if record not in lexical[:10]], linked)
        return fuse(lexical, [], graph, limit)

    async def clear(self, owner: str, scope: str, layer: Layer | None) -> int:
        """As `MemoryRecords.clear`."""
        gone = self._of(owner, scope, layer)
        for record in gone:
            self._forget(record)
        return len(gone)

    def write(self, records: Sequence[Memory]) -> list[Memory]:
        """Keep records; of the short layer the oldest go when there are too many."""
        kept = []
        for record in records:
            self._last += 1
            kept.append(dataclasses.replace(record, number=self._last))
            self._records[self._last] = kept[-1]
            self._stored[record.owner] += _bytes(record.content)
            if record.layer == Layer.SHORT:
                for old in self._of(record.owner, record.scope, Layer.SHORT)[SHORT_MAX:]:
                    self._forget(old)
        return kept

    def _forget(self, record: Memory) -> None:
        del self._records[record.number]
        self._stored[record.owner] -= _bytes(record.content)

    def _of(self, owner: str, scope: str, layer: Layer | None) -> list[Memory]:
        found = [
            record
            for record in self._records.values()
            if (record.owner, record.scope) == (owner, scope) and layer in (None, record.layer)
        ]
        return sorted(found, key=lambda record: record.number, reverse=True)


def _bytes(content: str) -> int:
    return ROW_BYTES + len(content.encode("utf-8", "surrogatepass"))


def _by_shared(records: Sequence[Memory], wanted: set[str]) -> list[Memory]:
    """Return records that have one of the words, those with the most first."""
    shared = {record.number: len(wanted & set(terms(record.content))) for record in records}
    found = [record for record in records if shared[record.number]]
    return sorted(found, key=lambda record: (-shared[record.number], -record.number))
