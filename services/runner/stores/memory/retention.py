"""Policies of retention in the process's memory: the twin of `stores.retention`."""

import collections
import dataclasses
from collections.abc import Callable, Iterable

from meshkit.errors import NotFound
from meshkit.idempotency import Request
from services.runner.domain import SELLING, Job
from services.runner.domain.conversations import Conversation
from services.runner.domain.retention import Policy
from services.runner.ports.retention import TooManyPolicies
from services.runner.stores.memory.forgetful import Note


class MemoryRetention:
    """A `RetentionStore`."""

    def __init__(
        self,
        note: Note,
        jobs: Callable[[], Iterable[Job]],
        conversations: Callable[[], Iterable[Conversation]],
    ) -> None:
        """`jobs` and `conversations` return all of them."""
        self._note = note
        self._jobs = jobs
        self._conversations = conversations
        self._policies: dict[str, Policy] = {}

    async def add(self, policy: Policy, request: Request | None, *, count_max: int | None = None) -> None:
        """As `RetentionStore.add`."""
        if count_max is not None and sum(each.owner == policy.owner for each in self._policies.values()) >= count_max:
            raise TooManyPolicies
        self._note(request, policy.created_at)
        self._policies[policy.policy_id] = policy

    async def get(self, policy_id: str) -> Policy:
        """As `RetentionStore.get`."""
        try:
            return self._policies[policy_id]
        except KeyError:
            raise NotFound("retention policy not found", resource=f"retentionPolicies/{policy_id}") from None

    async def find(self, owner: str | None, before: str, limit: int) -> list[Policy]:
        """As `RetentionStore.find`."""
        found = sorted(self._policies.items(), reverse=True)
        wanted = (None, "") if owner is None else (owner, "")
        return [
            each
            for policy_id, each in found
            if (owner is None or each.owner in wanted) and (not before or policy_id < before)
        ][:limit]

    async def delete(self, policy_id: str) -> None:
        """As `RetentionStore.delete`."""
        await self.get(policy_id)
        del self._policies[policy_id]

    async def note(self, policy_id: str, forgotten: int) -> None:
        """As `RetentionStore.note`."""
        if (policy := self._policies.get(policy_id)) is not None:
            count = policy.forgotten_count + forgotten
            self._policies[policy_id] = dataclasses.replace(policy, forgotten_count=count)

    async def forgettable_jobs(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.forgettable_jobs`."""
        places: collections.Counter[str] = collections.Counter()
        bytes_: collections.Counter[str] = collections.Counter()
        found = []
        for job in sorted(self._jobs(), key=lambda job: job.job_id, reverse=True):
            is_mine = policy.owner in ("", job.owner) and policy.target in ("", job.target)
            if not (is_mine and job.ended and not job.payment_todo and job.payment_step not in SELLING):
                continue
            places[job.owner] += 1
            bytes_[job.owner] += job.stored_bytes
            if (
                (policy.age_s and job.finished_at < now - policy.age_s)
                or (policy.job_count and places[job.owner] > policy.job_count)
                or (policy.stored_bytes and bytes_[job.owner] > policy.stored_bytes)
            ):
                found.append(job.job_id)
        return found[::-1][:limit]

    async def silent_conversations(self, policy: Policy, now: float, limit: int) -> list[str]:
        """As `RetentionStore.silent_conversations`."""
        if policy.target or not policy.age_s:
            return []
        old = [
            each
            for each in self._conversations()
            if each.last_message_at < now - policy.age_s and policy.owner in ("", each.owner)
        ]
        return [each.conversation_id for each in sorted(old, key=lambda each: each.last_message_at)][:limit]

    async def give_back(self) -> bool:
        """As `RetentionStore.give_back`."""
        return False
