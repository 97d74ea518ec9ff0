"""Webhooks and their deliveries in SQLite; what happens to jobs is put here by the jobs' own writes (`tell`)."""

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from meshkit import paging, uuids
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.sqlite import Database
from services.runner.domain import Change, Job
from services.runner.domain import webhooks as rules
from services.runner.domain.webhooks import Delivery, DeliveryState, Webhook
from services.runner.ports.webhooks import TooManyWebhooks
from services.runner.stores.remains import WEBHOOKS, Sweeper, kept
from services.runner.stores.sqlite import remains
from services.runner.stores.sqlite.requests import insert_request

_FIELDS = [field.name for field in dataclasses.fields(Webhook)]
_COLUMNS = ", ".join(_FIELDS)
_DELIVERY_FIELDS = [field.name for field in dataclasses.fields(Delivery)]
_DELIVERY_COLUMNS = ", ".join(_DELIVERY_FIELDS)
_LISTS = ("kinds", "targets")
_KEPT = kept(WEBHOOKS, "webhook_id")


class SqliteWebhooks:
    """A `WebhookStore`."""

    def __init__(self, database: Database, sweeper: Sweeper) -> None:
        self._database = database
        self._sweeper = sweeper

    async def add(self, webhook: Webhook, request: Request | None, *, count_max: int | None = None) -> None:
        """As `WebhookStore.add`."""

        def work(connection: sqlite3.Connection) -> None:
            ((count,),) = connection.execute(
                "SELECT count(*) FROM webhooks WHERE owner = ?", (webhook.owner,)
            ).fetchall()
            if count_max is not None and count >= count_max:
                raise TooManyWebhooks
            _put(connection, "webhooks", _values(webhook))
            if request is not None:
                insert_request(connection, request, webhook.created_at)

        await self._database.write(work)

    async def get(self, webhook_id: str) -> Webhook:
        """As `WebhookStore.get`."""
        return await self._database.read(lambda connection: _get(connection, webhook_id))

    async def find(self, owner: str | None, before: str, limit: int) -> list[Webhook]:
        """As `WebhookStore.find`."""
        given = [(clause, value) for clause, value in (("owner = ?", owner), ("webhook_id < ?", before)) if value]
        where = " AND ".join(["1", *(clause for clause, _ in given)])
        statement = f"SELECT {_COLUMNS} FROM webhooks WHERE {where} ORDER BY webhook_id DESC LIMIT ?"
        values = [*(value for _, value in given), limit]
        return await self._database.query(
            lambda connection: list(paging.until_full(map(webhook_of, connection.execute(statement, values))))
        )

    async def change(self, webhook_id: str, rule: Callable[[Webhook], Webhook]) -> Webhook:
        """As `WebhookStore.change`."""

        def work(connection: sqlite3.Connection) -> Webhook:
            changed = rule(_get(connection, webhook_id))
            _change(connection, changed)
            return changed

        return await self._database.write(work)

    async def delete(self, webhook_id: str) -> None:
        """As `WebhookStore.delete`."""

        def work(connection: sqlite3.Connection) -> bool:
            owner = _get(connection, webhook_id).owner
            connection.execute("DELETE FROM webhooks WHERE webhook_id = ?", (webhook_id,))
            return remains.leave(connection, WEBHOOKS, webhook_id, owner)

        if await self._database.write(work):
            self._sweeper.left()

    async def put(self, delivery: Delivery) -> None:
        """As `WebhookStore.put`."""

        def work(connection: sqlite3.Connection) -> None:
            _get(connection, delivery.webhook_id)
            connection.execute("DELETE FROM deliveries WHERE delivery_id = ?", (delivery.delivery_id,))
            _put(connection, "deliveries", _delivery_values(delivery))

        await self._database.write(work)

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """As `WebhookStore.delivery`."""
        return await self._database.read(lambda connection: _delivery(connection, webhook_id, delivery_id))

    async def deliveries(self, webhook_id: str, before: str, limit: int) -> list[Delivery]:
        """As `WebhookStore.deliveries`."""
        statement = (
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE webhook_id = ? AND (? = '' OR delivery_id < ?) "
            f"AND {_KEPT} "
            "ORDER BY delivery_id DESC LIMIT ?"
        )
        values = (webhook_id, before, before, limit)
        return await self._database.query(
            lambda connection: list(paging.until_full(map(delivery_of, connection.execute(statement, values))))
        )

    async def due(self, before: float) -> list[str]:
        """As `WebhookStore.due`."""
        statement = f"SELECT DISTINCT webhook_id FROM deliveries WHERE state = 'pending' AND next_at <= ? AND {_KEPT}"
        return await self._database.query(
            lambda connection: [row[0] for row in connection.execute(statement, (before,))]
        )

    async def next_due(self) -> float | None:
        """As `WebhookStore.next_due`."""
        statement = f"SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND {_KEPT}"
        row = await self._database.read(lambda connection: connection.execute(statement).fetchone())
        return None if row[0] is None else float(row[0])

    async def bring_back(self, now: float) -> None:
        """As `WebhookStore.bring_back`."""
        since = "max(created_at, attempted_at)"
        statement = (
            f"UPDATE deliveries SET next_at = ? + next_at - {since}, tried_until = ? + tried_until - {since},"
            f" created_at = min(created_at, ?), attempted_at = min(attempted_at, ?)"
            f" WHERE state = 'pending' AND {since} > ?"
        )
        # Made and tried before that, but claimed, or to be sent anew; who has claimed it is not disturbed.
        others = (
            "UPDATE deliveries SET next_at = ?, tried_until = min(tried_until, ?)"
            " WHERE state = 'pending' AND next_at > ?"
        )
        values = (now + rules.CLAIM_S, now + rules.TRIED_FOR_S, now + rules.LONGEST_S + rules.CLAIM_S)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(statement, (now,) * 5)
            connection.execute(others, values)

        await self._database.write(work)

    async def claim(self, webhook_id: str, now: float, until: float, limit: int) -> list[Delivery]:
        """As `WebhookStore.claim`."""
        chosen = (
            "SELECT delivery_id FROM deliveries WHERE state = 'pending' AND webhook_id = ? AND next_at <= ? "
            f"AND {_KEPT} ORDER BY next_at, delivery_id LIMIT ?"
        )
        taken = f"UPDATE deliveries SET next_at = ?, claim = ? WHERE delivery_id IN ({chosen})"
        statement = f"{taken} RETURNING {_DELIVERY_COLUMNS}"
        values = (until, uuids.make(), webhook_id, now, limit)

        def work(connection: sqlite3.Connection) -> list[Delivery]:
            return sorted(map(delivery_of, connection.execute(statement, values)), key=lambda each: each.delivery_id)

        return await self._database.write(work)

    async def settle(
        self, claimed: Delivery, rule: Callable[[Webhook, Delivery], tuple[Webhook, Delivery]]
    ) -> Delivery:
        """As `WebhookStore.settle`."""

        def work(connection: sqlite3.Connection) -> Delivery:
            before = _get(connection, claimed.webhook_id)
            webhook, delivery = rule(before, _delivery(connection, claimed.webhook_id, claimed.delivery_id))
            connection.execute(
                "UPDATE deliveries SET state = ?, attempt_count = ?, status_code = ?, latency_ms = ?, answer = ?,"
                " error = ?, attempted_at = ?, next_at = ? WHERE delivery_id = ?",
                (
                    delivery.state,
                    delivery.attempt_count,
                    delivery.status_code,
                    delivery.latency_ms,
                    delivery.answer,
                    delivery.error,
                    delivery.attempted_at,
                    delivery.next_at,
                    delivery.delivery_id,
                ),
            )
            if webhook != before:
                _change(connection, webhook)
            return delivery

        return await self._database.write(work)

    async def forget_ended(self, before: float, limit: int) -> int:
        """As `WebhookStore.forget_ended`."""
        chosen = "SELECT delivery_id FROM deliveries WHERE state <> 'pending' AND created_at < ? LIMIT ?"
        statement = f"DELETE FROM deliveries WHERE delivery_id IN ({chosen})"
        return await self._database.write(lambda connection: connection.execute(statement, (before, limit)).rowcount)


