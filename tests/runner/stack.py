"""The runner with a real auth service and real hosts, for the length of a block."""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.runner.v1 import (
    app_pb2,
    app_pb2_grpc,
    conversation_pb2_grpc,
    file_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
    lock_pb2,
    lock_pb2_grpc,
    memory_pb2_grpc,
    retention_pb2_grpc,
    schedule_pb2_grpc,
    trace_pb2_grpc,
    webhook_pb2_grpc,
)
from google.protobuf import struct_pb2

from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from services.runner import app as runner_app
from services.runner.config import Config
from services.runner.peers.memory import MemoryCatalogue, MemoryDefinitions
from services.runner.ports.catalogue import Offer

DEADLINE_S = 90.0


@dataclasses.dataclass
class Stack:
    """Stubs of a running runner, and who calls."""

    folder: pathlib.Path
    port: int
    jobs: Any
    apps: Any
    locks: Any
    talk: Any
    memory: Any
    traces: Any
    schedules: Any
    webhooks: Any
    retention: Any
    files: Any
    users: Any
    auth: Any
    operator: Sequence[tuple[str, str]]
    """Metadata of the operator."""

    async def ready(self) -> None:
        """Wait until the runner serves."""
        await self.apps.ListApps(
            app_pb2.ListAppsRequest(), metadata=self.operator, timeout=DEADLINE_S, wait_for_ready=True
        )

    async def deploy(
        self, expose: str = "demo", import_path: str = "tests.runner.samples.flows:app", **more: Any
    ) -> app_pb2.App:
        """Place an app, which may write where the test does."""
        self.folder.chmod(0o777)  # a job may have another user
        more.setdefault("bounds", app_pb2.Bounds(write_paths=[str(self.folder)]))
        request = app_pb2.DeployAppRequest(name=f"apps/{expose}", import_path=import_path, **more)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    app: app_pb2.App = await self.apps.DeployApp(request, metadata=self.operator, timeout=DEADLINE_S)
                    return app
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:  # what starts hosts may be slow to start
                        raise

    async def create(self, flow: str = "flows/demo", request_id: str = "", **inputs: Any) -> job_pb2.Job:
        """Start a job."""
        struct = struct_pb2.Struct()
        struct.update(inputs)
        request = job_pb2.CreateJobRequest(flow=flow, inputs=struct, request_id=request_id)
        job: job_pb2.Job = await self.jobs.CreateJob(request, metadata=self.operator, timeout=DEADLINE_S)
        return job

    async def events(self, job: job_pb2.Job, after_seq: int = 0) -> list[job_pb2.Event]:
        """Watch a job to its end."""
        request = job_pb2.WatchJobRequest(name=job.name, after_seq=after_seq)
        stream = self.jobs.WatchJob(request, metadata=self.operator, timeout=DEADLINE_S)
        return [event async for message in stream for event in message.events]

    async def until(self, job: job_pb2.Job, kind: str, payload: str | None = None) -> job_pb2.Event:
        """Watch a job until an event of that kind."""
        request = job_pb2.WatchJobRequest(name=job.name)
        stream = self.jobs.WatchJob(request, metadata=self.operator, timeout=DEADLINE_S)
        try:
            async for message in stream:
                event: job_pb2.Event
                for event in message.events:
                    if event.kind == kind and payload in (None, event.payload):
                        return event
        finally:
            stream.cancel()
        raise AssertionError(f"{job.name} ended without {kind} {payload}")

    async def get(self, job: job_pb2.Job) -> job_pb2.Job:
        """Look at a job."""
        request = job_pb2.GetJobRequest(name=job.name)
        found: job_pb2.Job = await self.jobs.GetJob(request, metadata=self.operator, timeout=DEADLINE_S)
        return found

    async def answer(self, lock: str, **inputs: Any) -> lock_pb2.Lock:
        """Answer a lock."""
        struct = struct_pb2.Struct()
        struct.update(inputs)
        request = lock_pb2.AnswerLockRequest(name=lock, inputs=struct)
        answered: lock_pb2.Lock = await self.locks.AnswerLock(request, metadata=self.operator, timeout=DEADLINE_S)
        return answered

    async def open_locks(self, job: job_pb2.Job, count: int = 1) -> list[lock_pb2.Lock]:
        """Wait until a job has that many locks open; return them by title."""
        request = lock_pb2.WatchLocksRequest()
        stream = self.locks.WatchLocks(request, metadata=self.operator, timeout=DEADLINE_S)
        found: dict[str, lock_pb2.Lock] = {}
        try:
            async for message in stream:
                for lock in message.locks:
                    if lock.name.startswith(job.name) and lock.state == lock_pb2.LOCK_STATE_PENDING:
                        found[lock.name] = lock
                if len(found) >= count:
                    return sorted(found.values(), key=lambda lock: lock.title)
        finally:
            stream.cancel()
        raise AssertionError("the stream of locks ended")

    async def user(self, login: str, **more: Any) -> Sequence[tuple[str, str]]:
        """Add an ordinary user; return the metadata of their calls."""
        user = auth_pb2.User(login=login, email=f"{login}@example.com", password="secret-secret", **more)
        await self.users.CreateUser(auth_pb2.CreateUserRequest(user=user), metadata=self.operator, timeout=DEADLINE_S)
        tokens = await self.auth.Login(auth_pb2.LoginRequest(login=login, password="secret-secret"), timeout=DEADLINE_S)
        return (("authorization", f"Bearer {tokens.access_token}"),)


