"""Retention on a real runner: who decides, and what is gone then."""

import pathlib

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.runner.v1 import job_pb2, retention_pb2

from meshkit.clock import stamp
from tests.runner.schedules.test_schedules import Metadata, until
from tests.runner.stack import DEADLINE_S, Stack, stack


async def create(mesh: Stack, who: Metadata, **fields: object) -> retention_pb2.RetentionPolicy:
    """Add a policy."""
    wanted = retention_pb2.RetentionPolicy(**fields)  # type: ignore[arg-type]
    request = retention_pb2.CreateRetentionPolicyRequest(policy=wanted)
    made: retention_pb2.RetentionPolicy = await mesh.retention.CreateRetentionPolicy(
        request, metadata=who, timeout=DEADLINE_S
    )
    return made


async def test_what_is_not_kept_is_forgotten(tmp_path: pathlib.Path) -> None:
    """The newest stay, what runs stays, and it is remembered what was deleted."""
    async with stack(tmp_path) as mesh:
        await mesh.deploy()
        running = await mesh.create(end="sleep")
        jobs = [await mesh.create(events=1) for _ in range(3)]
        for job in jobs:
            await mesh.events(job)
        who = await mesh.user("keeper")

        mine = await create(mesh, who, job_count=1)
        made = await create(mesh, mesh.operator, job_count=1, target="flows/demo", all_owners=True)

        async def shown() -> list[str]:
            request = job_pb2.ListJobsRequest()
            found = await mesh.jobs.ListJobs(request, metadata=mesh.operator, timeout=DEADLINE_S)
            return sorted(job.name for job in found.jobs)

        await until(shown, lambda names: names == sorted((running.name, jobs[-1].name)))
        request = job_pb2.ListJobsRequest(deleted_since=stamp(1.0))
        told = await mesh.jobs.ListJobs(request, metadata=mesh.operator, timeout=DEADLINE_S)
        assert {job.name for job in jobs[:2]} == set(told.deleted)

        async def count() -> int:
            named = retention_pb2.GetRetentionPolicyRequest(name=made.name)
            found = await mesh.retention.GetRetentionPolicy(named, metadata=who, timeout=DEADLINE_S)
            return int(found.forgotten_count)

        await until(count, lambda number: number == 2)
        named = retention_pb2.DeleteRetentionPolicyRequest(name=made.name)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.retention.DeleteRetentionPolicy(named, metadata=who, timeout=DEADLINE_S)
        assert grpc.StatusCode.PERMISSION_DENIED is caught.value.code()
        listed = await mesh.retention.ListRetentionPolicies(
            retention_pb2.ListRetentionPoliciesRequest(), metadata=who, timeout=DEADLINE_S
        )
        assert [made.name, mine.name] == [each.name for each in listed.policies]


async def test_who_may_not_decide(tmp_path: pathlib.Path) -> None:
    """Users decide of their own jobs only, and an API key of none."""
    async with stack(tmp_path) as mesh:
        who = await mesh.user("keeper")
        key = await mesh.auth.CreateApiKey(
            auth_pb2.CreateApiKeyRequest(display_name="k"), metadata=who, timeout=DEADLINE_S
        )
        theirs = await create(mesh, mesh.operator, age_seconds=5)
        for metadata, fields in (
            (who, {"age_seconds": 5, "all_owners": True}),
            ((("authorization", f"Bearer {key.token}"),), {"age_seconds": 5}),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await create(mesh, metadata, **fields)
            assert grpc.StatusCode.PERMISSION_DENIED is caught.value.code()
        named = retention_pb2.GetRetentionPolicyRequest(name=theirs.name)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.retention.GetRetentionPolicy(named, metadata=who, timeout=DEADLINE_S)
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
