"""Calls of WatchJob as a test plans them."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from agentmesh_protos.runner.v1 import job_pb2


def event(seq: int, kind: str, payload: str, time: float = 1765350222.652195, detail: str = "") -> job_pb2.Event:
    return job_pb2.Event(seq=seq, kind=kind, time=time, payload=payload, detail=detail)


def batch(*events: job_pb2.Event) -> job_pb2.WatchJobResponse:
    return job_pb2.WatchJobResponse(events=events)


class Call:
    """A call of WatchJob as the client sees it: messages, then an end, an error or nothing."""

    def __init__(self, *messages: Any, end: grpc.StatusCode | None = None, hang: bool = False) -> None:
        self._messages = list(messages)
        self._end = end
        self._hang = hang
        self.cancelled = False

    async def read(self) -> Any:
        if self._messages:
            return self._messages.pop(0)
        if self._hang:
            await asyncio.Event().wait()
        if self._end is not None:
            metadata = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self._end, metadata, metadata, details="gone")
        return grpc.aio.EOF

    def cancel(self) -> bool:
        self.cancelled = True
        return True


def calls(*planned: Call) -> tuple[Callable[[int], Call], list[int]]:
    """Return a `watch` that hands out the planned calls, and the places it was asked to resume from."""
    remaining = iter(planned)
    asked: list[int] = []

    def watch(after_seq: int) -> Call:
        asked.append(after_seq)
        return next(remaining)

    return watch, asked


async def yes() -> bool:
    return True


async def no() -> bool:
    return False