@contextlib.asynccontextmanager
async def stack(
    data_dir: pathlib.Path,
    address: str = "127.0.0.1:0",
    now: Callable[[], float] = time.time,
    definitions: MemoryDefinitions | None = None,
    **config: Any,
) -> AsyncIterator[Stack]:
    """Run auth and the runner, with a nursery of its own unless `nursery` names one.

    `address` is the runner's: hosts come back to where they were started from; `now` is its clock.  With `definitions`
    the engine is served, and runs those.
    """
    async with contextlib.AsyncExitStack() as exits:
        auth_port = await exits.enter_async_context(
            auth_app.running(AuthConfig(data_dir=data_dir, auth_address="127.0.0.1:0", grace_s=0))
        )
        settings = Config(
            data_dir=data_dir,
            auth_address=f"127.0.0.1:{auth_port}",
            runner_address=address,
            grace_s=0,
            **{"engine": definitions is not None, **config},
        )
        running = runner_app.running(
            settings, catalogue=MemoryCatalogue(Offer()), definitions=definitions or MemoryDefinitions(), now=now
        )
        port = await exits.enter_async_context(running)
        auth_channel = await exits.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{auth_port}"))
        channel = await exits.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        auth = auth_pb2_grpc.AuthServiceStub(auth_channel)
        tokens = await auth.Login(
            auth_pb2.LoginRequest(login="admin", password="admin"), timeout=DEADLINE_S, wait_for_ready=True
        )
        yield Stack(
            folder=data_dir,
            port=port,
            jobs=job_pb2_grpc.JobServiceStub(channel),
            apps=app_pb2_grpc.AppServiceStub(channel),
            locks=lock_pb2_grpc.LockServiceStub(channel),
            talk=conversation_pb2_grpc.ConversationServiceStub(channel),
            memory=memory_pb2_grpc.MemoryServiceStub(channel),
            traces=trace_pb2_grpc.TraceServiceStub(channel),
            schedules=schedule_pb2_grpc.ScheduleServiceStub(channel),
            webhooks=webhook_pb2_grpc.WebhookServiceStub(channel),
            retention=retention_pb2_grpc.RetentionServiceStub(channel),
            files=file_pb2_grpc.FileServiceStub(channel),
            users=auth_pb2_grpc.UserServiceStub(auth_channel),
            auth=auth,
            operator=(("authorization", f"Bearer {tokens.access_token}"),),
        )
