"""Where webhooks, and what they are to be told, are kept, as a port.

What happens to jobs comes with the jobs' own writes (`domain.webhooks.notices`): the store of jobs puts it here in the
same step.
"""

from collections.abc import Callable
from typing import Protocol

from meshkit.idempotency import Request
from services.runner.domain.webhooks import Delivery, Webhook

ENDED_KEPT_S = 7 * 86400.0
"""How long a delivery is kept that has ended."""
ENDED_KEPT = 1000
"""How many of them, of one webhook."""


class TooManyWebhooks(Exception):
    """An owner has as many webhooks as they may have."""


class WebhookStore(Protocol):
    """Keeps webhooks and deliveries.  `tests/runner/stores/test_webhooks.py` holds every one to this."""

    async def add(self, webhook: Webhook, request: Request | None, *, count_max: int | None = None) -> None:
        """Keep a new webhook.

        Raises `AlreadyExists` if `request` was made before, `TooManyWebhooks` if its owner has `count_max` already.
        """

    async def get(self, webhook_id: str) -> Webhook:
        """Return a webhook, or raise `NotFound`."""

    async def find(self, owner: str | None, before: str, limit: int) -> list[Webhook]:
        """Return webhooks of `owner` or all, newest first, older than the id `before` if given."""

    async def change(self, webhook_id: str, rule: Callable[[Webhook], Webhook]) -> Webhook:
        """Apply a rule in one step.  One that is not enabled then is sent nothing: what was pending has failed.

        Raises `NotFound`, and what the rule raises.
        """

    async def delete(self, webhook_id: str) -> None:
        """Forget a webhook with its deliveries.  Raises `NotFound`."""

    async def put(self, delivery: Delivery) -> None:
        """Keep a delivery, in place of the one of its id.  Raises `NotFound` if there is no such webhook any more."""

    async def delivery(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Return a delivery, or raise `NotFound`."""

    async def deliveries(self, webhook_id: str, before: str, limit: int) -> list[Delivery]:
        """Return deliveries of a webhook, newest first, older than the id `before` if given.

        Fewer where they are too much for a page.
        """

    async def due(self, before: float) -> list[str]:
        """Return the ids of webhooks that something is to be sent to at or before a moment."""

    async def next_due(self) -> float | None:
        """Return when something is to be sent next, or `None` if nothing is."""

    async def bring_back(self, now: float) -> None:
        """Have deliveries that wait, and were made or tried last at a moment to come, be due as long after `now`.

        Others are due soon if they wait longer than any does (`domain.webhooks.LONGEST_S`).
        """

    async def claim(self, webhook_id: str, now: float, until: float, limit: int) -> list[Delivery]:
        """Take deliveries that are due, the first due first; nobody else gets them before `until`."""

    async def settle(
        self, claimed: Delivery, rule: Callable[[Webhook, Delivery], tuple[Webhook, Delivery]]
    ) -> Delivery:
        """Write what came of a request: the rule gets webhook and delivery as they are (`domain.webhooks.settled`).

        A webhook that the rule disables is as in `change`.  Raises `NotFound` if it was deleted meanwhile.
        """

    async def forget_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` deliveries that were written before a moment and have ended; return how many."""
