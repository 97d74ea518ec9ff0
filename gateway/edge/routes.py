"""Which cluster answers a request.

Typed gRPC goes to the service it names, a dialect's RPCs (which the transcoder makes of REST) to the gateway, a
dialect's WebSockets, its passages and everything else to the web app.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config import EdgeConfig
from gateway.edge import clusters, contract, filters, limits
from gateway.edge.front import Front
from meshkit.net import whence
from meshkit.server import MESSAGE_BYTES_MAX

_UNARY_TIMEOUT_S = 660
"""Longer than the longest wait a dialect offers (`/outputs/status?extended=true`: 600 s)."""
_IDLE_TIMEOUT_S = 3600
"""A stream that is `quiet` may be silent for so long: a boot waits half an hour for an app."""
_STALLED_S = 120
"""The others give a sign of life every ten seconds at most: if none gets through, the client does not read."""
_WEB_IDLE_S = 60
"""An answer of the web app may take its time, such as a log that is downloaded over a slow line; but it begins within
this, and never stands still for so long."""
_TYPED = "/mesh/v1/"
_LIVE = "/panel/live/"
"""Parts of the panel's pages that come as they change: as long as somebody looks."""
_ANOTHER = {
    "name": "another",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    },
}
"""A call is tried again at another replica, if there is one."""
_UNSENT = "connect-failure,refused-stream,cancelled"
"""What cannot have reached the service, which restarts in a second or two: tried again, whatever it was.  A server that
ends answers what it has not taken up as if its caller had cancelled it (grpc/grpc#41785)."""
_LOST = f"{_UNSENT},reset"
"""The same, and what was under way when a replica ended: tried again if it only reads."""
_TRIES, _READ_TRIES = 4, 16
"""How often.  Each waits a second at most, half of that as a rule: who reads has seven seconds or so of patience, in
which a service is restarted on a busy machine, too; who writes is told within two that there is none."""


def _sent_as(**kind: Any) -> dict[str, Any]:
    return {"headers": [{"name": "content-type", "string_match": kind}]}


# gRPC-Web and Connect too: their filters come behind the choice of a route.
_GRPC = _sent_as(safe_regex={"regex": f"{contract.GRPC}|{re.escape(contract.CONNECT_STREAM)}"})
_GRPC_ONLY = _sent_as(safe_regex={"regex": contract.GRPC})
_STREAM = {"safe_regex": {"regex": contract.METHOD}, **_sent_as(exact=contract.CONNECT_STREAM)}
_UNARY = {"safe_regex": {"regex": contract.METHOD}, **_sent_as(exact=contract.CONNECT_UNARY)}
_UPGRADE = {"headers": [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}]}


