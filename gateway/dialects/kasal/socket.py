"""Kasal's WebSocket: who subscribes to executions is told what happens in them.

A client sends `{"type": "subscribe", "job_id"}`, with `since_seq` to go on where it was; `unsubscribe`; `ping`.  One
that sent no `Authorization` header when it connected, as browsers cannot, sends `{"type": "auth", "token"}` first.
Whoever does not is closed with 4401, as whoever's token ends.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from agentmesh_protos.gateway.v1 import options_pb2
from agentmesh_protos.runner.v1 import job_pb2
from starlette.websockets import WebSocketDisconnect

from gateway.core.peers import Peers
from gateway.core.watches import Batch
from gateway.dialects.kasal import errors, frames, ids
from gateway.http.answers import dumps
from gateway.http.dialect import Socket
from gateway.http.session import Session
from meshkit.errors import Invalid, MeshError, NotFound, Unauthenticated, from_rpc
from meshkit.principal import acting

AUTH_S = 10.0
"""How long a client may take to say who it is."""
SUBSCRIPTIONS_MAX = 100
_SEQ_MAX = 2**53


class Events:
    """Serves one session after the other."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def __call__(self, session: Session) -> None:
        """Serve a client until it hangs up.  Raises `Unauthenticated` for one who does not say who it is."""
        await session.accept()
        if not session.principal.user:
            await _sign_in(session)
        with acting(session.principal):
            async with asyncio.TaskGroup() as group:
                client = _Client(session, self._peers, group)
                with contextlib.suppress(WebSocketDisconnect):  # then the session ends, and with it all of this
                    while True:
                        await client.serve()


async def _sign_in(session: Session) -> None:
    """Have the first frame say who is there."""
    said: Any = None
    with contextlib.suppress(TimeoutError, Invalid):
        async with asyncio.timeout(AUTH_S):
            said = await session.receive()
    if not isinstance(said, dict) or said.get("type") != "auth" or not isinstance(token := said.get("token"), str):
        raise Unauthenticated('send {"type": "auth", "token": …} first, or an Authorization header')
    await session.sign_in(token)
    await session.send({"type": "authenticated", "seq": 0})


class _Client:
    """One session's subscriptions, by the id of the job."""

    def __init__(self, session: Session, peers: Peers, group: asyncio.TaskGroup) -> None:
        self._session = session
        self._jobs = peers.jobs
        self._watches = peers.watches
        self._group = group
        self._subscribed: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Do what the client's next frame says; what is wrong with it is told."""
        said: Any = {}
        try:
            said = await self._session.receive()
            if not isinstance(said, dict):
                raise Invalid("frame is no object", {"frame": ["send a JSON object"]})
            await self._do(said)
        except MeshError as error:
            await self._tell(error, said.get("job_id") if isinstance(said, dict) else None)

    async def _do(self, said: Mapping[str, Any]) -> None:
        kind = said.get("type")
        if kind == "ping":
            await self._session.send({"type": "pong", "seq": 0})
        elif kind == "subscribe":
            await self._subscribe(_job_id(said), _since(said))
        elif kind == "unsubscribe":
            job_id = _job_id(said)
            await self._end(job_id)
            await self._session.send({"type": "unsubscribed", "job_id": job_id, "seq": 0})
        else:
            raise Invalid("no such type", {"type": ["must be subscribe, unsubscribe or ping"]})

    async def _subscribe(self, job_id: str, since_seq: int) -> None:
        name = ids.JOB.name(job_id)
        try:
            job = await self._job(name)
        except NotFound:
            raise ids.JOB.missing(job_id) from None
        await self._end(job_id)  # who asks again wants it from elsewhere
        if len(self._subscribed) >= SUBSCRIPTIONS_MAX:
            raise Invalid("too many subscriptions", {"job_id": [f"subscribe to at most {SUBSCRIPTIONS_MAX} at a time"]})
        await self._session.send({"type": "subscribed", "job_id": job_id, "seq": since_seq})
        self._subscribed[job_id] = self._group.create_task(self._follow(job_id, job, since_seq))

    async def _end(self, job_id: str) -> None:
        if task := self._subscribed.pop(job_id, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, job_id: str, job: job_pb2.Job, since_seq: int) -> None:
        """Send the frames of a job until it has ended."""
        with contextlib.suppress(WebSocketDisconnect):
            try:
                await self._send_all(job_id, job, since_seq)
            except MeshError as error:
                await self._tell(error, job_id)
        if self._subscribed.get(job_id) is asyncio.current_task():
            del self._subscribed[job_id]

    async def _send_all(self, job_id: str, job: job_pb2.Job, since_seq: int) -> None:
        async def texts(batch: Batch) -> list[str]:
            made = [await frames.of_event(event, job_id, lambda: self._job(job.name)) for event in batch.events]
            return [dumps(frame) for frame in made if frame is not None]

        with from_rpc():
            async with contextlib.aclosing(self._watches.follow(job, since_seq)) as batches:
                async for batch in batches:
                    for text in await batch.once(Events, texts):
                        await self._session.send_text(text)

    async def _job(self, name: str) -> job_pb2.Job:
        with from_rpc():
            job: job_pb2.Job = await self._jobs.GetJob(job_pb2.GetJobRequest(name=name))
            return job

    async def _tell(self, error: MeshError, job_id: Any) -> None:
        frame: dict[str, Any] = {"type": "error", "job_id": job_id if isinstance(job_id, str) else None}
        about = {"message": str(error), "code": errors.code_of(error), "details": errors.details(error)}
        await self._session.send({**frame, **about, "seq": 0})


def _job_id(said: Mapping[str, Any]) -> str:
    job_id = said.get("job_id")
    if not isinstance(job_id, str) or not job_id:
        raise Invalid("job_id is missing", {"job_id": ["send the id of an execution"]})
    return job_id


def _since(said: Mapping[str, Any]) -> int:
    since = said.get("since_seq", 0)
    if since is None:
        return 0
    if isinstance(since, bool) or not isinstance(since, int) or not 0 <= since <= _SEQ_MAX:
        raise Invalid("since_seq is no number of a frame", {"since_seq": ["send the seq of the last frame you have"]})
    return since


SOCKETS = tuple(
    Socket(path=f"{base}/ws", endpoint=Events, access=options_pb2.ACCESS_PUBLIC) for base in ("/v1", "/api/v1")
)