def tell(connection: sqlite3.Connection, before: Job | None, job: Job, change: Change) -> None:
    """Write down what webhooks are to be told of a change of a job: a part of the write that makes it."""
    told = list(rules.notices(before, job, change))
    if not told:
        return
    rows = connection.execute(f"SELECT {_COLUMNS} FROM webhooks WHERE owner = ? AND enabled", (job.owner,))
    for delivery in rules.deliveries([webhook_of(row) for row in rows], told, new_ids()):
        _put(connection, "deliveries", _delivery_values(delivery))


def new_ids() -> Iterator[str]:
    """Yield ids of deliveries."""
    while True:
        yield f"msg_{uuids.make()}"


def webhook_of(row: Sequence[Any]) -> Webhook:
    """Return the webhook of a row, in the order of its fields."""
    values = dict(zip(_FIELDS, row, strict=True))
    for name in _LISTS:
        values[name] = tuple(json.loads(values[name]))
    return Webhook(**{**values, "enabled": bool(values["enabled"])})


def delivery_of(row: Sequence[Any]) -> Delivery:
    """Return the delivery of a row, in the order of its fields."""
    values = dict(zip(_DELIVERY_FIELDS, row, strict=True))
    return Delivery(**{**values, "state": DeliveryState(values["state"])})


def _values(webhook: Webhook) -> list[Any]:
    return [json.dumps(getattr(webhook, name)) if name in _LISTS else getattr(webhook, name) for name in _FIELDS]


def _delivery_values(delivery: Delivery) -> list[Any]:
    return [getattr(delivery, name) for name in _DELIVERY_FIELDS]


def _put(connection: sqlite3.Connection, table: str, values: Iterable[Any]) -> None:
    columns = _COLUMNS if table == "webhooks" else _DELIVERY_COLUMNS
    values = list(values)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(values))})", values)


def _change(connection: sqlite3.Connection, webhook: Webhook) -> None:
    assigned = ", ".join(f"{name} = ?" for name in _FIELDS)
    connection.execute(f"UPDATE webhooks SET {assigned} WHERE webhook_id = ?", (*_values(webhook), webhook.webhook_id))
    if not webhook.enabled:
        connection.execute(
            "UPDATE deliveries SET state = 'failed', error = 'the webhook was disabled', next_at = 0 "
            "WHERE webhook_id = ? AND state = 'pending'",
            (webhook.webhook_id,),
        )


def _get(connection: sqlite3.Connection, webhook_id: str) -> Webhook:
    row = connection.execute(f"SELECT {_COLUMNS} FROM webhooks WHERE webhook_id = ?", (webhook_id,)).fetchone()
    if row is None:
        raise NotFound("webhook not found", resource=f"webhooks/{webhook_id}")
    return webhook_of(row)


def _delivery(connection: sqlite3.Connection, webhook_id: str, delivery_id: str) -> Delivery:
    statement = f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE delivery_id = ? AND webhook_id = ? AND {_KEPT}"
    row = connection.execute(statement, (delivery_id, webhook_id)).fetchone()
    if row is None:
        raise NotFound("delivery not found", resource=f"webhooks/{webhook_id}/deliveries/{delivery_id}")
    return delivery_of(row)
