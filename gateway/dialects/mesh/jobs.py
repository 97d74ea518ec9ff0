"""`/mesh/v1/jobs/{job}:watch`: a job's events as they come, over a WebSocket."""

import contextlib

from agentmesh_protos.runner.v1 import job_pb2
from google.protobuf import json_format

from gateway.core import joblog
from gateway.core.peers import Peers
from gateway.core.watches import Batch
from gateway.http.answers import dumps
from gateway.http.dialect import Socket
from gateway.http.session import Session
from meshkit.errors import from_rpc


class WatchJob:
    """Sends a frame per event, `mesh.runner.v1.Event` in JSON, and closes behind the last one.

    `?afterSeq=12` (or `after_seq`) resumes behind an event, as in the RPC of that name.
    """

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._watches = peers.watches

    async def __call__(self, session: Session) -> None:
        """Send the log from where the client has it.  Raises `NotFound`, or `Invalid` for a wrong `after_seq`."""
        after_seq = joblog.seq(session.query.get("afterSeq") or session.query.get("after_seq", ""), "after_seq")
        name = f"jobs/{session.params['job']}"
        with from_rpc():
            job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=name))  # says that there is none before we accept
            await session.accept()
            async with contextlib.aclosing(self._watches.follow(job, after_seq)) as batches:
                async for batch in batches:
                    for text in await batch.once(WatchJob, _frames):
                        await session.send_text(text)


async def _frames(batch: Batch) -> list[str]:
    return [dumps(json_format.MessageToDict(event)) for event in batch.events]


WATCH = Socket(path="/mesh/v1/jobs/{job}:watch", endpoint=WatchJob)
