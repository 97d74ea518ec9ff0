"""`AsyncClient.retention`: what is forgotten by itself, and when."""

import dataclasses
import datetime
import uuid
from collections.abc import AsyncGenerator

from agentmesh_protos.runner.v1 import retention_pb2, retention_pb2_grpc

from agentmesh._client.collections import Collection
from agentmesh._client.connection import Connection
from agentmesh._client.definitions import full_name
from agentmesh._client.records import moment


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What is kept of jobs that have ended."""

    name: str
    """`retentionPolicies/{id}`."""
    owner: str
    """`users/{uuid}`; empty for everybody's."""
    target: str
    """Only jobs of this; empty for all, and conversations too."""
    age_seconds: int
    job_count: int
    stored_bytes: int
    create_time: datetime.datetime | None
    forgotten_count: int


class Retention(Collection):
    """Policies.  One may be named `retentionPolicies/{id}` or by its id."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stub = retention_pb2_grpc.RetentionServiceStub(self._channel)

    async def create(
        self,
        *,
        target: str = "",
        age_seconds: int = 0,
        job_count: int = 0,
        stored_bytes: int = 0,
        all_owners: bool = False,
        request_id: str = "",
    ) -> RetentionPolicy:
        """Add a policy; 0 is no limit, and one is needed.  What it does not keep is gone for good."""
        request = retention_pb2.CreateRetentionPolicyRequest(
            policy=retention_pb2.RetentionPolicy(
                target=target,
                age_seconds=age_seconds,
                job_count=job_count,
                stored_bytes=stored_bytes,
                all_owners=all_owners,
            ),
            request_id=request_id or str(uuid.uuid4()),
        )
        return _to_policy(await self._connection.unary(self._stub.CreateRetentionPolicy, request))

    async def list(self) -> AsyncGenerator[RetentionPolicy, None]:
        """Yield your policies and those of everybody, newest first."""
        request = retention_pb2.ListRetentionPoliciesRequest()
        async for message in self._items(self._stub.ListRetentionPolicies, request, "policies"):
            yield _to_policy(message)

    async def delete(self, name: str) -> None:
        """Delete a policy: what it has not forgotten yet is kept."""
        request = retention_pb2.DeleteRetentionPolicyRequest(name=full_name(name, "retentionPolicies"))
        await self._connection.unary(self._stub.DeleteRetentionPolicy, request)


def _to_policy(message: retention_pb2.RetentionPolicy) -> RetentionPolicy:
    return RetentionPolicy(
        name=message.name,
        owner=message.owner,
        target=message.target,
        age_seconds=message.age_seconds,
        job_count=message.job_count,
        stored_bytes=message.stored_bytes,
        create_time=moment(message, "create_time"),
        forgotten_count=message.forgotten_count,
    )
