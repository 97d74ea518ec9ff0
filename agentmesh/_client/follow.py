"""Follow a job's log to its end, over broken connections and restarted services."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from mesh.runner.v1 import job_pb2, job_pb2_grpc

from agentmesh._client import errors
from agentmesh._client.connection import Connection
from agentmesh._client.records import ENDED, Event, to_event, to_job

SILENCE_MAX_S = 60.0
"""A stream without even a heartbeat for so long is broken."""
PATIENCE_S = 30.0
"""How long to try to reconnect."""
_RETRY_S = 0.2


async def follow(
    connection: Connection, jobs: job_pb2_grpc.JobServiceStub, name: str, after_seq: int
) -> AsyncGenerator[Event, None]:
    """Yield each event behind `after_seq` once, in order, to the terminal one.

    A broken stream is resumed behind the last event that came.  Raises `MeshError` when the mesh refuses, or does not
    come back within `PATIENCE_S`.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_S
    while True:
        call = jobs.WatchJob(
            job_pb2.WatchJobRequest(name=name, after_seq=after_seq), metadata=await connection.metadata()
        )
        try:
            while (message := await _read(call)) is not None:
                give_up_at = loop.time() + PATIENCE_S
                for raw in message.events:
                    event = to_event(raw)
                    after_seq = event.seq
                    yield event
                    if event.last:
                        return
            if await _has_ended(connection, jobs, name, after_seq):
                return
        except grpc.aio.AioRpcError as error:
            if not errors.is_transport(error) or loop.time() > give_up_at:
                raise errors.from_rpc(error, connection.url) from error
        except TimeoutError:
            if loop.time() > give_up_at + SILENCE_MAX_S:
                raise errors.Unreachable(f"the mesh at {connection.url} went silent", code="UNAVAILABLE") from None
        finally:
            call.cancel()
        await asyncio.sleep(_RETRY_S)


async def _read(call: Any) -> Any:
    """Return the next message, or None at the end of the stream."""
    async with asyncio.timeout(SILENCE_MAX_S):
        message = await call.read()
    return None if message is grpc.aio.EOF else message


async def _has_ended(connection: Connection, jobs: job_pb2_grpc.JobServiceStub, name: str, after_seq: int) -> bool:
    """Tell a log that was read to its end from a stream that a stopping service closed."""
    job = to_job(await connection.unary(jobs.GetJob, job_pb2.GetJobRequest(name=name)))
    return job.state in ENDED and job.last_seq <= after_seq
