"""A job's log, read to its end across restarts of the runner."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc

from gateway.core.states import TERMINAL, from_name
from meshkit.errors import Invalid

_SEQ_DIGITS_MAX = 18
GIVE_UP_S = 30.0
"""How long the runner may be away in the middle of a log."""
# Of a runner that restarts, as a stream that was open sees it.
_AWAY = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
    )
)

Events = Sequence[job_pb2.Event]


def seq(text: str, field: str) -> int:
    """Return the number of an event that a client sends, 0 for none.  Raises `Invalid`, naming `field`."""
    if not text:
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > _SEQ_DIGITS_MAX:
        raise Invalid(f"{field} is no number", {field: ["send that of the last event, such as 12"]})
    return int(text)


def follow(stub: job_pb2_grpc.JobServiceStub, name: str, after_seq: int) -> AsyncGenerator[Events, None]:
    """Yield the events of `jobs/{id}` from behind `after_seq`, as `resumed` does."""

    def watch(seq: int) -> Any:
        return stub.WatchJob(job_pb2.WatchJobRequest(name=name, after_seq=seq))

    async def is_over() -> bool:
        job: job_pb2.Job = await stub.GetJob(job_pb2.GetJobRequest(name=name))
        return job.state in TERMINAL

    return resumed(watch, is_over, after_seq)


async def resumed(
    watch: Callable[[int], Any],
    is_over: Callable[[], Awaitable[bool]],
    after_seq: int,
    *,
    give_up_s: float = GIVE_UP_S,
) -> AsyncGenerator[Events, None]:
    """Yield a job's events from behind `after_seq`, in batches, until its log is complete.

    An empty batch is a sign of life.  `watch(after_seq)` is a call of WatchJob.  If the runner goes away after the
    first message, the log is taken up where it broke off.  `is_over` is asked when the runner ends the stream without a
    terminal event: that is right if there was nothing left to send.  Raises `grpc.aio.AioRpcError`.
    """
    started = over = False
    pause_s, lost_at = 0.05, 0.0
    while True:
        call = watch(after_seq)
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                started, pause_s, lost_at = True, 0.05, 0.0
                if message.events:
                    after_seq = message.events[-1].seq
                    over = _ends(message.events[-1])
                yield message.events
            if over or await is_over():
                return
        except grpc.aio.AioRpcError as error:
            if started and error.code() is grpc.StatusCode.NOT_FOUND:  # deleted while we watched
                return
            if not started or error.code() not in _AWAY:
                raise
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > give_up_s:
                raise
        finally:
            call.cancel()
        await asyncio.sleep(pause_s)
        pause_s = min(1.0, pause_s * 2)


def _ends(event: job_pb2.Event) -> bool:
    try:
        return event.kind == "status" and from_name(event.payload) in TERMINAL
    except KeyError:
        return False
