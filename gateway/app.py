"""The gateway process: the dialects' servicers, reflection of the whole mesh, and the web app.

It keeps no state; run as many as you like.
"""

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import uvicorn
from google.protobuf import descriptor_pb2, descriptor_pool, json_format
from grpc_reflection.v1alpha import reflection, reflection_pb2
from starlette.applications import Starlette

from gateway import web
from gateway.config import Config
from gateway.core import peers
from gateway.dialects import DIALECTS
from gateway.edge import contract
from gateway.http.dialect import Dialect, Dialects
from gateway.http.interceptor import DialectCalls
from gateway.http.session import FRAME_BYTES_MAX
from gateway.http.sockets import Door
from meshkit import observability
from meshkit.server import serve, until_signal
from meshkit.service import authenticated, from_environment


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway listens."""

    grpc: int
    web: int


async def main() -> None:
    """Run until SIGTERM."""
    config = from_environment(Config)
    observability.configure("gateway", config.log_level)
    stopping = asyncio.Event()
    async with running(config):
        await until_signal(stopping)


@contextlib.asynccontextmanager
async def running(config: Config, dialects: Sequence[Dialect] = DIALECTS) -> AsyncIterator[Ports]:
    """Run the gateway for the length of the block; yield its ports."""
    mesh = contract.services(contract.descriptors())
    speakers = Dialects(dialects, mesh)
    services = [service for dialect in dialects for service in dialect.services]
    async with contextlib.AsyncExitStack() as stack:
        stubs = await stack.enter_async_context(peers.connect(config))
        auth = await stack.enter_async_context(
            authenticated(config, "gateway", speakers.credentials, speakers.finders(stubs, config))
        )
        door = Door(speakers, auth.verifier)
        web_app = web.create(config, speakers, mesh, door.routes(stubs))
        web_port = await stack.enter_async_context(_serve_web(web_app, config.web_address))

        def register(server: Any) -> None:
            for service in services:
                service.add(service.servicer(stubs), _ByName(server))
            server.add_generic_rpc_handlers((_reflection_v1(everything),))

        # Reflection shows what any service of the mesh answers at the edge.
        contract.import_all(contract.descriptors())
        everything = [service.name for service in mesh]
        grpc_port = await stack.enter_async_context(
            serve(
                config.gateway_address,
                [service.name for service in services],
                register,
                auth,
                grace_s=config.grace_s,
                reflect=everything,
                interceptors=[DialectCalls(speakers)],
            )
        )
        stack.callback(door.stop)  # the first to happen when the block ends
        yield Ports(grpc=grpc_port, web=web_port)


class _ByName:
    """A server that looks its methods up by name.

    grpc.aio also waits for each method that is registered by itself, all of them anew at every call: with a hundred
    methods that is a tenth of a call's cost.
    """

    def __init__(self, server: Any) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Leave it at the lookup by name."""


def _reflection_v1(services: list[str]) -> Any:
    """The same reflection under the name newer clients ask for; grpcio ships v1alpha only, the messages are alike."""
    name = "grpc.reflection.v1.ServerReflection"
    # What is listed must also be described: buf asks for the file of every service it hears of.
    v1alpha = json_format.MessageToJson(_proto_of(reflection_pb2.DESCRIPTOR))
    v1 = json_format.Parse(v1alpha.replace("v1alpha", "v1"), descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(v1.SerializeToString())
    servicer = reflection.aio.ReflectionServicer([*services, name, reflection.SERVICE_NAME])
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})


def _proto_of(descriptor: Any) -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto()
    descriptor.CopyToProto(proto)
    return proto


class _WithoutFalseAlarms(logging.Filter):
    """uvicorn reports of each WebSocket that is refused in HTTP that it was not answered (its issue 3138)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.funcName != "run_asgi" or record.exc_info is not None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one owner of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def _serve_web(app: Starlette, address: str) -> AsyncIterator[int]:
    host, _, port = address.rpartition(":")
    listener = socket.create_server((host.strip("[]"), int(port)), backlog=512, reuse_port=False)
    logging.getLogger("uvicorn.error").addFilter(_WithoutFalseAlarms())
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            lifespan="on",
            timeout_keep_alive=75,
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,  # it would keep some 300 kB for each, and most frames are short
            timeout_graceful_shutdown=1,
            server_header=False,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
