"""Run a gRPC server for the length of a block: health, reflection and the interceptors come with it."""

import asyncio
import contextlib
import ctypes
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from agentmesh_protos.telemetry.v1 import telemetry_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meshkit import telemetry
from meshkit.access import Auth
from meshkit.bus import Bus
from meshkit.errors import Unavailable
from meshkit.interceptors import Errors, Keyed, Logging, Readable
from meshkit.interceptors.deadlines import Deadlines
from meshkit.interceptors.held import Held
from meshkit.interceptors.streams import Streams
from meshkit.interceptors.tracing import Told
from meshkit.net import endpoints
from meshkit.net.tls import NOTHING_ELSE, Wires
from meshkit.rules import check_rules
from meshkit.server import metrics, reflection
from meshkit.server.health import Elsewhere, Health

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
METADATA_BYTES_MAX = 192 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # A client's HTTP headers come along with a transcoded request: Envoy takes 60 KiB, and the path comes thrice.
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # two servers on one port would share calls in silence
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
]
_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE_BYTES = 1024 * 1024

Register = Callable[[Any], None]
"""Adds servicers to what stands for a server."""


@contextlib.asynccontextmanager
async def serve(
    address: str,
    services: Sequence[str],
    register: Register,
    auth: Auth,
    *,
    bus: Bus | None = None,
    elsewhere: Elsewhere | None = None,
    grace_s: float = 2.0,
    reflect: Sequence[str] = (),
    interceptors: Sequence[Any] = (),
    wires: Wires = NOTHING_ELSE,
) -> AsyncIterator[int]:
    """Serve on `address` (`meshkit.net.endpoints`; port 0 takes a free one); yield the port, 0 if it has none.

    `services` are full names, such as `mesh.auth.v1.AuthService`; each of their methods must have a rule, or
    `meshkit.rules.MissingRule` is raised before the port opens.  `reflect` names services that reflection shows
    although another process serves them.  `interceptors` stand between Deadlines and Auth.  Raises `OSError` if `wires`
    do not allow it, or the address cannot be taken.

    Health (`meshkit.server.health`) answers for them, for `bus`, and for what `elsewhere` knows of other processes.
    """
    for service in (*services, metrics.SERVICE):
        check_rules(service)
    # Outermost first: a failure inside is logged with the status that Errors chose.
    server = grpc.aio.server(
        interceptors=[
            *(Told(telemetry.active()), Logging(), Errors(), Deadlines()),
            *interceptors,
            *(auth, Streams(auth.streams_max), Held(auth.verifier), Readable(), Keyed()),
        ],
        options=OPTIONS,
    )
    by_name = _ByName(server)
    register(by_name)
    telemetry_pb2_grpc.add_TelemetryServiceServicer_to_server(metrics.TelemetryServicer(), by_name)
    healthy = Health(bus, elsewhere)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, by_name)
    server.add_generic_rpc_handlers(reflection.handlers((*services, *reflect, health.SERVICE_NAME)))
    endpoint = endpoints.parse(address)
    tls = wires.over(endpoint)
    with endpoints.taking(endpoint):
        port = (
            server.add_insecure_port(address)
            if tls is None
            else server.add_secure_port(address, tls.server_credentials())
        )
    await server.start()
    for service in ("", *services):
        await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield 0 if isinstance(endpoint, endpoints.Unix) else port
    finally:
        await healthy.enter_graceful_shutdown()
        await server.stop(grace_s)


class _ByName:
    """A server that looks its methods up by name.

    grpc.aio also waits for each method that is registered by itself, all of them anew at every call: with a dozen
    methods that is a quarter of what Python computes for a call.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Leave it at the lookup by name."""


async def until_signal(stopping: asyncio.Event) -> None:
    """Wait for SIGTERM or SIGINT, then set `stopping`, which open streams watch: `Server.stop` does not end them."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()


def run(main: Callable[[], Any]) -> None:
    """Run a service's `main` to its end, on uvloop: the entry of every `__main__`.

    A place for its data that cannot be used is one line on stderr, and exit code 1.
    """
    import uvloop

    _give_back_memory()
    try:
        uvloop.run(main())
    except (Unavailable, OSError, sqlite3.Error, ImportError) as error:
        print(f"agentmesh: cannot start: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        telemetry.stop()


def _give_back_memory() -> None:
    """Have the C library return what large allocations took, as soon as they are freed.

    Left to itself glibc raises that limit to the largest that it has seen: the 19 MiB of one password's hash then stay
    for good.  Python's own objects are elsewhere.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
