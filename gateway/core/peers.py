"""The services behind the gateway, as stubs."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from agentmesh_protos.auth.v1 import auth_pb2_grpc
from agentmesh_protos.payments.v1 import ledger_pb2_grpc, payments_pb2_grpc
from agentmesh_protos.registry.v1 import agent_pb2_grpc, crew_pb2_grpc, registry_pb2_grpc, tool_pb2_grpc
from agentmesh_protos.runner.v1 import (
    app_pb2_grpc,
    conversation_pb2_grpc,
    file_pb2_grpc,
    job_pb2_grpc,
    lock_pb2_grpc,
    memory_pb2_grpc,
    trace_pb2_grpc,
)

from gateway.config import Config
from gateway.core.renderer import Renderer
from gateway.core.watches import Watches
from gateway.http.repeats import Keys
from meshkit import client
from meshkit.flows import FollowedFlows
from meshkit.identity import ServiceIdentity


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """What dialect servicers call.  Wrap calls in `meshkit.errors.from_rpc()`."""

    auth: auth_pb2_grpc.AuthServiceStub
    users: auth_pb2_grpc.UserServiceStub
    exposes: registry_pb2_grpc.ExposeServiceStub
    boot: registry_pb2_grpc.BootServiceStub
    flows: registry_pb2_grpc.FlowServiceStub
    agents: agent_pb2_grpc.AgentServiceStub
    crews: crew_pb2_grpc.CrewServiceStub
    task_defs: crew_pb2_grpc.TaskDefServiceStub
    tools: tool_pb2_grpc.ToolServiceStub
    jobs: job_pb2_grpc.JobServiceStub
    files: file_pb2_grpc.FileServiceStub
    traces: trace_pb2_grpc.TraceServiceStub
    conversations: conversation_pb2_grpc.ConversationServiceStub
    memory: memory_pb2_grpc.MemoryServiceStub
    apps: app_pb2_grpc.AppServiceStub
    locks: lock_pb2_grpc.LockServiceStub
    payments: payments_pb2_grpc.PaymentServiceStub
    ledger: ledger_pb2_grpc.LedgerServiceStub
    ledger_control: ledger_pb2_grpc.LedgerControlServiceStub
    followed: FollowedFlows
    """The registry's catalogue, as far as it is known here without asking."""
    watches: Watches
    """Watches of jobs, shared by those who follow them here."""
    hashes: str
    """How inputs of locks are hashed (`Config.hashes`)."""
    renderer: Renderer
    """Makes HTML of what flows and people wrote."""


@contextlib.asynccontextmanager
async def connect(config: Config) -> AsyncIterator[Peers]:
    """Open a channel to each service for the length of the block; they reconnect by themselves."""
    who = ServiceIdentity(config.secret, "gateway")
    async with contextlib.AsyncExitStack() as stack:
        auth, registry, runner, payments, ledger = [
            await stack.enter_async_context(client.connect(config.peer(service), who, Keys()))
            for service in ("auth", "registry", "runner", "payments", "ledger")
        ]
        flows = registry_pb2_grpc.FlowServiceStub(registry)
        jobs = job_pb2_grpc.JobServiceStub(runner)
        yield Peers(
            auth=auth_pb2_grpc.AuthServiceStub(auth),
            users=auth_pb2_grpc.UserServiceStub(auth),
            exposes=registry_pb2_grpc.ExposeServiceStub(registry),
            boot=registry_pb2_grpc.BootServiceStub(registry),
            flows=flows,
            agents=agent_pb2_grpc.AgentServiceStub(registry),
            crews=crew_pb2_grpc.CrewServiceStub(registry),
            task_defs=crew_pb2_grpc.TaskDefServiceStub(registry),
            tools=tool_pb2_grpc.ToolServiceStub(registry),
            jobs=jobs,
            files=file_pb2_grpc.FileServiceStub(runner),
            traces=trace_pb2_grpc.TraceServiceStub(runner),
            conversations=conversation_pb2_grpc.ConversationServiceStub(runner),
            memory=memory_pb2_grpc.MemoryServiceStub(runner),
            apps=app_pb2_grpc.AppServiceStub(runner),
            locks=lock_pb2_grpc.LockServiceStub(runner),
            payments=payments_pb2_grpc.PaymentServiceStub(payments),
            ledger=ledger_pb2_grpc.LedgerServiceStub(ledger),
            ledger_control=ledger_pb2_grpc.LedgerControlServiceStub(ledger),
            followed=await stack.enter_async_context(FollowedFlows.following(flows)),
            watches=await stack.enter_async_context(Watches.of(jobs)),
            hashes=config.hashes,
            renderer=await stack.enter_async_context(Renderer.working()),
        )
