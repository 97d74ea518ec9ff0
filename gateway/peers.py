"""The services behind the gateway, as stubs."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator

from mesh.auth.v1 import auth_pb2_grpc
from mesh.payments.v1 import payments_pb2_grpc
from mesh.registry.v1 import registry_pb2_grpc
from mesh.runner.v1 import app_pb2_grpc, job_pb2_grpc

from meshkit import client
from meshkit.identity import ServiceIdentity
from meshkit.service import Settings


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """What dialect servicers call.  Wrap calls in `meshkit.errors.from_rpc()`."""

    auth: auth_pb2_grpc.AuthServiceStub
    users: auth_pb2_grpc.UserServiceStub
    exposes: registry_pb2_grpc.ExposeServiceStub
    boot: registry_pb2_grpc.BootServiceStub
    flows: registry_pb2_grpc.FlowServiceStub
    jobs: job_pb2_grpc.JobServiceStub
    apps: app_pb2_grpc.AppServiceStub
    payments: payments_pb2_grpc.PaymentServiceStub


@contextlib.asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Peers]:
    """Open a channel to each service for the length of the block; they reconnect by themselves."""
    who = ServiceIdentity(settings.secret, "gateway")
    async with contextlib.AsyncExitStack() as stack:
        auth, registry, runner, payments = [
            await stack.enter_async_context(client.connect(address, who))
            for address in (
                settings.auth_address,
                settings.registry_address,
                settings.runner_address,
                settings.payments_address,
            )
        ]
        yield Peers(
            auth=auth_pb2_grpc.AuthServiceStub(auth),
            users=auth_pb2_grpc.UserServiceStub(auth),
            exposes=registry_pb2_grpc.ExposeServiceStub(registry),
            boot=registry_pb2_grpc.BootServiceStub(registry),
            flows=registry_pb2_grpc.FlowServiceStub(registry),
            jobs=job_pb2_grpc.JobServiceStub(runner),
            apps=app_pb2_grpc.AppServiceStub(runner),
            payments=payments_pb2_grpc.PaymentServiceStub(payments),
        )
