"""What other replicas ask of the hosts that hang on this one.  Unpack, call, pack."""

import asyncio
from collections.abc import AsyncIterator

from agentmesh_protos.runner.v1 import host_pb2, replica_pb2, replica_pb2_grpc

from meshkit.errors import Denied, Invalid, NotFound, Unavailable
from meshkit.interceptors import Context
from meshkit.principal import caller
from services.runner.hosts.links import Hosts, Link

_CALL_S = 10.0


class ReplicaServicer(replica_pb2_grpc.ReplicaServiceServicer):
    """For the runner's own replicas."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def TellHost(self, request: replica_pb2.TellHostRequest, context: Context) -> replica_pb2.TellHostResponse:
        """Tell a host something.  Raises `NotFound` if it does not hang here."""
        link = self._here(request.host_id)
        if link is None:
            raise NotFound("the host does not hang here", resource=request.host_id)
        link.post(request.message)
        return replica_pb2.TellHostResponse()

    async def AskHost(self, request: replica_pb2.AskHostRequest, context: Context) -> replica_pb2.AskHostResponse:
        """Ask a host something.  Raises `Unavailable` if it does not hang here, `Invalid` for what is no question."""
        link = self._attached(request.host_id)
        question = request.question
        match question.WhichOneof("message"):
            case "call":
                answer = host_pb2.HostMessage(call_result=await link.call(question.call))
            case "ask":
                answer = host_pb2.HostMessage(ask_result=await link.ask(question.ask))
            case "check_lock":
                answer = host_pb2.HostMessage(lock_check=await link.check_lock(question.check_lock))
            case _:
                raise Invalid("that is no question", {"question": ["must be a call, an ask or a check_lock"]})
        return replica_pb2.AskHostResponse(answer=answer)

    async def TalkToHost(
        self, request_iterator: AsyncIterator[replica_pb2.TalkToHostRequest], context: Context
    ) -> AsyncIterator[replica_pb2.TalkToHostResponse]:
        """Call an app, and pass on what is said.  Raises `Unavailable`, and `Invalid` if there is no call first."""
        requests = aiter(request_iterator)
        async with asyncio.timeout(_CALL_S):
            first = await anext(requests, replica_pb2.TalkToHostRequest())
        if not first.HasField("call"):
            raise Invalid("the first message must be a call", {"call": ["must come first"]})
        with self._attached(first.host_id).talk(first.call) as talk:

            async def listen() -> None:
                try:
                    async for request in requests:
                        await talk.pass_on(request.part)
                finally:
                    talk.hang_up()

            listening = asyncio.create_task(listen(), name=f"talk-{first.host_id}")
            try:
                while (heard := await talk.hear()) is not None:
                    yield replica_pb2.TalkToHostResponse(part=heard)
                    if heard.part.HasField("close"):
                        return
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def _here(self, host_id: str) -> Link | None:
        if caller().service != "runner":
            raise Denied("only the runner's own replicas may call this")
        link = self._hosts.links.get(host_id)
        return link if link is not None and link.attached else None

    def _attached(self, host_id: str) -> Link:
        link = self._here(host_id)
        if link is None:
            raise Unavailable("the app's host has moved to another replica: try again")
        return link
