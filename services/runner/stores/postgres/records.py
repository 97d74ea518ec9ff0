"""What is kept beside jobs in PostgreSQL: conversations, and what agents remember.

Every statement about memory names the owner and the scope: nobody's memory is a filter away from somebody else's.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from meshkit import paging
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests
from services.runner.domain import Layer, Memory, Role, Said
from services.runner.domain.conversations import Conversation, Message
from services.runner.domain.memories import SHORT_MAX, Ranked, fuse, terms
from services.runner.stores.postgres import remains
from services.runner.stores.postgres.rows import octets, page, places, row, rows
from services.runner.stores.remains import CONVERSATIONS, Sweeper, there

_CONVERSATION_FIELDS = (
    "conversation_id",
    "owner",
    "title",
    "summary",
    "active",
    "message_count",
    "job_count",
    "created_at",
    "updated_at",
    "last_message_at",
)
_CONVERSATION = ", ".join(_CONVERSATION_FIELDS)
_MESSAGE = "conversation_id, number, role, content, job_id, created_at"
_THERE = there(CONVERSATIONS, "%s")
_MEMORY_FIELDS = (
    "number",
    "owner",
    "scope",
    "layer",
    "content",
    "type",
    "category",
    "importance",
    "job_id",
    "created_at",
)
_MEMORY = ", ".join(_MEMORY_FIELDS)
_ALIASED = ", ".join(f"m.{name}" for name in _MEMORY_FIELDS)
_SEEDS = 10
_FOUND_MAX = 50
_CLEARED_MAX = 200
"""Of memory, in one write: others write in between."""
_DEAD_END = 100
"""A word that more records of a memory have tells nothing of two that share it."""
_WORD = re.compile(r"\w+")


class PostgresConversations:
    """A `ConversationStore`."""

    def __init__(self, database: Database, sweeper: Sweeper) -> None:
        self._database = database
        self._sweeper = sweeper

    async def add(self, conversation: Conversation, request: Request | None) -> None:
        """As `ConversationStore.add`."""
        values = [getattr(conversation, name) for name in _CONVERSATION_FIELDS]

        async def work(connection: Connection) -> None:
            await rows(
                connection, f"INSERT INTO conversations ({_CONVERSATION}) VALUES ({places(len(values))})", *values
            )
            await requests.keep(connection, request, conversation.created_at)

        await self._database.write(work)

    async def get(self, conversation_id: str) -> Conversation:
        """As `ConversationStore.get`."""
        return await self._database.read(lambda connection: _get(connection, conversation_id))

    async def find(
        self, owner: str | None, target: str, before: tuple[float, str] | None, limit: int
    ) -> list[Conversation]:
        """As `ConversationStore.find`."""
        clauses, values = ["true"], list[Any]()
        if owner is not None:
            clauses.append("owner = %s")
            values.append(owner)
        if target:
            name = "'conversations/' || conversation_id"
            clauses.append(
                f"EXISTS (SELECT 1 FROM jobs WHERE conversation = {name} AND conversation <> '' AND target = %s)"
            )
            values.append(target)
        if before is not None:
            clauses.append("(last_message_at, conversation_id) < (%s::double precision, %s)")
            values += before
        statement = (
            f"SELECT {_CONVERSATION} FROM conversations WHERE {' AND '.join(clauses)} "
            "ORDER BY last_message_at DESC, conversation_id DESC LIMIT %s"
        )

        async def work(connection: Connection) -> list[Conversation]:
            return list(map(_conversation, await rows(connection, statement, *values, limit)))

        return await self._database.read(work)

    async def update(self, conversation_id: str, rule: Callable[[Conversation], Conversation]) -> Conversation:
        """As `ConversationStore.update`."""

        async def work(connection: Connection) -> Conversation:
            changed = rule(await _get(connection, conversation_id, locked=True))
            await rows(
                connection,
                "UPDATE conversations SET title = %s, summary = %s, active = %s, updated_at = %s "
                "WHERE conversation_id = %s",
                changed.title,
                changed.summary,
                changed.active,
                changed.updated_at,
                conversation_id,
            )
            return changed

        return await self._database.write(work)

    async def delete(self, conversation_id: str) -> None:
        """As `ConversationStore.delete`."""

        async def work(connection: Connection) -> bool:
            owner = (await _get(connection, conversation_id, locked=True)).owner
            await rows(connection, "DELETE FROM conversations WHERE conversation_id = %s", conversation_id)
            return await remains.leave(connection, CONVERSATIONS, conversation_id, owner)

        if await self._database.write(work):
            self._sweeper.left()

    async def messages(self, conversation_id: str, after: int, limit: int) -> list[Message]:
        """As `ConversationStore.messages`."""
        where = f"conversation_id = %s AND number > %s AND {_THERE}"
        source = f"SELECT {_MESSAGE} FROM messages WHERE {where} ORDER BY number LIMIT %s"
        statement = page(_MESSAGE, source, "number", octets(["content"]))

        async def work(connection: Connection) -> list[Message]:
            found = await rows(connection, statement, conversation_id, after, conversation_id, limit)
            return list(paging.until_full(map(_message, found)))

        return await self._database.read(work)

    async def last_messages(self, conversation_id: str, before_job: str, limit: int) -> list[Message]:
        """As `ConversationStore.last_messages`."""
        own = "SELECT min(number) FROM messages WHERE conversation_id = %s AND job_id = %s"
        statement = (
            f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = %s "
            f"AND number < coalesce(({own}), {2**62}) AND {_THERE} ORDER BY number DESC LIMIT %s"
        )

        async def work(connection: Connection) -> list[Message]:
            whose = (conversation_id, conversation_id, before_job, conversation_id)
            found = await rows(connection, statement, *whose, limit)
            return list(map(_message, reversed(found)))

        return await self._database.read(work)


class PostgresMemories:
    """A `MemoryRecords`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: Memory, request: Request | None) -> Memory:
        """As `MemoryRecords.add`."""

        async def work(connection: Connection) -> Memory:
            (kept,) = await remember(connection, [record])
            answered = request and request.answered(str(kept.number).encode())
            await requests.keep(connection, answered, record.created_at)
            return kept

        return await self._database.write(work)

    async def get(self, owner: str, number: int) -> Memory | None:
        """As `MemoryRecords.get`."""

        async def work(connection: Connection) -> Memory | None:
            statement = f"SELECT {_MEMORY} FROM memories WHERE number = %s AND owner = %s"
            found = await row(connection, statement, number, owner)
            return None if found is None else _memory(found)

        return await self._database.read(work)

    async def find(self, owner: str, scope: str, layer: Layer | None, before: int, limit: int) -> list[Memory]:
        """As `MemoryRecords.find`."""
        layers, chosen = _layers(layer)
        source = (
            f"SELECT {_MEMORY} FROM memories WHERE owner = %s AND scope = %s AND {layers} AND number < %s "
            "ORDER BY number DESC LIMIT %s"
        )
        statement = page(_MEMORY, source, "number DESC", octets(["content"]))

        async def work(connection: Connection) -> list[Memory]:
            found = await rows(connection, statement, owner, scope, *chosen, before or 2**62, limit)
            return list(paging.until_full(map(_memory, found)))

        return await self._database.read(work)

    async def search(self, owner: str, scope: str, layer: Layer | None, query: str, limit: int) -> list[Ranked]:
        """As `MemoryRecords.search`."""

        async def work(connection: Connection) -> list[Ranked]:
            lexical = await _lexical(connection, owner, scope, layer, query)
            seeds = [record.number for record in lexical[:_SEEDS]]
            return fuse(lexical, [], await _graph(connection, owner, scope, layer, seeds), limit)

        return await self._database.read(work)

    async def clear(self, owner: str, scope: str, layer: Layer | None) -> int:
        """As `MemoryRecords.clear`.  What is deleted leaves the disk when the database next vacuums the table."""
        layers, chosen = _layers(layer)

        mine = f"FROM memories WHERE owner = %s AND scope = %s AND {layers}"

        async def work(connection: Connection) -> tuple[int, bool]:
            """Delete a few; return how many, and whether there are more: another replica may have chosen the same."""
            numbers = f"SELECT number {mine} AND number <= %s ORDER BY number LIMIT {_CLEARED_MAX}"
            statement = f"DELETE FROM memories WHERE number IN ({numbers}) RETURNING 1"
            cleared = len(await rows(connection, statement, owner, scope, *chosen, last))
            left = f"SELECT 1 {mine} AND number <= %s LIMIT 1"
            return cleared, await row(connection, left, owner, scope, *chosen, last) is not None

        found = await self._database.read(
            lambda connection: row(connection, f"SELECT coalesce(max(number), 0) {mine}", owner, scope, *chosen)
        )
        count, last, is_more = 0, found[0], True
        while is_more:
            cleared, is_more = await self._database.write(work)
            count += cleared
        return count


