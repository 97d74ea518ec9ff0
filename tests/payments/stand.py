"""The payments service as in production, but for a provider whose chain and clock are the tests'."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from agentmesh_protos.payments.v1 import payments_pb2 as pb
from agentmesh_protos.payments.v1 import payments_pb2_grpc as pb_grpc

from meshkit import identity
from meshkit.principal import Principal
from services.payments import app
from services.payments.config import Config
from services.payments.domain.pace import Pace
from tests.auth.helpers import AuthMesh, Metadata, auth_mesh, bearer
from tests.payments.escrows import AGENT, Escrows

PACE = Pace(poll_s=0.02, idle_poll_s=0.02, retry_s=0.01, retry_max_s=0.05, overlap_ms=0)
DEADLINE_S = 60.0


class Stand:
    """Stubs, the tokens of the admin and two users, and the provider."""

    def __init__(self, auth: AuthMesh, port: int, channel: grpc.aio.Channel, escrows: Escrows) -> None:
        self.auth = auth
        self.port = port
        self.payments = pb_grpc.PaymentServiceStub(channel)
        self.escrows = escrows
        self.owners = {"ada": "users/38f1b7ae-f3d1-4a6d-a02e-5abd0ff175fc"}
        self.tokens: dict[str, Metadata] = {}

    @property
    def badge(self) -> Metadata:
        """What the runner calls with."""
        return self.badge_for("")

    def badge_for(self, user: str) -> Metadata:
        """Return what the runner calls with for `users/{uuid}`; empty for its own sake."""
        badge = identity.sign(self.auth.secret, "service:runner", "payments", user=Principal(user=user))
        return ((identity.SERVICE_HEADER, badge),)

    async def add_users(self) -> None:
        """Sign the admin in; add two users and sign them in."""
        self.tokens["admin"] = bearer(await self.auth.sign_in())
        for login in ("ada", "bob"):
            self.owners[login] = (await self.auth.add_user(login)).name
            self.tokens[login] = bearer(await self.auth.sign_in(login, "a good one"))

    async def create(self, number: int = 1, owner: str = "ada", **given: Any) -> pb.Payment:
        """Create the payment of a job, as the runner does."""
        message = asked(number, self.owners.get(owner, owner), **given)
        request = pb.CreatePaymentRequest(payment=message)
        made: pb.Payment = await self.payments.CreatePayment(request, metadata=self.badge, timeout=DEADLINE_S)
        return made

    async def get(self, name: str) -> pb.Payment:
        """Return a payment."""
        found: pb.Payment = await self.payments.GetPayment(
            pb.GetPaymentRequest(name=name), metadata=self.badge, timeout=DEADLINE_S
        )
        return found

    async def until(self, name: str, satisfied: Callable[[pb.Payment], bool]) -> pb.Payment:
        """Follow a payment until it is as wanted."""
        call = self.payments.WatchPayment(pb.WatchPaymentRequest(name=name), metadata=self.badge, timeout=DEADLINE_S)
        async for message in call:
            found: list[pb.Payment] = [payment for payment in message.payments if satisfied(payment)]
            if found:
                call.cancel()
                return found[0]
        raise AssertionError(f"{name} ended otherwise: {await self.get(name)}")

    async def until_state(self, name: str, state: str) -> pb.Payment:
        """Follow a payment until it is in a state, such as `FUNDS_LOCKED`."""
        wanted = pb.PaymentState.Value(f"PAYMENT_STATE_{state}")
        return await self.until(name, lambda payment: payment.state == wanted)

    async def locked(self, number: int = 1, **given: Any) -> pb.Payment:
        """Create a payment and let its purchaser pay."""
        made = await self.create(number, **given)
        self.escrows.lock(made.blockchain_identifier)
        return await self.until_state(made.name, "FUNDS_LOCKED")

    async def submit(self, name: str, result_hash: str = "ab" * 32) -> pb.Payment:
        """Hand in the hash of a result."""
        request = pb.SubmitResultRequest(name=name, result_hash=result_hash)
        done: pb.Payment = await self.payments.SubmitResult(request, metadata=self.badge, timeout=DEADLINE_S)
        return done

    async def refund(self, name: str) -> pb.Payment:
        """Say that the job failed."""
        request = pb.AuthorizeRefundRequest(name=name)
        done: pb.Payment = await self.payments.AuthorizeRefund(request, metadata=self.badge, timeout=DEADLINE_S)
        return done


def asked(number: int, owner: str, **given: Any) -> pb.Payment:
    """Return what the runner sends."""
    values = {
        "job": f"jobs/{number:024x}",
        "owner": owner,
        "network": "Preprod",
        "agent_identifier": AGENT,
        "purchaser_identifier": "aabbaabb11221122aabb",
        "input_hash": "cd" * 32,
    }
    return pb.Payment(**{**values, **given})


def config(folder: pathlib.Path, auth_port: int, **settings: Any) -> Config:
    """Return settings on a free port."""
    values: dict[str, Any] = {
        "data_dir": folder,
        "auth_address": f"127.0.0.1:{auth_port}",
        "payments_address": "127.0.0.1:0",
        "grace_s": 0.0,
        "ask_wait_s": 30.0,
    }
    return Config(**(values | settings))


@contextlib.asynccontextmanager
async def standing(
    folder: pathlib.Path,
    escrows: Escrows | None = None,
    *,
    auth: AuthMesh | None = None,
    pace: Pace = PACE,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """Run the service for the length of the block, on a provider of its own if none is given."""
    escrows = escrows or Escrows()
    async with contextlib.AsyncExitStack() as stack:
        if auth is None:
            auth = await stack.enter_async_context(auth_mesh(folder))
        providers = {"Preprod": (escrows, pace)}
        running = app.running(config(folder, auth.port, **settings), providers=providers, stopping=asyncio.Event())
        port = await stack.enter_async_context(running)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Stand(auth, port, channel, escrows)
