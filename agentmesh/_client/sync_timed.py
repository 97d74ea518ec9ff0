"""`Client.schedules`, `.webhooks` and `.retention`: as those of `AsyncClient`, without asyncio."""

from collections.abc import Iterator
from typing import Unpack

from agentmesh._client import retention, schedules, webhooks
from agentmesh._client.retention import RetentionPolicy
from agentmesh._client.schedules import Firing, Schedule, ScheduleFields
from agentmesh._client.sync_collections import Runner
from agentmesh._client.webhooks import Delivery, Webhook, WebhookFields


class SyncSchedules:
    """Schedules; see `AsyncClient.schedules`."""

    def __init__(self, runner: Runner, schedules: schedules.Schedules) -> None:
        self._runner = runner
        self._schedules = schedules

    def create(self, *, request_id: str = "", **fields: Unpack[ScheduleFields]) -> Schedule:
        """Add a schedule."""
        return self._runner.call(self._schedules.create(request_id=request_id, **fields))

    def get(self, name: str) -> Schedule:
        """Return a schedule."""
        return self._runner.call(self._schedules.get(name))

    def list(self, *, target: str = "", all_owners: bool = False) -> Iterator[Schedule]:
        """Yield schedules, newest first."""
        return self._runner.iterate(self._schedules.list(target=target, all_owners=all_owners))

    def update(self, name: str, **fields: Unpack[ScheduleFields]) -> Schedule:
        """Change the fields that are given."""
        return self._runner.call(self._schedules.update(name, **fields))

    def delete(self, name: str) -> None:
        """Delete a schedule with its history."""
        self._runner.call(self._schedules.delete(name))

    def pause(self, name: str) -> Schedule:
        """Let it not fire until it is resumed."""
        return self._runner.call(self._schedules.pause(name))

    def resume(self, name: str) -> Schedule:
        """Let it fire again."""
        return self._runner.call(self._schedules.resume(name))

    def trigger(self, name: str, *, request_id: str = "") -> Firing:
        """Fire it now."""
        return self._runner.call(self._schedules.trigger(name, request_id=request_id))

    def firings(self, name: str) -> Iterator[Firing]:
        """Yield what became of its moments, the last first."""
        return self._runner.iterate(self._schedules.firings(name))


class SyncWebhooks:
    """Webhooks; see `AsyncClient.webhooks`."""

    def __init__(self, runner: Runner, webhooks: webhooks.Webhooks) -> None:
        self._runner = runner
        self._webhooks = webhooks

    def create(self, *, secret: str = "", request_id: str = "", **fields: Unpack[WebhookFields]) -> Webhook:
        """Add a webhook; what this returns has its secret."""
        return self._runner.call(self._webhooks.create(secret=secret, request_id=request_id, **fields))

    def get(self, name: str) -> Webhook:
        """Return a webhook."""
        return self._runner.call(self._webhooks.get(name))

    def list(self, *, all_owners: bool = False) -> Iterator[Webhook]:
        """Yield webhooks, newest first."""
        return self._runner.iterate(self._webhooks.list(all_owners=all_owners))

    def update(self, name: str, **fields: Unpack[WebhookFields]) -> Webhook:
        """Change the fields that are given."""
        return self._runner.call(self._webhooks.update(name, **fields))

    def delete(self, name: str) -> None:
        """Delete a webhook with its deliveries."""
        self._runner.call(self._webhooks.delete(name))

    def rotate_secret(self, name: str) -> Webhook:
        """Give it a new secret."""
        return self._runner.call(self._webhooks.rotate_secret(name))

    def test(self, name: str) -> Delivery:
        """Send it a test, once."""
        return self._runner.call(self._webhooks.test(name))

    def deliveries(self, name: str) -> Iterator[Delivery]:
        """Yield what was and is to be sent, newest first."""
        return self._runner.iterate(self._webhooks.deliveries(name))

    def redeliver(self, name: str) -> Delivery:
        """Have a delivery sent once more."""
        return self._runner.call(self._webhooks.redeliver(name))


class SyncRetention:
    """Policies of retention; see `AsyncClient.retention`."""

    def __init__(self, runner: Runner, retention: retention.Retention) -> None:
        self._runner = runner
        self._retention = retention

    def create(
        self,
        *,
        target: str = "",
        age_seconds: int = 0,
        job_count: int = 0,
        stored_bytes: int = 0,
        all_owners: bool = False,
        request_id: str = "",
    ) -> RetentionPolicy:
        """Add a policy."""
        return self._runner.call(
            self._retention.create(
                target=target,
                age_seconds=age_seconds,
                job_count=job_count,
                stored_bytes=stored_bytes,
                all_owners=all_owners,
                request_id=request_id,
            )
        )

    def list(self) -> Iterator[RetentionPolicy]:
        """Yield your policies and those of everybody, newest first."""
        return self._runner.iterate(self._retention.list())

    def delete(self, name: str) -> None:
        """Delete a policy."""
        self._runner.call(self._retention.delete(name))