async def append(connection: Connection, said: Sequence[Said]) -> None:
    """Add what a job says; a conversation that was deleted meanwhile hears nothing."""
    for one in said:
        conversation_id = one.conversation.removeprefix("conversations/")
        changed = await row(
            connection,
            "UPDATE conversations SET message_count = message_count + 1, job_count = job_count + %s::bigint, "
            "last_message_at = greatest(last_message_at, %s::double precision) WHERE conversation_id = %s "
            "RETURNING message_count",
            int(one.role == Role.USER),
            one.at,
            conversation_id,
        )
        if changed is not None:
            statement = f"INSERT INTO messages ({_MESSAGE}) VALUES ({places(6)})"
            values = (conversation_id, changed[0] - 1, one.role, one.content, one.job_id, one.at)
            await rows(connection, statement, *values)


async def remember(connection: Connection, records: Sequence[Memory]) -> list[Memory]:
    """Keep records; of the short layer the oldest go when there are too many."""
    kept = []
    for record in records:
        names = _MEMORY_FIELDS[1:]
        values = (*(getattr(record, name) for name in names), _plain(record.content))
        (number,) = await row(
            connection,
            f"INSERT INTO memories ({', '.join(names)}, words) "
            f"VALUES ({places(len(names))}, to_tsvector('english', %s)) RETURNING number",
            *values,
        )
        statement = "INSERT INTO memory_terms (number, term) SELECT %s::bigint, unnest(%s::text[])"
        await rows(connection, statement, number, terms(f"{record.category} {record.content}"))
        if record.layer == Layer.SHORT:
            await rows(
                connection,
                "DELETE FROM memories WHERE number IN (SELECT number FROM memories "
                "WHERE owner = %s AND scope = %s AND layer = %s ORDER BY number DESC OFFSET %s)",
                record.owner,
                record.scope,
                Layer.SHORT,
                SHORT_MAX,
            )
        kept.append(Memory(**{name: getattr(record, name) for name in names}, number=number))
    return kept


