"""Several replicas of the runner, each a process, on one database: with real hosts, and one nursery."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import signal
import sys
import tempfile
import types
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from agentmesh_protos.runner.v1 import (
    app_pb2_grpc,
    conversation_pb2_grpc,
    file_pb2_grpc,
    job_pb2_grpc,
    lock_pb2_grpc,
    memory_pb2_grpc,
    retention_pb2_grpc,
    schedule_pb2_grpc,
    trace_pb2_grpc,
    webhook_pb2_grpc,
)

from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from tests.runner.stack import DEADLINE_S, Stack
from tests.servers.postgresql import Postgres

LEASE_S = 9.0
LONG_LEASE_S = "60"
"""Where nobody is killed: on a busy machine no replica loses what it has by being slow."""


@dataclasses.dataclass
class Replicas:
    """Replicas that may be killed and started again; each has stubs of its own."""

    folder: pathlib.Path
    environment: dict[str, str]
    server: Postgres
    at: list[Stack]
    """Stubs by replica."""
    clocks: Mapping[int, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """What has one of them, by its number, go by a clock of its own."""
    processes: dict[int, asyncio.subprocess.Process] = dataclasses.field(default_factory=dict)

    def sql(self, command: str) -> str:
        """Ask their database."""
        return self.server.sql(command, self.environment["AGENTMESH_DATABASE_URL"].rpartition("/")[2].partition("?")[0])

    async def met(self) -> None:
        """Wait until all that run have seen each other: each looks after it has said that it lives."""
        statement = "SELECT runner_id, beats FROM agentmesh_runner.runners"
        before: dict[str, int] = {}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                beats = {row.split("|")[0]: int(row.split("|")[1]) for row in self.sql(statement).splitlines()}
                risen = [one for one, count in beats.items() if count >= before.get(one, count) + 2]
                if len(risen) >= len(self.processes):
                    return
                if len(before) < len(self.processes):
                    before = beats
                await asyncio.sleep(0.1)

    async def start(self, number: int) -> None:
        """Start a replica, and wait until it serves."""
        log = (self.folder / f"runner-{number}.log").open("ab")
        environment = {
            **self.environment,
            **self.clocks.get(number, {}),
            "AGENTMESH_RUNNER_ADDRESS": f"unix:{self.folder}/sockets/runner-{number}.sock",
            "AGENTMESH_HOSTS_ADDRESS": f"unix:{self.folder}/sockets/hosts-{number}.sock",
        }
        program = (sys.executable, "-m", "tests.runner.replicas.replica")
        self.processes[number] = await asyncio.create_subprocess_exec(
            *program, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    async def kill(self, number: int) -> None:
        """End a replica without its say."""
        process = self.processes.pop(number)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    def freeze(self, number: int) -> None:
        """Have a replica stand still."""
        self.processes[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Have it go on."""
        self.processes[number].send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End all."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def replicas(
    server: Postgres,
    count: int = 2,
    clocks: Mapping[int, Mapping[str, str]] = types.MappingProxyType({}),
    **settings: str,
) -> AsyncIterator[Replicas]:
    """Run auth and replicas on a database of their own for the length of the block; `clocks` are as in `Replicas`."""
    async with contextlib.AsyncExitStack() as exits:
        folder = pathlib.Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="am-")))
        os.chmod(folder, 0o755)
        work = pathlib.Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="am-")))
        auth_config = AuthConfig(data_dir=folder, auth_address="127.0.0.1:0", grace_s=0)
        auth_port = await exits.enter_async_context(auth_app.running(auth_config))
        environment = {
            **os.environ,
            "AGENTMESH_NURSERY": await exits.enter_async_context(_nursery(folder)),
            "AGENTMESH_DATABASE_URL": server.fresh(),
            "AGENTMESH_DATA_DIR": str(folder),
            "AGENTMESH_AUTH_ADDRESS": f"127.0.0.1:{auth_port}",
            "AGENTMESH_REPLICAS": str(count),
            "AGENTMESH_ENGINE": "false",
            "AGENTMESH_GRACE_S": "0",
            "AGENTMESH_LEASE_S": str(LEASE_S),
            "AGENTMESH_HEARTBEAT_S": "0.5",
            **settings,
        }
        channel = await exits.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{auth_port}"))
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        login = auth_pb2.LoginRequest(login="admin", password="admin")
        tokens = await auth.Login(login, timeout=DEADLINE_S, wait_for_ready=True)
        operator = (("authorization", f"Bearer {tokens.access_token}"),)
        stacks = []
        for number in range(count):
            address = f"unix:{folder}/sockets/runner-{number}.sock"
            connected = await exits.enter_async_context(grpc.aio.insecure_channel(address, options=_EAGER))
            stacks.append(_stack(work, connected, auth, operator, auth_pb2_grpc.UserServiceStub(channel)))
        found = Replicas(folder, environment, server, stacks, clocks)
        exits.push_async_callback(found.stop)
        for number in range(count):
            await found.start(number)
        for one in stacks:
            await one.ready()
        await found.met()
        yield found


_EAGER = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]


def _stack(folder: pathlib.Path, channel: Any, auth: Any, operator: Any, users: Any) -> Stack:
    return Stack(
        folder=folder,
        port=0,
        jobs=job_pb2_grpc.JobServiceStub(channel),
        apps=app_pb2_grpc.AppServiceStub(channel),
        locks=lock_pb2_grpc.LockServiceStub(channel),
        talk=conversation_pb2_grpc.ConversationServiceStub(channel),
        webhooks=webhook_pb2_grpc.WebhookServiceStub(channel),
        retention=retention_pb2_grpc.RetentionServiceStub(channel),
        schedules=schedule_pb2_grpc.ScheduleServiceStub(channel),
        memory=memory_pb2_grpc.MemoryServiceStub(channel),
        files=file_pb2_grpc.FileServiceStub(channel),
        traces=trace_pb2_grpc.TraceServiceStub(channel),
        users=users,
        auth=auth,
        operator=operator,
    )


@contextlib.asynccontextmanager
async def _nursery(folder: pathlib.Path) -> AsyncIterator[str]:
    path = str(folder / "nursery")
    environment = {**os.environ, "AGENTMESH_NURSERY": path}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "agentmesh.host", env=environment)
    try:
        yield path
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
