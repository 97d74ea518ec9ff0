"""Conversations and their messages in SQLite; what jobs say comes with the jobs' own writes (`append`)."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from meshkit import paging
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from meshkit.sqlite.erasing import zeroing
from services.runner.domain import Role, Said
from services.runner.domain.conversations import Conversation, Message
from services.runner.stores.remains import CONVERSATIONS, Sweeper, there
from services.runner.stores.sqlite import remains
from services.runner.stores.sqlite.requests import insert_request

_COLUMNS = (
    "conversation_id, owner, title, summary, active, message_count, job_count, created_at, updated_at, last_message_at"
)
_MESSAGE_COLUMNS = "conversation_id, number, role, content, job_id, created_at"
_THERE = there(CONVERSATIONS, "?1")


class SqliteConversations:
    """A `ConversationStore`."""

    def __init__(self, database: Database, sweeper: Sweeper) -> None:
        self._database = database
        self._sweeper = sweeper

    async def add(self, conversation: Conversation, request: Request | None) -> None:
        """As `ConversationStore.add`."""

        def work(connection: sqlite3.Connection) -> None:
            values = _values(conversation)
            connection.execute(
                f"INSERT INTO conversations ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values
            )
            if request is not None:
                insert_request(connection, request, conversation.created_at)

        await self._database.write(work)

    async def get(self, conversation_id: str) -> Conversation:
        """As `ConversationStore.get`."""
        return await self._database.read(lambda connection: _get(connection, conversation_id))

    async def find(
        self, owner: str | None, target: str, before: tuple[float, str] | None, limit: int
    ) -> list[Conversation]:
        """As `ConversationStore.find`."""
        clauses, values = ["1"], list[Any]()
        if owner is not None:
            clauses.append("owner = ?")
            values.append(owner)
        if target:
            name = "'conversations/' || conversation_id"
            clauses.append(
                f"EXISTS (SELECT 1 FROM jobs WHERE conversation = {name} AND conversation <> '' AND target = ?)"
            )
            values.append(target)
        if before is not None:
            clauses.append("(last_message_at, conversation_id) < (?, ?)")
            values += before
        statement = (
            f"SELECT {_COLUMNS} FROM conversations WHERE {' AND '.join(clauses)} "
            "ORDER BY last_message_at DESC, conversation_id DESC LIMIT ?"
        )
        return await self._database.query(
            lambda connection: [_conversation(row) for row in connection.execute(statement, (*values, limit))]
        )

    async def update(self, conversation_id: str, rule: Callable[[Conversation], Conversation]) -> Conversation:
        """As `ConversationStore.update`."""

        def work(connection: sqlite3.Connection) -> Conversation:
            changed = rule(_get(connection, conversation_id))
            connection.execute(
                "UPDATE conversations SET title = ?, summary = ?, active = ?, updated_at = ? WHERE conversation_id = ?",
                (changed.title, changed.summary, changed.active, changed.updated_at, conversation_id),
            )
            return changed

        return await self._database.write(work)

    async def delete(self, conversation_id: str) -> None:
        """As `ConversationStore.delete`."""

        def work(connection: sqlite3.Connection) -> bool:
            owner = _get(connection, conversation_id).owner
            with zeroing(connection):
                connection.execute("DELETE FROM conversations WHERE conversation_id = ?", (conversation_id,))
            return remains.leave(connection, CONVERSATIONS, conversation_id, owner)

        if await self._database.write(work):
            self._sweeper.left()

    async def messages(self, conversation_id: str, after: int, limit: int) -> list[Message]:
        """As `ConversationStore.messages`."""
        statement = (
            f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE conversation_id = ?1 AND number > ?2 AND {_THERE} "
            "ORDER BY number LIMIT ?3"
        )
        values = (conversation_id, after, limit)
        return await self._database.query(
            lambda connection: list(paging.until_full(map(_message, connection.execute(statement, values))))
        )

    async def last_messages(self, conversation_id: str, before_job: str, limit: int) -> list[Message]:
        """As `ConversationStore.last_messages`."""
        own = "SELECT min(number) FROM messages WHERE conversation_id = ?1 AND job_id = ?2"
        statement = (
            f"SELECT {_MESSAGE_COLUMNS} FROM messages WHERE conversation_id = ?1 "
            f"AND number < coalesce(({own}), {2**62}) AND {_THERE} ORDER BY number DESC LIMIT ?3"
        )
        rows = await self._database.query(
            lambda connection: connection.execute(statement, (conversation_id, before_job, limit)).fetchall()
        )
        return [_message(row) for row in reversed(rows)]


def append(connection: sqlite3.Connection, said: Sequence[Said]) -> None:
    """Add what a job says; a conversation that was deleted meanwhile hears nothing."""
    for one in said:
        conversation_id = one.conversation.removeprefix("conversations/")
        changed = connection.execute(
            "UPDATE conversations SET message_count = message_count + 1, job_count = job_count + ?, "
            "last_message_at = max(last_message_at, ?) WHERE conversation_id = ? RETURNING message_count",
            (one.role == Role.USER, one.at, conversation_id),
        ).fetchall()
        if changed:
            connection.execute(
                f"INSERT INTO messages ({_MESSAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                (conversation_id, changed[0][0] - 1, one.role, one.content, one.job_id, one.at),
            )


def _get(connection: sqlite3.Connection, conversation_id: str) -> Conversation:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM conversations WHERE conversation_id = ?", (conversation_id,)
    ).fetchone()
    if row is None:
        raise NotFound("conversation not found", resource=f"conversations/{conversation_id}")
    return _conversation(row)


def _values(conversation: Conversation) -> list[Any]:
    return [getattr(conversation, name.strip()) for name in _COLUMNS.split(",")]


def _conversation(row: Sequence[Any]) -> Conversation:
    values = dict(zip((name.strip() for name in _COLUMNS.split(",")), row, strict=True))
    return Conversation(**{**values, "active": bool(values["active"])})


def _message(row: Sequence[Any]) -> Message:
    conversation_id, number, role, content, job_id, created_at = row
    return Message(
        conversation_id=conversation_id,
        number=number,
        role=Role(role),
        content=content,
        job_id=job_id,
        created_at=created_at,
    )
