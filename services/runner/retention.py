"""Forgets what no policy keeps: one after another, in small writes between those of jobs that run."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable

import structlog

from meshkit import clock
from meshkit.bus import Bus
from meshkit.errors import Denied, Exhausted, NotFound
from meshkit.principal import Principal
from meshkit.tasks import Apart
from services.runner.callers.requests import Requests
from services.runner.domain import retention
from services.runner.domain.retention import Policy
from services.runner.jobs.journal import Journal
from services.runner.ports.retention import RetentionStore, TooManyPolicies
from services.runner.ports.store import ConversationStore

RETENTION = "retention"
"""Policies have changed: who forgets looks."""
log = structlog.get_logger()
_LOOK_AGAIN_S = 300.0
_BATCH = 100
_PAUSE_S = 0.01
"""After each that is forgotten: others write, too."""
_POLICIES_MAX = 10_000
_PER_OWNER_MAX = 50


class Retention:
    """The policies of this mesh, and what they do."""

    def __init__(
        self,
        store: RetentionStore,
        conversations: ConversationStore,
        journal: Journal,
        requests: Requests,
        bus: Bus,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._journal = journal
        self._requests = requests
        self._bus = bus
        self._now = now
        self._apart = Apart("retention")

    async def create(self, policy: Policy, caller: Principal, request_id: str = "") -> Policy:
        """Keep a new policy.  Raises `Invalid`, `Denied`, and `Exhausted` if there are too many of its owner."""
        if not policy.owner and not caller.sees_all:
            raise Denied("only operators decide what is kept of everybody's jobs")
        if caller.is_key:
            raise Denied("an API key may do nothing that outlives it: sign in")
        retention.check(policy)
        said = (policy.owner, policy.target, str(policy.age_s), str(policy.job_count), str(policy.stored_bytes))
        request = self._requests.made(caller.user or policy.owner, request_id, "retention", *said)
        async with self._requests.one_at_a_time(request):
            if request is not None and (known := await self._requests.known(request)) is not None:
                return await self._store.get(known.decode())
            try:
                done = request and request.answered(policy.policy_id.encode())
                await self._store.add(policy, done, count_max=_PER_OWNER_MAX)
            except TooManyPolicies:
                raise Exhausted(f"there may be {_PER_OWNER_MAX} policies: delete some") from None
        await self._bus.publish(RETENTION)
        return policy

    async def run(self) -> None:
        """Forget, until cancelled.  Raises `Unavailable` if the store cannot be used now: begin anew."""
        async with self._bus.subscribe(RETENTION) as waker:
            while not waker.closed:
                for policy in await self._store.find(None, "", _POLICIES_MAX):
                    with self._apart(policy.policy_id):
                        await self.apply(policy)
                await waker.wait(_LOOK_AGAIN_S)

    async def apply(self, policy: Policy) -> int:
        """Forget what a policy does not keep, until it is deleted; return how many jobs and conversations that were."""
        total = 0
        while count := await self._forget_some(policy):
            total += count
            await self._store.note(policy.policy_id, count)
        if total:
            log.info("forgotten by policy", policy=policy.policy_id, count=total)
            is_more = True
            while is_more:
                is_more = await self._store.give_back()
                await asyncio.sleep(_PAUSE_S)
        return total

    async def _forget_some(self, policy: Policy) -> int:
        count = 0
        for job_id in await self._store.forgettable_jobs(policy, self._now(), _BATCH):
            if not await self._stands(policy):
                return count
            with self._apart(f"jobs/{job_id}"), contextlib.suppress(NotFound):  # by its owner, or by another runner
                await self._journal.delete(job_id, self._now())
                count += 1
            await asyncio.sleep(_PAUSE_S)
        for conversation_id in await self._store.silent_conversations(policy, self._now(), _BATCH):
            if not await self._stands(policy):
                return count
            with self._apart(f"conversations/{conversation_id}"), contextlib.suppress(NotFound):
                await self._conversations.delete(conversation_id)
                count += 1
            await asyncio.sleep(_PAUSE_S)
        return count

    async def _stands(self, policy: Policy) -> bool:
        """Return whether somebody still wants a policy: what is forgotten does not come back."""
        try:
            now = await self._store.get(policy.policy_id)
        except NotFound:
            return False
        return dataclasses.replace(now, forgotten_count=policy.forgotten_count) == policy
