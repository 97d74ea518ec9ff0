"""Call other services: one channel per peer, a deadline on every call, the caller's identity passed on.

Our badge says who asks, whom, and on behalf of which user (`meshkit.identity`); the callee asks again whether that
user's token still holds.  Beside it stands from which address we were called ourselves.  A unary call takes no longer
than the caller of the call that is being served waits (`meshkit.interceptors.deadlines`).
"""

import asyncio
import contextlib
import dataclasses
import functools
import json
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2

from meshkit import telemetry
from meshkit.identity import SERVICE_HEADER, ServiceIdentity
from meshkit.interceptors import tracing
from meshkit.interceptors.deadlines import cut
from meshkit.net import endpoints
from meshkit.net.tls import NOTHING_ELSE, Wires, name_of
from meshkit.net.whence import ADDRESS_HEADER
from meshkit.principal import caller
from meshkit.server import MESSAGE_BYTES_MAX

STREAM_BYTES_MAX = 64 * 1024
"""How much of a stream is taken in ahead of who reads it."""
DEADLINE_S = 30.0
"""How long a unary call may take that is given no timeout."""
_REACHED_S = 1.5
"""How long a call waits for a connection.  gRPC tries again each second at most, and fails whatever comes in between:
who writes just after a peer has come back would be told that nobody is there."""
_SETTLED = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.SHUTDOWN)

_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.05s",
    "maxBackoff": "1s",
    "backoffMultiplier": 3,
    # A server that ends says CANCELLED to what it has not taken up (grpc/grpc#41785).
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


@functools.cache
def _reads(modules: frozenset[str]) -> list[dict[str, str]]:
    """Return the methods that the contract marks as free of side effects, of these generated modules.

    Only those are retried (gRFC A6): an UNAVAILABLE may come after the peer has acted, and a create must not happen
    twice.
    """
    return [
        {"service": service.full_name, "method": method.name}
        for module in sorted(modules)
        for service in sys.modules[module].DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    ]


def _imported(package: str = "agentmesh_protos") -> Iterator[str]:
    """Yield the generated modules that are imported.

    To look through `sys.modules` would touch every module, and so copy megabytes into each service that is forked.
    """
    for name, value in list(vars(sys.modules[package]).items()):
        if name.endswith("_pb2"):
            yield f"{package}.{name}"
        elif isinstance(value, types.ModuleType) and not name.endswith("_grpc") and f"{package}.{name}" in sys.modules:
            yield from _imported(f"{package}.{name}")


def options(*, spread: bool = False) -> list[tuple[str, Any]]:
    """Return the options of a channel to a peer: what may be retried is read from the protos imported so far.

    `spread` has several replicas take turns; one that does not answer is left out until it does.
    """
    # A peer that restarts is back in a second or two.
    config: dict[str, Any] = {"methodConfig": [{"name": _reads(frozenset(_imported())), "retryPolicy": _RETRY}]}
    if spread:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.service_config", json.dumps(config)),
        # Left to itself gRPC takes in megabytes of every stream that we do not read on with.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", STREAM_BYTES_MAX),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


class _Identify:
    """Add our badge to every call, which says for whom we call; give unary calls a deadline."""

    def __init__(self, identity: ServiceIdentity, callee: str) -> None:
        self._identity = identity
        self._callee = callee

    def _dress(self, details: Any, place: telemetry.Place | None) -> Any:
        metadata = [*(details.metadata or ()), *tracing.headers(place)]
        user = caller()
        metadata.append((SERVICE_HEADER, self._identity.badge(self._callee, user)))
        if user.address:
            metadata.append((ADDRESS_HEADER, user.address))
        return details._replace(metadata=grpc.aio.Metadata(*metadata))  # a named tuple


class _UnaryUnary(_Identify, grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, identity: ServiceIdentity, callee: str, channel: Callable[[], grpc.aio.Channel]) -> None:
        super().__init__(identity, callee)
        self._channel = channel

    async def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        now = asyncio.get_running_loop().time
        until = now() + cut(DEADLINE_S if details.timeout is None else details.timeout)
        await reached(self._channel(), until - now())
        timeout_s = until - now()
        if timeout_s <= 0:
            raise _too_late(details.method)
        parent = telemetry.here()
        place = parent and parent.inner()
        call = continuation(self._dress(details, place)._replace(timeout=timeout_s), request)
        return await (call if place is None else tracing.told(call, details.method, place))


async def reached(channel: grpc.aio.Channel, timeout_s: float | None) -> None:
    """Wait a moment until a channel has a connection, `timeout_s` at most; whoever calls then hears what is wrong."""
    if (state := channel.get_state(try_to_connect=True)) in _SETTLED:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REACHED_S if timeout_s is None else min(timeout_s, _REACHED_S)):
            while state not in _SETTLED:
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)


def _too_late(method: Any) -> grpc.aio.AioRpcError:
    """Return what gRPC itself would raise for a call that has no time."""
    name = method.decode() if isinstance(method, bytes) else str(method)
    text = f"no time is left for {name}: our own caller is about to give up"
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, nothing, nothing, details=text)


class _UnaryStream(_Identify, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return await continuation(self._dress(details, telemetry.here()), request)


class _StreamStream(_Identify, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Any) -> Any:
        return await continuation(self._dress(details, telemetry.here()), requests)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A service to call."""

    service: str
    """Its name: `runner`."""
    address: str
    """Where it listens (`meshkit.net.endpoints`); of several replicas, all of them."""
    wires: Wires = NOTHING_ELSE

    @property
    def replicas(self) -> "list[Peer]":
        """Each of its addresses as a peer by itself."""
        return [dataclasses.replace(self, address=each) for each in endpoints.split(self.address)]


def channel(peer: Peer, more: Sequence[tuple[str, Any]], *interceptors: grpc.aio.ClientInterceptor) -> grpc.aio.Channel:
    """Return a channel with these options.  Raises `OSError` if somebody else could be at the other end."""
    found = endpoints.parse_all(peer.address)
    for endpoint in found:
        if isinstance(endpoint, endpoints.Unix):
            endpoint.prepare()
    target = endpoints.target(found)
    if (tls := peer.wires.over_all(found)) is None:
        return grpc.aio.insecure_channel(target, options=more, interceptors=interceptors)
    named = ("grpc.ssl_target_name_override", name_of(peer.service))
    return grpc.aio.secure_channel(target, tls.channel_credentials(), options=[*more, named], interceptors=interceptors)


@contextlib.asynccontextmanager
async def connect(
    peer: Peer, identity: ServiceIdentity, *interceptors: grpc.aio.ClientInterceptor
) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to a service for the length of the block; it reconnects by itself.

    `interceptors` see each call before it gets identity and deadline.  Raises `OSError` as `channel` does.
    """
    who = (identity, peer.service)
    unary = _UnaryUnary(*who, channel=lambda: opened)
    around = (*interceptors, unary, _UnaryStream(*who), _StreamStream(*who))
    spread = endpoints.several(endpoints.parse_all(peer.address))
    async with channel(peer, options(spread=spread), *around) as opened:
        yield opened