async def _lexical(connection: Connection, owner: str, scope: str, layer: Layer | None, query: str) -> list[Memory]:
    """Return records with words of the query, the best first."""
    words = terms(query) or _WORD.findall(query.lower())[:10]
    if not words:
        return []
    layers, chosen = _layers(layer)
    match = " | ".join(f"'{_plain(word)}'" for word in words)
    statement = (
        f"SELECT {_MEMORY} FROM memories, to_tsquery('english', %s) AS wanted "
        f"WHERE words @@ wanted AND owner = %s AND scope = %s AND {layers} "
        f"ORDER BY ts_rank_cd(words, wanted, 1) DESC, number DESC LIMIT {_FOUND_MAX}"
    )
    return list(map(_memory, await rows(connection, statement, match, owner, scope, *chosen)))


async def _graph(
    connection: Connection, owner: str, scope: str, layer: Layer | None, seeds: Sequence[int]
) -> list[Memory]:
    """Return records one step away from the seeds: those that share words with them, rare ones count more."""
    if not seeds:
        return []
    layers, chosen = _layers(layer, "m.")
    statement = f"""
        WITH shared (term, weight) AS (
          SELECT t.term, 1.0 / count(*) FROM memory_terms t JOIN memories m USING (number)
          WHERE t.term IN (SELECT term FROM memory_terms WHERE number = ANY(%s::bigint[]))
            AND m.owner = %s AND m.scope = %s
          GROUP BY t.term HAVING count(*) BETWEEN 2 AND {_DEAD_END}
        )
        SELECT {_ALIASED} FROM shared JOIN memory_terms t USING (term) JOIN memories m USING (number)
        WHERE m.owner = %s AND m.scope = %s AND m.number <> ALL(%s::bigint[]) AND {layers}
        GROUP BY m.number ORDER BY sum(shared.weight) DESC, m.number DESC LIMIT {_FOUND_MAX}
    """
    numbers = list(seeds)
    found = await rows(connection, statement, numbers, owner, scope, owner, scope, numbers, *chosen)
    return list(map(_memory, found))


def _plain(content: str) -> str:
    """Return a text without the marks on its letters, by which nobody searches."""
    if content.isascii():
        return content
    return "".join(char for char in unicodedata.normalize("NFKD", content) if not unicodedata.combining(char))


def _layers(layer: Layer | None, prefix: str = "") -> tuple[str, tuple[str, ...]]:
    return ("true", ()) if layer is None else (f"{prefix}layer = %s", (layer,))


async def _get(connection: Connection, conversation_id: str, *, locked: bool = False) -> Conversation:
    statement = f"SELECT {_CONVERSATION} FROM conversations WHERE conversation_id = %s"
    found = await row(connection, statement + " FOR UPDATE" if locked else statement, conversation_id)
    if found is None:
        raise NotFound("conversation not found", resource=f"conversations/{conversation_id}")
    return _conversation(found)


def _conversation(record: Sequence[Any]) -> Conversation:
    return Conversation(**dict(zip(_CONVERSATION_FIELDS, record, strict=True)))


def _message(record: Sequence[Any]) -> Message:
    conversation_id, number, role, content, job_id, created_at = record
    return Message(
        conversation_id=conversation_id,
        number=number,
        role=Role(role),
        content=content,
        job_id=job_id,
        created_at=created_at,
    )


def _memory(record: Sequence[Any]) -> Memory:
    values = dict(zip(_MEMORY_FIELDS, record, strict=True))
    return Memory(**{**values, "layer": Layer(values["layer"])})
