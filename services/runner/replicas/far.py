"""Hosts that hang on other replicas, over gRPC: each call goes to the replica that the table of hosts names."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import structlog
from agentmesh_protos.runner.v1 import app_pb2_grpc, host_pb2, replica_pb2, replica_pb2_grpc

from meshkit import client, identity
from meshkit.errors import MeshError, NotFound, Unavailable, from_rpc
from meshkit.tasks import Tasks
from services.runner.hosts.talks import Talk
from services.runner.ports.replicas import ReplicaStore

log = structlog.get_logger()
_TELL_S = 5.0
_TRIES = 3
_PAUSE_S = 0.3
_ANSWER_S = 2.0
_MOVE_S = 5.0
"""How long a host may take that has lost its replica."""


class FarHosts:
    """A `links.Far`; keeps a channel to each replica for the length of its block."""

    def __init__(
        self,
        runner_id: str,
        store: ReplicaStore,
        who: identity.ServiceIdentity,
        peer: Callable[[str], client.Peer],
        tasks: Tasks,
    ) -> None:
        """`runner_id` is this replica's; `peer` returns how the runner at an address is called."""
        self._runner_id = runner_id
        self._store = store
        self._who = who
        self._peer = peer
        self._tasks = tasks
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._opened = contextlib.AsyncExitStack()
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> "FarHosts":
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every channel."""
        await self._opened.aclose()

    async def apps(self, address: str) -> Any:
        """Return a stub of the `AppService` of the replica at an address, `None` if nobody answers there."""
        channel = await self._channel(address)
        return app_pb2_grpc.AppServiceStub(channel) if await _answers(channel) else None

    def tell(self, host_id: str, message: host_pb2.RunnerMessage) -> None:
        """As `Far.tell`."""
        self._tasks.spawn(self._tell(host_id, message), f"tell-{host_id}")

    async def _tell(self, host_id: str, message: host_pb2.RunnerMessage) -> None:
        request = replica_pb2.TellHostRequest(host_id=host_id, message=message)
        for left in reversed(range(_TRIES)):
            try:
                if (stub := await self._stub(host_id)) is None:
                    return  # whoever hangs a host on tells it what it has missed
                with from_rpc():
                    await stub.TellHost(request, timeout=_TELL_S)
                return
            except NotFound:  # it has moved a moment ago, or is gone
                why = "not found"
            except MeshError as error:
                why = str(error)
            if left:
                await asyncio.sleep(_PAUSE_S)
        log.info("a host could not be told now", host=host_id, what=message.WhichOneof("message"), why=why)

    async def ask(
        self, host_id: str, question: host_pb2.RunnerMessage, timeout_s: float
    ) -> host_pb2.HostMessage | None:
        """As `Far.ask`."""
        request = replica_pb2.AskHostRequest(host_id=host_id, question=question)
        if (stub := await self._stub(host_id)) is None:
            return None
        with from_rpc():
            answer: host_pb2.HostMessage = (await stub.AskHost(request, timeout=timeout_s)).answer
        return answer

    @contextlib.contextmanager
    def talk(self, host_id: str, call: host_pb2.Call) -> Iterator[Talk]:
        """As `Far.talk`."""
        said: asyncio.Queue[host_pb2.CallPart] = asyncio.Queue()
        talk = Talk(0, lambda message: said.put_nowait(message.call_part))
        passing = self._tasks.spawn(self._pass(host_id, call, said, talk), f"talk-{host_id}")
        try:
            yield talk
        finally:
            talk.hang_up()
            if not talk.is_over or not said.empty():
                # What was said last is passed on; then nobody listens any more.
                asyncio.get_running_loop().call_later(_PAUSE_S, passing.cancel)
            else:
                passing.cancel()

    async def _pass(
        self, host_id: str, call: host_pb2.Call, said: "asyncio.Queue[host_pb2.CallPart]", talk: Talk
    ) -> None:
        async def requests() -> AsyncIterator[replica_pb2.TalkToHostRequest]:
            yield replica_pb2.TalkToHostRequest(host_id=host_id, call=call)
            while True:
                part = (await said.get()).part
                talk.sent(part)
                yield replica_pb2.TalkToHostRequest(part=part)
                if part.HasField("close"):
                    return

        try:
            if (stub := await self._stub(host_id)) is None:
                raise Unavailable("the app's host has just moved: try again")
            with from_rpc():
                async for response in stub.TalkToHost(requests()):
                    talk.take(response.part)
        except MeshError as error:
            talk.take(Unavailable(str(error)))
        else:
            talk.take(Unavailable("the app's host has hung up"))

    async def _stub(self, host_id: str) -> Any:
        """Return a stub of the replica that a host hangs on, `None` if that is this one.

        A host whose replica has died a moment ago is on its way to another: it is waited for.  Raises `Unavailable`.
        """
        until = asyncio.get_running_loop().time() + _MOVE_S
        while (row := await self._store.host(host_id)) is not None:
            if row.runner_id == self._runner_id:
                return None
            if row.address:
                channel = await self._channel(row.address)
                if await _answers(channel):
                    return replica_pb2_grpc.ReplicaServiceStub(channel)
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(_PAUSE_S)
        raise Unavailable("the app's host hangs on no replica now: try again")

    async def _channel(self, address: str) -> grpc.aio.Channel:
        async with self._turn:
            if address not in self._channels:
                connecting = client.connect(self._peer(address), self._who)
                try:
                    self._channels[address] = await self._opened.enter_async_context(connecting)
                except OSError as error:  # somebody else could be at the other end
                    raise Unavailable(f"another replica of the runner cannot be called: {error}") from error
        return self._channels[address]


async def _answers(channel: grpc.aio.Channel) -> bool:
    """Return whether there is somebody at the other end."""
    ready, never = grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            while (state := channel.get_state(try_to_connect=True)) not in (ready, never):
                await channel.wait_for_state_change(state)
            return state is ready
    return False
