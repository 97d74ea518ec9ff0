"""Where policies of retention are kept, and what they say is to be forgotten, as a port."""

from typing import Protocol

from meshkit.idempotency import Request
from services.runner.domain.retention import Policy


class TooManyPolicies(Exception):
    """An owner has as many policies as they may have."""


class RetentionStore(Protocol):
    """Keeps policies.  `tests/runner/stores/test_retention.py` holds every one to this."""

    async def add(self, policy: Policy, request: Request | None, *, count_max: int | None = None) -> None:
        """Keep a new policy.

        Raises `AlreadyExists` if `request` was made before, `TooManyPolicies` if its owner has `count_max` already.
        """

    async def get(self, policy_id: str) -> Policy:
        """Return a policy, or raise `NotFound`."""

    async def find(self, owner: str | None, before: str, limit: int) -> list[Policy]:
        """Return policies of `owner` and of everybody (`None`: all), newest first, older than the id `before`."""

    async def delete(self, policy_id: str) -> None:
        """Forget a policy.  Raises `NotFound`."""

    async def note(self, policy_id: str, forgotten: int) -> None:
        """Count what a policy has had forgotten; nothing happens if it was deleted."""

    async def forgettable_jobs(self, policy: Policy, now: float, limit: int) -> list[str]:
        """Return ids of jobs that a policy does not keep, the oldest first.

        Never one that has not ended, one of which the payments service must still be told, nor one whose sale is open.
        """

    async def silent_conversations(self, policy: Policy, now: float, limit: int) -> list[str]:
        """Return ids of conversations in which nothing was said for longer than a policy keeps them."""

    async def give_back(self) -> bool:
        """Give some of the space that is free back to the system; return whether there is more to give."""
