"""Webhooks in the process's memory: the twin of `stores.webhooks`."""

import collections
import dataclasses
from collections.abc import Callable

from meshkit import paging, uuids
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain import Change, Job
from services.runner.domain import webhooks as rules
from services.runner.domain.webhooks import Delivery, DeliveryState, Webhook
from services.runner.ports.webhooks import TooManyWebhooks
from services.runner.stores.memory.forgetful import Note
from services.runner.stores.sqlite.webhooks import new_ids

_DELIVERY_BYTES = 300


class MemoryWebhooks:
    """A `WebhookStore`."""

    def __init__(self, note: Note, stored: collections.Counter[str]) -> None:
        """`stored` is how many bytes are kept of an owner."""
        self._note = note
        self._stored = stored
        self._webhooks: dict[str, Webhook] = {}
        self._deliveries: dict[str, Delivery] = {}

    async def add(self, webhook: Webhook, request: Request | None, *, count_max: int | None = None) -> None:
        """As `WebhookStore.add`."""
        owned = sum(each.owner == webhook.owner for each in self._webhooks.values())
        if count_max is not None and owned >= count_max:
            raise TooManyWebhooks
        if webhook.webhook_id in self._webhooks:
            raise AlreadyExists("webhook exists", resource=webhook.name)
        self._note(request, webhook.created_at)
        self._webhooks[webhook.webhook_id] = webhook

    async def get(self, webhook_id: str) -> Webhook:
        """As `WebhookStore.get`."""
        try:
            return self._webhooks[webhook_id]
        except KeyError:
            raise NotFound("webhook not found", resource=f"webhooks/{webhook_id}") from None

    async def find(self, owner: str | None, before: str, limit: int) -> list[Webhook]:
        """As `WebhookStore.find`."""
        found = [
            each
            for webhook_id, each in sorted(self._webhooks.items(), reverse=True)
            if owner in (None, each.owner) and (not before or webhook_id < before)
        ]
        return list(paging.until_full(found[:limit]))

    async def change(self, webhook_id: str, rule: Callable[[Webhook], Webhook]) -> Webhook:
        """As `WebhookStore.change`."""
        changed = rule(await self.get(webhook_id))
        self._change(changed)
        return changed

    async def delete(self, webhook_id: str) -> None:
        """As `WebhookStore.delete`."""
        await self.get(webhook_id)
        del self._webhooks[webhook_id]
        for each in list(self._deliveries.values()):
            if each.webhook_id == webhook_id:
                self._forget(each)

    async def put(self, delivery: Delivery) -> None:
        """As `WebhookStore.put`."""
        await self.get(delivery.webhook_id)
        if (before := self._deliveries.get(delivery.delivery_id)) is not None:
            self._forget(before)
        self._keep(delivery)

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """As `WebhookStore.delivery`."""
        found = self._deliveries.get(delivery_id)
        if found is None or found.webhook_id != webhook_id:
            raise NotFound("delivery not found", resource=f"webhooks/{webhook_id}/deliveries/{delivery_id}")
        return found

    async def deliveries(self, webhook_id: str, before: str, limit: int) -> list[Delivery]:
        """As `WebhookStore.deliveries`."""
        found = [
            each
            for delivery_id, each in sorted(self._deliveries.items(), reverse=True)
            if each.webhook_id == webhook_id and (not before or delivery_id < before)
        ]
        return list(paging.until_full(found[:limit]))

    async def due(self, before: float) -> list[str]:
        """As `WebhookStore.due`."""
        return sorted({each.webhook_id for each in self._pending() if each.next_at <= before})

    async def next_due(self) -> float | None:
        """As `WebhookStore.next_due`."""
        return min((each.next_at for each in self._pending()), default=None)

    async def bring_back(self, now: float) -> None:
        """As `WebhookStore.bring_back`."""
        for each in self._pending():
            since = max(each.created_at, each.attempted_at)
            if since > now:
                self._deliveries[each.delivery_id] = dataclasses.replace(
                    each,
                    created_at=min(each.created_at, now),
                    attempted_at=min(each.attempted_at, now),
                    next_at=now + each.next_at - since,
                    tried_until=now + each.tried_until - since,
                )
        for each in self._pending():
            if each.next_at > now + rules.LONGEST_S + rules.CLAIM_S:
                tried_until = min(each.tried_until, now + rules.TRIED_FOR_S)
                self._deliveries[each.delivery_id] = dataclasses.replace(
                    each, next_at=now + rules.CLAIM_S, tried_until=tried_until
                )

    async def claim(self, webhook_id: str, now: float, until: float, limit: int) -> list[Delivery]:
        """As `WebhookStore.claim`."""
        due = [each for each in self._pending() if each.webhook_id == webhook_id and each.next_at <= now]
        first = sorted(due, key=lambda each: (each.next_at, each.delivery_id))[:limit]
        claimed = [dataclasses.replace(each, next_at=until, claim=uuids.make()) for each in first]
        self._deliveries.update({each.delivery_id: each for each in claimed})
        return sorted(claimed, key=lambda each: each.delivery_id)

    async def settle(
        self, claimed: Delivery, rule: Callable[[Webhook, Delivery], tuple[Webhook, Delivery]]
    ) -> Delivery:
        """As `WebhookStore.settle`."""
        before = await self.get(claimed.webhook_id)
        webhook, delivery = rule(before, await self.delivery(claimed.webhook_id, claimed.delivery_id))
        self._deliveries[delivery.delivery_id] = delivery
        if webhook != before:
            self._change(webhook)
        return delivery

    async def forget_ended(self, before: float, limit: int) -> int:
        """As `WebhookStore.forget_ended`."""
        old = [
            each
            for each in self._deliveries.values()
            if each.state != DeliveryState.PENDING and each.created_at < before
        ][:limit]
        for each in old:
            self._forget(each)
        return len(old)

    def tell(self, before: Job | None, job: Job, change: Change) -> None:
        """Write down what webhooks are to be told of a change of a job."""
        mine = [each for each in self._webhooks.values() if each.owner == job.owner]
        for delivery in rules.deliveries(mine, list(rules.notices(before, job, change)), new_ids()):
            self._keep(delivery)

    def _keep(self, delivery: Delivery) -> None:
        self._deliveries[delivery.delivery_id] = delivery
        self._stored[delivery.owner] += _DELIVERY_BYTES + len(delivery.payload.encode())

    def _forget(self, delivery: Delivery) -> None:
        del self._deliveries[delivery.delivery_id]
        self._stored[delivery.owner] -= _DELIVERY_BYTES + len(delivery.payload.encode())

    def _pending(self) -> list[Delivery]:
        return [each for each in self._deliveries.values() if each.state == DeliveryState.PENDING]

    def _change(self, webhook: Webhook) -> None:
        self._webhooks[webhook.webhook_id] = webhook
        if webhook.enabled:
            return
        for each in self._pending():
            if each.webhook_id == webhook.webhook_id:
                self._deliveries[each.delivery_id] = dataclasses.replace(
                    each, state=DeliveryState.FAILED, error="the webhook was disabled", next_at=0.0
                )
