"""Nonsense of a host: what the runner is told on the stream by which hosts attach."""

import asyncio
import contextlib
import pathlib
import tempfile
from collections.abc import Iterator

import grpc
from mesh.runner.v1 import host_pb2, job_pb2

from tests.fuzz.garbage import Garbage
from tests.fuzz.rpc import BROKEN
from tests.fuzz.seen import Seen
from tests.runner.playing import Host, Stages, nursery
from tests.runner.stack import stack

ATTACH = "/mesh.runner.v1.HostService/Attach"
MESSAGES = 20
"""Of one stream, at most."""
DONE = host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED, result_json='{"str":"done"}')


async def fuzz(folder: pathlib.Path, garbage: Garbage, calls: int, seen: Seen) -> None:
    """Have a host of one app say `calls` things to a runner, stream after stream, while another works."""
    with tempfile.TemporaryDirectory(prefix="am-") as short:
        path = pathlib.Path(short, "nursery")
        async with (
            nursery(path) as played,
            stack(folder, nursery=str(path), lease_s=600) as mesh,
            grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel,
        ):
            stages = Stages(mesh, played, channel, folder / "mesh.secret")
            host, stream = await stages.place()
            rogue, _ = await stages.place()
            for _ in range(0, calls, MESSAGES):
                await _attach(channel, rogue, garbage, seen)
                _, run = await stages.run(host, stream)
                if not await stream.report(run, outcome=DONE):
                    seen.wrong("a neighbour's report is refused", str(run))


async def _attach(channel: grpc.aio.Channel, rogue: Host, garbage: Garbage, seen: Seen) -> None:
    call = channel.stream_stream(ATTACH)(metadata=(("x-mesh-service", rogue.badge),), timeout=seen.deadline_s)
    sent = list(_said(rogue, garbage))
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it was ended: the code says why
        for message in sent:
            await call.write(message)
        await call.done_writing()
    code = await call.code()
    seen.answered(code.name)
    if code in (*BROKEN, grpc.StatusCode.DEADLINE_EXCEEDED):
        seen.wrong(f"is {code.name}", f"{[message[:100].hex() for message in sent]} -> {await call.details()}")


def _said(rogue: Host, garbage: Garbage) -> Iterator[bytes]:
    """Yield requests as bytes: mostly after a hello as it should be."""
    if garbage.random.random() < 0.8:
        hello = host_pb2.Hello(host_id=rogue.spec.host_id, expose=rogue.spec.expose, protocol=1)
        yield host_pb2.AttachRequest(messages=[host_pb2.HostMessage(hello=hello)]).SerializeToString()
    for _ in range(garbage.random.randrange(MESSAGES)):
        message = host_pb2.HostMessage()
        kind = garbage.random.choice([field.name for field in message.DESCRIPTOR.fields])
        getattr(message, kind).SetInParent()
        garbage.fill(getattr(message, kind))
        filled = host_pb2.AttachRequest(messages=[message] * garbage.random.randrange(3)).SerializeToString()
        yield garbage.random.choice((filled, filled, filled, garbage.mutated(filled), garbage.raw()))
