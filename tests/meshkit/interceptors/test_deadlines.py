"""A hop has no more time than its caller, and says so while somebody still listens."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from agentmesh_protos.auth.v1 import auth_pb2 as pb
from agentmesh_protos.auth.v1 import auth_pb2_grpc as pb_grpc

from meshkit import client
from meshkit.access import Auth
from meshkit.errors import DeadlineExceeded, from_rpc
from meshkit.identity import ServiceIdentity
from meshkit.interceptors.deadlines import MARGIN_S, remaining_s, unbound
from meshkit.server import serve
from meshkit.tasks import Tasks
from meshkit.verifier import Revocations, TokenVerifier

SECRET = b"s" * 32
LONG_S = 20.0
SHORT_S = 12.0
ASKED_S = 8.0
"""The wire has ten milliseconds of this; of longer times it has tenths of a second."""
Handler = Callable[[], Awaitable[None]]


class Servicer(pb_grpc.AuthServiceServicer):
    """One method that does as a test says, and how much time each of its calls had."""

    def __init__(self) -> None:
        self.had: list[float | None] = []
        self.does: Handler | None = None

    async def GetJwks(self, request: pb.GetJwksRequest, context: Any) -> pb.Jwks:
        """Note the time, do what is to be done."""
        self.had.append(context.time_remaining())
        if self.does is not None:
            await self.does()
        return pb.Jwks(jwks_json="{}")


class Hops:
    """Two services, of which the first is told to call the second."""

    def __init__(self, near: Servicer, far: Servicer, ask_near: Any, ask_far: Any) -> None:
        self.near = near
        self.far = far
        self.ask_near = ask_near
        """A plain client's stub of the first."""
        self.ask_far = ask_far
        """The first's stub of the second."""

    async def call(self, timeout_s: float | None, does: Handler) -> None:
        """Call the first, which does `does`."""
        self.near.does = does
        await self.ask_near.GetJwks(pb.GetJwksRequest(), timeout=timeout_s)

    async def onward(self, timeout_s: float | None = None) -> None:
        """Call the second."""
        await self.ask_far.GetJwks(pb.GetJwksRequest(), timeout=timeout_s)


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Servicer, int]]:
    """Run one service for the length of the block."""

    async def no_keys() -> str:
        return '{"keys": []}'

    servicer = Servicer()  # type: ignore[abstract]  # the methods that no test calls are left out
    async with serve(
        "127.0.0.1:0",
        ["mesh.auth.v1.AuthService"],
        lambda server: pb_grpc.add_AuthServiceServicer_to_server(servicer, server),
        Auth(TokenVerifier(no_keys, Revocations()), SECRET, "far"),
        grace_s=0,
    ) as port:
        yield servicer, port


@contextlib.asynccontextmanager
async def two_hops() -> AsyncIterator[Hops]:
    """Run both for the length of the block."""
    async with (
        asyncio.timeout(2 * LONG_S),
        served() as (near, near_port),
        served() as (far, far_port),
        grpc.aio.insecure_channel(f"127.0.0.1:{near_port}") as plain,
        client.connect(
            client.Peer(service="far", address=f"127.0.0.1:{far_port}"), ServiceIdentity(SECRET, "near")
        ) as channel,
    ):
        yield Hops(near, far, pb_grpc.AuthServiceStub(plain), pb_grpc.AuthServiceStub(channel))


@pytest.mark.parametrize("own_s", [None, 2 * LONG_S])
async def test_a_hop_takes_the_callers_time_less_a_margin(own_s: float | None) -> None:
    """Whether the call names a longer time of its own or none."""
    async with two_hops() as hops:
        await hops.call(ASKED_S, lambda: hops.onward(own_s))

        (had,) = hops.far.had
        assert had is not None
        assert 0 < had <= ASKED_S - MARGIN_S + 0.02


async def test_a_shorter_time_of_its_own_stays() -> None:
    """Who knows how long an answer takes does not wait longer."""
    async with two_hops() as hops:
        await hops.call(LONG_S, lambda: hops.onward(15.0))

        (had,) = hops.far.had
        assert had is not None
        assert had <= 15.1


async def test_without_a_deadline_the_default_counts() -> None:
    """A caller who waits for ever does not make the next hop wait for ever."""
    async with two_hops() as hops:
        await hops.call(None, hops.onward)

        assert hops.near.had == [None]
        (had,) = hops.far.had
        assert had is not None
        assert LONG_S < had <= client.DEADLINE_S + 0.2


async def test_without_time_the_hop_is_not_made() -> None:
    """It fails at once, as a call does whose time is over, and the next service never hears of it."""
    async with two_hops() as hops:
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def late() -> None:
            while (left_s := remaining_s() or 0.0) > MARGIN_S / 2:
                with contextlib.suppress(asyncio.CancelledError):  # the caller may have given up: that is the point
                    await asyncio.sleep(left_s - MARGIN_S / 2)
            try:
                with from_rpc():
                    await hops.onward()
            except DeadlineExceeded as error:
                if not failed.done():
                    failed.set_result(str(error))

        while not (failed.done() or hops.far.had):  # what is too late when it arrives is never served
            with contextlib.suppress(grpc.aio.AioRpcError):
                await hops.call(0.5, late)

        assert hops.far.had == []
        assert "/mesh.auth.v1.AuthService/GetJwks" in failed.result()


async def test_what_outlives_its_call_is_not_bound_by_it() -> None:
    """A task of the service's own has the time it takes, during the call and after it."""
    async with two_hops() as hops:
        tasks = Tasks()
        begun: list[asyncio.Task[None]] = []
        over = asyncio.Event()

        async def work() -> None:
            await hops.onward()
            await over.wait()
            await hops.onward()

        async def begin() -> None:
            begun.append(tasks.spawn(work(), "work"))

        await hops.call(SHORT_S, begin)
        over.set()
        await begun[0]
        await tasks.close()

        assert len(hops.far.had) == 2
        assert all(had is not None and had > SHORT_S for had in hops.far.had)


async def test_a_bare_task_is_free_once_its_call_is_over() -> None:
    """A library that begins a task in the midst of a call does not keep that call's deadline for ever."""
    async with two_hops() as hops:
        over = asyncio.Event()
        begun: list[asyncio.Task[None]] = []

        async def work() -> None:
            await over.wait()
            await hops.onward()

        async def begin() -> None:
            begun.append(asyncio.create_task(work()))

        await hops.call(SHORT_S, begin)
        over.set()
        await begun[0]

        (had,) = hops.far.had
        assert had is not None
        assert had > SHORT_S


async def test_what_is_fetched_for_all_is_not_bound_by_one() -> None:
    """The one who asks for what others wait for too may have little time; they may not."""
    async with two_hops() as hops:

        async def shared() -> None:
            with unbound():
                await hops.onward()

        await hops.call(SHORT_S, shared)

        (had,) = hops.far.had
        assert had is not None
        assert had > SHORT_S