def route_config(
    config: EdgeConfig, services: Sequence[contract.Service], dialects: Sequence[Front], mark: str
) -> dict[str, Any]:
    """Return the one virtual host; `mark` is as in `render`."""
    base_url = config.public_url or "%REQ(X-FORWARDED-PROTO)%://%REQ(:AUTHORITY)%"
    return {
        "virtual_hosts": [
            {
                "name": "mesh",
                "domains": ["*"],
                "routes": [*_routes(services, dialects), *_large(), *_checked(), _rest()],
                "request_headers_to_remove": list(filters.CLAIM_HEADERS),
                "request_headers_to_add": [
                    {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                    for name, value in (("x-mesh-base-url", base_url.rstrip("/")), (whence.EDGE_HEADER, mark))
                    if value
                ],
            }
        ]
    }


def _routes(services: Sequence[contract.Service], dialects: Sequence[Front]) -> Iterator[dict[str, Any]]:
    for prefix, cluster in clusters.PREFIXES.items():
        yield _held({"prefix": prefix, **_sent_as(exact=contract.CONNECT_UNARY)}, cluster)
    yield _held(_UNARY, clusters.GATEWAY)
    yield from _handed_over(services)
    for service in services:
        if not service.is_dialect:
            continue
        for method in service.methods:
            if method.streams:
                yield _stream(method, clusters.GATEWAY)
        yield from _reads(service, clusters.GATEWAY, _UNARY_TIMEOUT_S, _UNARY_TIMEOUT_S)
        yield _route({"prefix": f"/{service.name}/", **_GRPC}, clusters.GATEWAY, _UNARY_TIMEOUT_S, _UNARY_TIMEOUT_S)
    for prefix, cluster in clusters.PREFIXES.items():
        for service in services:
            if f"/{service.name}/".startswith(prefix):
                yield from _streams(service, cluster)
                yield from _reads(service, cluster, timeout_s=0)
        yield _route({"prefix": prefix, **_GRPC}, cluster, timeout_s=0)
    for dialect in dialects:
        for prefix in dialect.passage_prefixes:
            yield _untouched({"prefix": prefix})
    yield _untouched({"prefix": _LIVE}, _STALLED_S)
    # Reflection and health; and an unknown service gets gRPC's own UNIMPLEMENTED.
    yield _route({"prefix": "/", **_GRPC_ONLY}, clusters.GATEWAY, timeout_s=0)
    yield _route(_STREAM, clusters.GATEWAY, timeout_s=0)
    for dialect in dialects:
        for template in dialect.socket_paths:
            yield _socket(template)
    yield _untouched({"prefix": "/", **_UPGRADE})  # there is no other: the web app says so, a transcoder would fail


def _held(match: Mapping[str, Any], cluster: str) -> dict[str, Any]:
    """Return the route of a unary call of Connect: the bridge holds a whole message, of an answer, too."""
    route = _route(match, cluster, _UNARY_TIMEOUT_S, _UNARY_TIMEOUT_S)
    return {**route, "request_body_buffer_limit": MESSAGE_BYTES_MAX}


def _handed_over(services: Sequence[contract.Service]) -> Iterator[dict[str, Any]]:
    """Yield the routes of calls of Connect that the gateway makes gRPC of (`connect.lua`)."""
    here = {"headers": [{"name": filters.CALL_HEADER, "string_match": {"prefix": filters.HANDED_OVER}}]}
    methods = [method for service in services for method in service.methods]
    for method in methods:
        if method.streams:
            idle_s = _IDLE_TIMEOUT_S if method.quiet else _STALLED_S
            yield _route({"path": method.name, **here}, clusters.WEB, timeout_s=0, idle_s=idle_s)
    reads = "|".join(re.escape(method.name) for method in methods if method.reads and not method.streams)
    read, any_ = ({"safe_regex": {"regex": regex}, **here} for regex in (reads, contract.METHOD))
    yield _route(read, clusters.WEB, 0, _UNARY_TIMEOUT_S, retry_on=_LOST, tries=_READ_TRIES)
    yield _route(any_, clusters.WEB, 0, _UNARY_TIMEOUT_S)


def _large() -> Iterator[dict[str, Any]]:
    """Yield the routes of bodies of our own API that are too large, or may be: nobody behind the transcoder knows.

    The transcoder cannot be told either: its limit holds for what it makes of a body as well, which may be larger.  A
    body that says its size is read and refused by the gateway; the rest of a longer one without is not waited for.
    """
    known = {"start": limits.BODY_BYTES_MAX + 1, "end": limits.REQUEST_BYTES_MAX + 1}
    yield _untouched({"prefix": _TYPED, "headers": [{"name": "content-length", "range_match": known}]}, _WEB_IDLE_S)
    # A WebSocket, and whatever else may go on for ever, is asked for by GET.
    sends = {"name": ":method", "string_match": {"safe_regex": {"regex": "POST|PUT|PATCH|DELETE"}}}
    unknown = {"name": "content-length", "present_match": True, "invert_match": True}
    yield _looked_at(sends, unknown)


def _checked() -> Iterator[dict[str, Any]]:
    """Yield the routes of requests to our own API that are looked at first: they have a body, or a query."""
    body = {"name": "content-length", "range_match": {"start": 1, "end": filters.CHECKED_BYTES_MAX + 1}}
    yield _looked_at(body)
    yield _looked_at({"name": ":path", "string_match": {"contains": "?"}})


def _looked_at(*headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the route of requests that the gateway looks at, and whose body is held for it and the transcoder."""
    held = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
        "buffer": {"max_request_bytes": limits.BODY_BYTES_MAX},
    }
    check = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "check_settings": {},
    }
    route = _route({"prefix": _TYPED, "headers": [*headers]}, clusters.WEB, timeout_s=0, idle_s=_WEB_IDLE_S)
    return {**route, "typed_per_filter_config": {filters.BUFFER: held, filters.CHECK: check}}


def _rest() -> dict[str, Any]:
    return _route({"prefix": "/"}, clusters.WEB, timeout_s=0, idle_s=_WEB_IDLE_S)


def _reads(
    service: contract.Service, cluster: str, timeout_s: int, idle_s: int = _IDLE_TIMEOUT_S
) -> Iterator[dict[str, Any]]:
    """Yield a route for the calls of a service that change nothing, if it has any."""
    names = [re.escape(method.name) for method in service.methods if method.reads and not method.streams]
    if names:
        match = {"safe_regex": {"regex": "|".join(names)}, **_GRPC}
        yield _route(match, cluster, timeout_s, idle_s, retry_on=_LOST, tries=_READ_TRIES)


def _streams(service: contract.Service, cluster: str) -> Iterator[dict[str, Any]]:
    """Streams of our own API; over REST `edge.lua` gives the answer its content type, a JSON document on each line."""
    transcoded = {"name": "x-envoy-original-method", "present_match": True}
    for method in service.methods:
        if not method.streams:
            continue
        if method.bindings:
            marked = {"header": {"key": "x-mesh-lines", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            yield {**_stream(method, cluster, transcoded), "response_headers_to_add": [marked]}
        yield _stream(method, cluster)


def _stream(method: contract.Method, cluster: str, *headers: Mapping[str, Any]) -> dict[str, Any]:
    match = {"path": method.name, "headers": [*_GRPC["headers"], *headers]}
    return _route(match, cluster, timeout_s=0, idle_s=_IDLE_TIMEOUT_S if method.quiet else _STALLED_S)


def _socket(template: str) -> dict[str, Any]:
    # The same path may be an RPC to who does not ask for a WebSocket.
    return _untouched({"safe_regex": {"regex": contract.pattern(template)}, **_UPGRADE})


def _untouched(match: Mapping[str, Any], idle_s: int = _IDLE_TIMEOUT_S) -> dict[str, Any]:
    disabled = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}
    return {
        **_route(match, clusters.WEB, timeout_s=0, idle_s=idle_s),
        "typed_per_filter_config": dict.fromkeys((*filters.TRANSCODERS.values(), filters.BRIDGE), disabled),
    }


def _route(
    match: Mapping[str, Any],
    cluster: str,
    timeout_s: int,
    idle_s: int = _IDLE_TIMEOUT_S,
    *,
    retry_on: str = _UNSENT,
    tries: int = _TRIES,
) -> dict[str, Any]:
    route: dict[str, Any] = {
        "match": dict(match),
        "route": {
            "cluster": cluster,
            "timeout": f"{timeout_s}s",
            "idle_timeout": f"{idle_s}s",
            "retry_policy": {
                "retry_on": retry_on,
                "num_retries": tries,
                "retry_host_predicate": [_ANOTHER],
                "host_selection_retry_max_attempts": 3,
                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
            },
        },
    }
    if cluster != clusters.GATEWAY:  # only the gateway may say what the HTTP answer is
        route["response_headers_to_remove"] = ["x-http-code", "x-http-body", "x-http-type"]
    return route
