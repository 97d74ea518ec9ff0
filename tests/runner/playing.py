"""A nursery and its hosts, played by a test: what a host may do, without what a host does."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, host_pb2_grpc, job_pb2, placement_pb2

from tests.runner.stack import DEADLINE_S, Stack, stack

_LENGTH = struct.Struct("!I")
FLOW = app_pb2.FlowInfo(
    path="/", entry_point="a:b", launcher=app_pb2.LAUNCHER_SCHEMA, input_schema_json='{"type":"object","properties":{}}'
)


class Nursery:
    """Starts nothing: keeps what it is told to start, with the badges of those hosts."""

    def __init__(self) -> None:
        self._started: asyncio.Queue[tuple[placement_pb2.HostSpec, str]] = asyncio.Queue()

    async def started(self) -> tuple[placement_pb2.HostSpec, str]:
        """Wait for the next host that is to be started; return what it is, and its badge."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._started.get()

    async def serve(self, listener: socket.socket) -> None:
        """Talk with one client after the other."""
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(listener)
            with client:
                present = placement_pb2.NurseryEvent(present=placement_pb2.HostsPresent()).SerializeToString()
                await loop.sock_sendall(client, _LENGTH.pack(len(present)) + present)
                await self._obey(client)

    async def _obey(self, client: socket.socket) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        buffer, pipes = b"", list[int]()
        loop.add_reader(client, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                try:
                    data, fds, _, _ = socket.recv_fds(client, 65536, 4)
                except BlockingIOError:
                    continue
                if not data:
                    return
                pipes += fds
                buffer += data
                while len(buffer) >= 4 and len(buffer) - 4 >= (length := _LENGTH.unpack_from(buffer)[0]):
                    order = placement_pb2.NurseryOrder.FromString(buffer[4 : 4 + length])
                    buffer = buffer[4 + length :]
                    if order.HasField("start"):
                        with open(pipes.pop(0), "rb") as pipe:
                            self._started.put_nowait((order.start, pipe.read().decode()))
        finally:
            loop.remove_reader(client)
            for left in pipes:
                os.close(left)


@contextlib.asynccontextmanager
async def nursery(path: pathlib.Path) -> AsyncIterator[Nursery]:
    """Play a nursery that listens at `path`."""
    played = Nursery()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        serving = asyncio.create_task(played.serve(listener))
        try:
            yield played
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


class Stream:
    """One stream of a host."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._heard: list[host_pb2.RunnerMessage] = []

    async def say(self, **message: Any) -> None:
        """Say one thing."""
        await self._call.write(host_pb2.AttachRequest(messages=[host_pb2.HostMessage(**message)]))

    async def hear(self, kind: str, fits: Callable[[Any], bool] = lambda said: True) -> Any:
        """Wait for a message of a kind, and pass over all before it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                while self._heard:
                    message = self._heard.pop(0)
                    if message.WhichOneof("message") == kind and fits(getattr(message, kind)):
                        return getattr(message, kind)
                response = await self._call.read()
                assert response is not grpc.aio.EOF, "the stream has ended"
                self._heard += response.messages

    async def end(self) -> grpc.StatusCode:
        """Wait for the end of the stream; return how it ended."""
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await self._call.read() is not grpc.aio.EOF:
                    pass
            code: grpc.StatusCode = await self._call.code()
        return code

    async def finish(self) -> None:
        """Say nothing more, and wait until the runner has taken that in."""
        await self._call.done_writing()
        assert grpc.StatusCode.OK == await self.end()

    def close(self) -> None:
        """Hang up."""
        self._call.cancel()

    async def report(self, run: host_pb2.Run, source_seq: int = 1, **more: Any) -> bool:
        """Report on a job; return whether it was taken."""
        await self.say(report=host_pb2.Report(job=run.job, epoch=run.epoch, source_seq=source_seq, **more))
        ack = await self.hear("ack", lambda said: said.job == run.job)
        return not ack.stale


class Host:
    """A host that the runner has started, or thinks so."""

    def __init__(self, spec: placement_pb2.HostSpec, badge: str, channel: grpc.aio.Channel) -> None:
        self.spec = spec
        self.badge = badge
        self._stub = host_pb2_grpc.HostServiceStub(channel)

    async def attach(
        self, *, badge: str | None = None, leases: Sequence[host_pb2.Lease] = (), host_id: str = ""
    ) -> Stream:
        """Dial and say hello."""
        call = self._stub.Attach(metadata=(("x-mesh-service", self.badge if badge is None else badge),))
        stream = Stream(call)
        hello = host_pb2.Hello(host_id=host_id or self.spec.host_id, expose=self.spec.expose, leases=leases, protocol=1)
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # refused: `end` says how
            await stream.say(hello=hello)
        return stream


class Stages:
    """A runner, and the hosts of its apps."""

    def __init__(self, mesh: Stack, played: Nursery, channel: grpc.aio.Channel, secret: pathlib.Path) -> None:
        self.mesh = mesh
        self.secret = secret
        """Where what the mesh signs with lies."""
        self._played = played
        self._channel = channel
        self._numbers = itertools.count(1)

    async def place(self, prepare: Callable[[Host, Stream], Awaitable[None]] | None = None) -> tuple[Host, Stream]:
        """Have an app of its own served by a new host, once it has prepared it; return that, attached."""
        deploying = asyncio.create_task(self.mesh.deploy(f"app{next(self._numbers)}"))
        host = Host(*await self._played.started(), self._channel)
        stream = await host.attach()
        if prepare is not None:
            await prepare(host, stream)
        await stream.say(loaded=host_pb2.Loaded(flows=[FLOW]))
        app = await deploying
        assert app.state == app_pb2.APP_STATE_RUNNING, app
        return host, stream

    async def run(self, host: Host, stream: Stream) -> tuple[job_pb2.Job, host_pb2.Run]:
        """Start a job; return it, and what its host is told."""
        job = await self.mesh.create(f"flows/{host.spec.expose}")
        return job, await stream.hear("run", lambda said: said.job == job.name)


@contextlib.asynccontextmanager
async def staged(data_dir: pathlib.Path, **settings: Any) -> AsyncIterator[Stages]:
    """Run a runner for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="am-") as folder:
        path = pathlib.Path(folder, "nursery")
        async with (
            nursery(path) as played,
            stack(data_dir, nursery=str(path), lease_s=600, app_patience_s=600, **settings) as mesh,
            grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel,
        ):
            yield Stages(mesh, played, channel, data_dir / "mesh.secret")
