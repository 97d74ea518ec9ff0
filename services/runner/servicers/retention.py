"""The runner's service of retention.  Unpack, call, pack."""

from collections.abc import Callable

from agentmesh_protos.runner.v1 import retention_pb2, retention_pb2_grpc
from google.protobuf import empty_pb2

from meshkit import names, paging, uuids
from meshkit.clock import stamp
from meshkit.errors import Denied
from meshkit.interceptors import Context
from meshkit.principal import caller, check_owner
from services.runner.domain.retention import Policy
from services.runner.ports.retention import RetentionStore
from services.runner.retention import Retention


class RetentionServicer(retention_pb2_grpc.RetentionServiceServicer):
    """Policies: the caller's own, and those of everybody."""

    def __init__(self, store: RetentionStore, retention: Retention, now: Callable[[], float]) -> None:
        self._store = store
        self._retention = retention
        self._now = now

    async def CreateRetentionPolicy(
        self, request: retention_pb2.CreateRetentionPolicyRequest, context: Context
    ) -> retention_pb2.RetentionPolicy:
        """Add a policy.  Raises `Invalid`, `Denied`, `Exhausted`."""
        wanted = request.policy
        if not caller().user and not wanted.all_owners:
            raise Denied("such a policy belongs to a user: call with a user's token")
        policy = Policy(
            policy_id=uuids.make(),
            owner="" if wanted.all_owners else caller().user,
            target=wanted.target,
            age_s=wanted.age_seconds,
            job_count=wanted.job_count,
            stored_bytes=wanted.stored_bytes,
            created_at=self._now(),
        )
        return _to_pb(await self._retention.create(policy, caller(), request.request_id))

    async def GetRetentionPolicy(
        self, request: retention_pb2.GetRetentionPolicyRequest, context: Context
    ) -> retention_pb2.RetentionPolicy:
        """Return a policy.  Raises `NotFound`, `Invalid`."""
        return _to_pb(await self._seen(request.name))

    async def ListRetentionPolicies(
        self, request: retention_pb2.ListRetentionPoliciesRequest, context: Context
    ) -> retention_pb2.ListRetentionPoliciesResponse:
        """Return a page of policies, newest first.  Raises `Invalid`."""
        owner = None if caller().sees_all else caller().user

        async def fetch(after: str, limit: int) -> list[Policy]:
            return await self._store.find(owner, after, limit)

        page = await paging.page(request, fetch, lambda each: each.policy_id, owner or "")
        return retention_pb2.ListRetentionPoliciesResponse(
            policies=map(_to_pb, page.items), next_page_token=page.next_token
        )

    async def DeleteRetentionPolicy(
        self, request: retention_pb2.DeleteRetentionPolicyRequest, context: Context
    ) -> empty_pb2.Empty:
        """Delete a policy.  Raises `NotFound`, `Invalid`, `Denied`."""
        policy = await self._seen(request.name)
        if not policy.owner and not caller().sees_all:
            raise Denied("only operators decide what is kept of everybody's jobs")
        await self._store.delete(policy.policy_id)
        return empty_pb2.Empty()

    async def _seen(self, name: str) -> Policy:
        policy = await self._store.get(names.parse(name, "retentionPolicies"))
        if policy.owner:
            check_owner(policy.owner, policy.name)
        return policy


def _to_pb(policy: Policy) -> retention_pb2.RetentionPolicy:
    return retention_pb2.RetentionPolicy(
        name=policy.name,
        owner=policy.owner,
        all_owners=not policy.owner,
        target=policy.target,
        age_seconds=policy.age_s,
        job_count=policy.job_count,
        stored_bytes=policy.stored_bytes,
        create_time=stamp(policy.created_at),
        forgotten_count=policy.forgotten_count,
    )
