"""`AsyncClient.webhooks`: addresses that are told of jobs."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import TypedDict, Unpack

from agentmesh_protos.runner.v1 import webhook_pb2, webhook_pb2_grpc
from google.protobuf import field_mask_pb2

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.definitions import full_name
from agentmesh._client.records import moment, word


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that is told of jobs."""

    name: str
    """`webhooks/{id}`."""
    display_name: str
    url: str
    kinds: tuple[str, ...]
    """Of what it is told, such as `job.failed` or `job.*`; empty: everything."""
    targets: tuple[str, ...]
    """Only of jobs of these; empty: of all."""
    enabled: bool
    message: str
    """Why the mesh has disabled it."""
    secret: str = dataclasses.field(repr=False)
    """What requests are signed with: said when it was just made, else empty."""
    owner: str
    create_time: datetime.datetime | None
    update_time: datetime.datetime | None
    failing_since_time: datetime.datetime | None
    """Since when every request has failed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Something that a webhook is told."""

    name: str
    """`webhooks/{webhook}/deliveries/{id}`; the id is the request's `webhook-id`."""
    kind: str
    job: str
    """`jobs/{id}`; empty for a test."""
    state: str
    """`pending`, `delivered` or `failed`."""
    payload: str
    """What is sent: JSON."""
    attempt_count: int
    status_code: int
    """HTTP status of the last answer; 0 if there was none."""
    latency_ms: int
    answer: str
    """How that began."""
    error: str
    create_time: datetime.datetime | None
    attempt_time: datetime.datetime | None
    next_attempt_time: datetime.datetime | None


class WebhookFields(TypedDict, total=False):
    """What can be written of a webhook."""

    display_name: str
    url: str
    kinds: Sequence[str]
    targets: Sequence[str]
    enabled: bool


class Webhooks(Collection):
    """Webhooks.  One may be named `webhooks/{id}` or by its id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = webhook_pb2_grpc.WebhookServiceStub(self._channel)

    async def create(self, *, secret: str = "", request_id: str = "", **fields: Unpack[WebhookFields]) -> Webhook:
        """Add a webhook; what this returns, and nothing else, has its secret.  Raises `InvalidInputs` with `fields`."""
        webhook = webhook_pb2.Webhook(secret=secret, **fields)
        request = webhook_pb2.CreateWebhookRequest(webhook=webhook, request_id=request_id or str(uuid.uuid4()))
        return _to_webhook(await self._connection.unary(self._stub.CreateWebhook, request))

    async def get(self, name: str) -> Webhook:
        """Return a webhook."""
        request = webhook_pb2.GetWebhookRequest(name=_named(name))
        return _to_webhook(await self._connection.unary(self._stub.GetWebhook, request))

    async def list(self, *, all_owners: bool = False) -> AsyncGenerator[Webhook, None]:
        """Yield webhooks, newest first."""
        request = webhook_pb2.ListWebhooksRequest(all_owners=all_owners)
        async for message in self._items(self._stub.ListWebhooks, request, "webhooks"):
            yield _to_webhook(message)

    async def update(self, name: str, **fields: Unpack[WebhookFields]) -> Webhook:
        """Change the fields that are given; `enabled` gives one that was disabled another chance."""
        webhook = webhook_pb2.Webhook(name=_named(name), **fields)
        mask = field_mask_pb2.FieldMask(paths=list(fields))
        request = webhook_pb2.UpdateWebhookRequest(webhook=webhook, update_mask=mask)
        return _to_webhook(await self._connection.unary(self._stub.UpdateWebhook, request))

    async def delete(self, name: str) -> None:
        """Delete a webhook with its deliveries."""
        request = webhook_pb2.DeleteWebhookRequest(name=_named(name))
        await self._connection.unary(self._stub.DeleteWebhook, request)

    async def rotate_secret(self, name: str) -> Webhook:
        """Give it a new secret, which what this returns has; for a day the old one signs, too."""
        request = webhook_pb2.RotateWebhookSecretRequest(name=_named(name))
        return _to_webhook(await self._connection.unary(self._stub.RotateWebhookSecret, request))

    async def test(self, name: str) -> Delivery:
        """Send it a test, once; return what came of it."""
        request = webhook_pb2.TestWebhookRequest(name=_named(name))
        return _to_delivery(await self._connection.unary(self._stub.TestWebhook, request))

    async def deliveries(self, name: str) -> AsyncGenerator[Delivery, None]:
        """Yield what was and is to be sent, newest first."""
        request = webhook_pb2.ListDeliveriesRequest(parent=_named(name))
        async for message in self._items(self._stub.ListDeliveries, request, "deliveries"):
            yield _to_delivery(message)

    async def redeliver(self, name: str) -> Delivery:
        """Have a delivery, `webhooks/{webhook}/deliveries/{id}`, sent once more."""
        request = webhook_pb2.RedeliverRequest(name=name)
        return _to_delivery(await self._connection.unary(self._stub.Redeliver, request))


def _named(name: str) -> str:
    return full_name(name, "webhooks")


def _to_webhook(message: webhook_pb2.Webhook) -> Webhook:
    return Webhook(
        name=message.name,
        display_name=message.display_name,
        url=message.url,
        kinds=tuple(message.kinds),
        targets=tuple(message.targets),
        enabled=message.enabled,
        message=message.message,
        secret=message.secret,
        owner=message.owner,
        create_time=moment(message, "create_time"),
        update_time=moment(message, "update_time"),
        failing_since_time=moment(message, "failing_since_time"),
    )


def _to_delivery(message: webhook_pb2.Delivery) -> Delivery:
    return Delivery(
        name=message.name,
        kind=message.kind,
        job=message.job,
        state=word(webhook_pb2.DeliveryState, message.state, "DELIVERY_STATE_"),
        payload=message.payload,
        attempt_count=message.attempt_count,
        status_code=message.status_code,
        latency_ms=message.latency_ms,
        answer=message.answer,
        error=message.error,
        create_time=moment(message, "create_time"),
        attempt_time=moment(message, "attempt_time"),
        next_attempt_time=moment(message, "next_attempt_time"),
    )
