"""Between webhooks and their messages."""

import dataclasses

from agentmesh_protos.runner.v1 import webhook_pb2

from meshkit.clock import stamp
from services.runner.domain.webhooks import Delivery, DeliveryState, Webhook

_STATES = {state: webhook_pb2.DeliveryState.Value(f"DELIVERY_STATE_{state.name}") for state in DeliveryState}
FIELDS = ("display_name", "url", "kinds", "targets", "enabled")
"""What can be written of a webhook."""


def webhook_from_pb(message: webhook_pb2.Webhook, base: Webhook) -> Webhook:
    """Read what can be written of a webhook; the rest is as in `base`."""
    return dataclasses.replace(
        base,
        display_name=message.display_name,
        url=message.url,
        kinds=tuple(dict.fromkeys(message.kinds)),
        targets=tuple(dict.fromkeys(message.targets)),
        enabled=message.enabled if message.HasField("enabled") else True,
    )


def new_webhook(webhook_id: str, owner: str, now: float) -> Webhook:
    """Return a webhook that nothing is said of yet."""
    return Webhook(
        webhook_id=webhook_id,
        owner=owner,
        display_name="",
        url="",
        kinds=(),
        targets=(),
        created_at=now,
        updated_at=now,
    )


def webhook_to_pb(webhook: Webhook, secret: str = "") -> webhook_pb2.Webhook:
    """Render a webhook, with its secret where that is to be said."""
    return webhook_pb2.Webhook(
        name=webhook.name,
        display_name=webhook.display_name,
        url=webhook.url,
        kinds=webhook.kinds,
        targets=webhook.targets,
        enabled=webhook.enabled,
        message=webhook.message,
        secret=secret,
        owner=webhook.owner,
        create_time=stamp(webhook.created_at),
        update_time=stamp(webhook.updated_at),
        failing_since_time=stamp(webhook.failing_since),
    )


def delivery_to_pb(delivery: Delivery) -> webhook_pb2.Delivery:
    """Render a delivery."""
    return webhook_pb2.Delivery(
        name=delivery.name,
        kind=delivery.kind,
        job=f"jobs/{delivery.job_id}" if delivery.job_id else "",
        state=_STATES[delivery.state],
        payload=delivery.payload,
        attempt_count=delivery.attempt_count,
        status_code=delivery.status_code,
        latency_ms=delivery.latency_ms,
        answer=delivery.answer,
        error=delivery.error,
        create_time=stamp(delivery.created_at),
        attempt_time=stamp(delivery.attempted_at),
        next_attempt_time=stamp(delivery.next_at),
    )
