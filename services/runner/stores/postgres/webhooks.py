"""Webhooks and their deliveries in PostgreSQL; what happens to jobs is put here by the jobs' own writes (`tell`)."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from meshkit import paging, uuids
from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Connection, Database, requests
from services.runner.domain import Change, Job
from services.runner.domain import webhooks as rules
from services.runner.domain.webhooks import Delivery, Webhook
from services.runner.ports.webhooks import TooManyWebhooks
from services.runner.stores.postgres import remains
from services.runner.stores.postgres.rows import each, octets, page, places, row, rows
from services.runner.stores.remains import WEBHOOKS, Sweeper, kept
from services.runner.stores.sqlite.webhooks import delivery_of, new_ids, webhook_of

_FIELDS = [field.name for field in dataclasses.fields(Webhook)]
_COLUMNS = ", ".join(_FIELDS)
SELECT = f"SELECT {_COLUMNS} FROM webhooks"
_DELIVERY_FIELDS = [field.name for field in dataclasses.fields(Delivery)]
_DELIVERY_COLUMNS = ", ".join(_DELIVERY_FIELDS)
_LISTS = ("kinds", "targets")
_KEPT = kept(WEBHOOKS, "webhook_id")
_SETTLED = (
    "state",
    "attempt_count",
    "status_code",
    "latency_ms",
    "answer",
    "error",
    "attempted_at",
    "next_at",
)
_TO_CHANGE = "FOR NO KEY UPDATE"
"""Locks a webhook against other changes, and lets `tell` pass."""
_TO_END = "FOR UPDATE"
"""Locks a webhook that is deleted or disabled: `tell` waits for it, and it waits for whoever tells."""
_INSERT = f"INSERT INTO deliveries ({_DELIVERY_COLUMNS}) VALUES ({places(len(_DELIVERY_FIELDS))})"


class PostgresWebhooks:
    """A `WebhookStore`."""

    def __init__(self, database: Database, sweeper: Sweeper) -> None:
        self._database = database
        self._sweeper = sweeper

    async def add(self, webhook: Webhook, request: Request | None, *, count_max: int | None = None) -> None:
        """As `WebhookStore.add`."""

        async def work(connection: Connection) -> None:
            if count_max is not None:
                # Whoever adds for the same owner, on whatever replica, counts behind us.
                await rows(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))", webhook.owner)
                (count,) = await row(connection, "SELECT count(*) FROM webhooks WHERE owner = %s", webhook.owner)
                if count >= count_max:
                    raise TooManyWebhooks
            statement = f"INSERT INTO webhooks ({_COLUMNS}) VALUES ({places(len(_FIELDS))})"
            await rows(connection, statement, *_values(webhook))
            await requests.keep(connection, request, webhook.created_at)

        await self._database.write(work)

    async def get(self, webhook_id: str) -> Webhook:
        """As `WebhookStore.get`."""
        return await self._database.read(lambda connection: _get(connection, webhook_id))

    async def find(self, owner: str | None, before: str, limit: int) -> list[Webhook]:
        """As `WebhookStore.find`."""
        given = [(clause, value) for clause, value in (("owner = %s", owner), ("webhook_id < %s", before)) if value]
        where = " AND ".join(["true", *(clause for clause, _ in given)])
        statement = f"SELECT {_COLUMNS} FROM webhooks WHERE {where} ORDER BY webhook_id DESC LIMIT %s"
        values = [*(value for _, value in given), limit]
        found = await self._database.read(lambda connection: rows(connection, statement, *values))
        return list(paging.until_full(map(webhook_of, found)))

    async def change(self, webhook_id: str, rule: Callable[[Webhook], Webhook]) -> Webhook:
        """As `WebhookStore.change`."""

        async def work(connection: Connection) -> Webhook:
            changed = rule(await _get(connection, webhook_id, _TO_CHANGE))
            await _change(connection, changed)
            return changed

        return await self._database.write(work, key=webhook_id)

    async def delete(self, webhook_id: str) -> None:
        """As `WebhookStore.delete`."""

        async def work(connection: Connection) -> bool:
            owner = (await _get(connection, webhook_id, _TO_END)).owner
            await rows(connection, "DELETE FROM webhooks WHERE webhook_id = %s", webhook_id)
            return await remains.leave(connection, WEBHOOKS, webhook_id, owner)

        if await self._database.write(work, key=webhook_id):
            self._sweeper.left()

    async def put(self, delivery: Delivery) -> None:
        """As `WebhookStore.put`."""

        async def work(connection: Connection) -> None:
            await _get(connection, delivery.webhook_id, _TO_CHANGE)
            await rows(connection, "DELETE FROM deliveries WHERE delivery_id = %s", delivery.delivery_id)
            await rows(connection, _INSERT, *_delivery_values(delivery))

        await self._database.write(work, key=delivery.webhook_id)

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """As `WebhookStore.delivery`."""
        return await self._database.read(lambda connection: _delivery(connection, webhook_id, delivery_id))

    async def deliveries(self, webhook_id: str, before: str, limit: int) -> list[Delivery]:
        """As `WebhookStore.deliveries`."""
        clause, values = ("AND delivery_id < %s", (before,)) if before else ("", ())
        source = (
            f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE webhook_id = %s {clause} AND {_KEPT} "
            "ORDER BY delivery_id DESC LIMIT %s"
        )
        statement = page(_DELIVERY_COLUMNS, source, "delivery_id DESC", octets(("payload", "answer", "error")))
        found = await self._database.read(lambda connection: rows(connection, statement, webhook_id, *values, limit))
        return list(paging.until_full(map(delivery_of, found)))

    async def due(self, before: float) -> list[str]:
        """As `WebhookStore.due`."""
        statement = f"SELECT DISTINCT webhook_id FROM deliveries WHERE state = 'pending' AND next_at <= $1 AND {_KEPT}"
        return [found[0] for found in await self._database.fetch(statement, before)]

    async def next_due(self) -> float | None:
        """As `WebhookStore.next_due`."""
        statement = f"SELECT min(next_at) FROM deliveries WHERE state = 'pending' AND {_KEPT}"
        found: float | None = await self._database.fetchval(statement)
        return found

    async def bring_back(self, now: float) -> None:
        """As `WebhookStore.bring_back`."""
        since = "greatest(created_at, attempted_at)"
        statement = (
            f"UPDATE deliveries SET next_at = %s + next_at - {since}, tried_until = %s + tried_until - {since},"
            f" created_at = least(created_at, %s), attempted_at = least(attempted_at, %s)"
            f" WHERE state = 'pending' AND {since} > %s"
        )
        # Made and tried before that, but claimed, or to be sent anew; who has claimed it is not disturbed.
        others = (
            "UPDATE deliveries SET next_at = %s, tried_until = least(tried_until, %s)"
            " WHERE state = 'pending' AND next_at > %s"
        )
        values = (now + rules.CLAIM_S, now + rules.TRIED_FOR_S, now + rules.LONGEST_S + rules.CLAIM_S)

        async def work(connection: Connection) -> None:
            await rows(connection, statement, *(now,) * 5)
            await rows(connection, others, *values)

        await self._database.write(work)

    async def claim(self, webhook_id: str, now: float, until: float, limit: int) -> list[Delivery]:
        """As `WebhookStore.claim`."""
        chosen = (
            "SELECT delivery_id FROM deliveries WHERE state = 'pending' AND webhook_id = %s AND next_at <= %s "
            f"AND {_KEPT} ORDER BY next_at, delivery_id LIMIT %s FOR UPDATE SKIP LOCKED"
        )
        taken = f"UPDATE deliveries SET next_at = %s, claim = %s WHERE delivery_id IN ({chosen})"
        statement = f"{taken} RETURNING {_DELIVERY_COLUMNS}"
        values = (until, uuids.make(), webhook_id, now, limit)
        found = await self._database.write(lambda connection: rows(connection, statement, *values))
        return sorted(map(delivery_of, found), key=lambda each: each.delivery_id)

    async def settle(
        self, claimed: Delivery, rule: Callable[[Webhook, Delivery], tuple[Webhook, Delivery]]
    ) -> Delivery:
        """As `WebhookStore.settle`."""

        async def work(connection: Connection) -> Delivery:
            before = await _get(connection, claimed.webhook_id, _TO_CHANGE)
            known = await _delivery(connection, claimed.webhook_id, claimed.delivery_id, locked=True)
            webhook, delivery = rule(before, known)
            changed = ", ".join(f"{name} = %s" for name in _SETTLED)
            values = [getattr(delivery, name) for name in _SETTLED]
            await rows(
                connection, f"UPDATE deliveries SET {changed} WHERE delivery_id = %s", *values, delivery.delivery_id
            )
            if webhook != before:
                await _change(connection, webhook)
            return delivery

        return await self._database.write(work, key=claimed.webhook_id)

    async def forget_ended(self, before: float, limit: int) -> int:
        """As `WebhookStore.forget_ended`."""
        chosen = (
            "SELECT delivery_id FROM deliveries WHERE state <> 'pending' AND created_at < %s "
            "LIMIT %s FOR UPDATE SKIP LOCKED"
        )
        statement = f"DELETE FROM deliveries WHERE delivery_id IN ({chosen}) RETURNING 1"
        return len(await self._database.write(lambda connection: rows(connection, statement, before, limit)))


async def tell(connection: Connection, found: Sequence[Any], changes: Iterable[tuple[Job | None, Job, Change]]) -> None:
    """Write down what webhooks are to be told of changes of jobs: a part of the write that makes them.

    `found` are the rows of `SELECT` of those of the jobs' owners that are enabled, locked; of each change there are the
    job before it, the job behind it, and what was decided.
    """
    told = list(map(webhook_of, found))
    deliveries = [
        delivery
        for before, job, change in changes
        for delivery in rules.deliveries(
            [webhook for webhook in told if webhook.owner == job.owner],
            list(rules.notices(before, job, change)),
            new_ids(),
        )
    ]
    await each(connection, _INSERT, list(map(_delivery_values, deliveries)))


def _values(webhook: Webhook) -> list[Any]:
    return [json.dumps(getattr(webhook, name)) if name in _LISTS else getattr(webhook, name) for name in _FIELDS]


def _delivery_values(delivery: Delivery) -> list[Any]:
    return [getattr(delivery, name) for name in _DELIVERY_FIELDS]


async def _change(connection: Connection, webhook: Webhook) -> None:
    if not webhook.enabled:
        # `_TO_CHANGE` lets whoever tells it something pass: what they put must be here before it fails below.
        await _get(connection, webhook.webhook_id, _TO_END)
    assigned = ", ".join(f"{name} = %s" for name in _FIELDS)
    statement = f"UPDATE webhooks SET {assigned} WHERE webhook_id = %s"
    await rows(connection, statement, *_values(webhook), webhook.webhook_id)
    if not webhook.enabled:
        await rows(
            connection,
            "UPDATE deliveries SET state = 'failed', error = 'the webhook was disabled', next_at = 0 "
            "WHERE webhook_id = %s AND state = 'pending'",
            webhook.webhook_id,
        )


async def _get(connection: Connection, webhook_id: str, lock: str = "") -> Webhook:
    found = await row(connection, f"SELECT {_COLUMNS} FROM webhooks WHERE webhook_id = %s {lock}", webhook_id)
    if found is None:
        raise NotFound("webhook not found", resource=f"webhooks/{webhook_id}")
    return webhook_of(found)


async def _delivery(connection: Connection, webhook_id: str, delivery_id: str, *, locked: bool = False) -> Delivery:
    statement = f"SELECT {_DELIVERY_COLUMNS} FROM deliveries WHERE delivery_id = %s AND webhook_id = %s AND {_KEPT}"
    found = await row(connection, statement + " FOR UPDATE" if locked else statement, delivery_id, webhook_id)
    if found is None:
        raise NotFound("delivery not found", resource=f"webhooks/{webhook_id}/deliveries/{delivery_id}")
    return delivery_of(found)
