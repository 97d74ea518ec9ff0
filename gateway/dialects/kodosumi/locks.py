"""The kodosumi panel API, locks: forms that an execution waits on until a human has answered.

Source: the lock routes of the kodosumi panel (`/lock/{fid}/{lid}`).
"""

from typing import Any

from agentmesh_protos.dialects.kodosumi.v1 import lock_pb2 as pb
from agentmesh_protos.dialects.kodosumi.v1 import lock_pb2_grpc as pb_grpc
from google.api import httpbody_pb2

from gateway.core import jobs, locks
from gateway.core.peers import Peers
from gateway.http import bodies
from gateway.http.answers import json_answer, json_text
from gateway.http.dialect import Service
from meshkit.errors import Invalid, NotFound


class LockServicer(pb_grpc.LockServiceServicer):
    """Unpack, ask the runner, show what it says in kodosumi's shape."""

    def __init__(self, peers: Peers) -> None:
        self._locks = locks.Locks(peers)

    async def GetLock(self, request: pb.GetLockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the form of a lock that waits for an answer."""
        lock = await self._locks.get(request.fid, request.lid)
        if lock.state != locks.PENDING:
            raise NotFound(locks.gone(lock), resource="locks")
        return json_text(lock.elements_json or "[]")

    async def AnswerLock(self, request: pb.AnswerLockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Answer a lock; what its form refuses is an answer, not an error."""
        inputs = bodies.parse_json(request.json_body)
        if not isinstance(inputs, dict):
            raise Invalid("body is no form", {"body": ["send a JSON object of values by the names of the elements"]})
        lock = await self._locks.get(request.fid, request.lid)
        elements = locks.elements_of(lock)
        try:
            answered = await self._locks.answer(lock, inputs)
        except locks.Refused as error:
            return json_answer({"errors": error.fields, "elements": elements})
        return json_answer({"result": jobs.json_value(answered.result_json), "elements": elements})


SERVICE = Service(
    name="mesh.dialects.kodosumi.v1.LockService",
    add=pb_grpc.add_LockServiceServicer_to_server,
    servicer=LockServicer,
)
