"""Which cluster answers a request.

Typed gRPC goes to the service it names, a dialect's RPCs (which the transcoder makes of REST) to the gateway, a
dialect's WebSockets, its passages and everything else to the web app.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config import EdgeConfig
from gateway.edge import clusters, contract, filters
from gateway.edge import prefixes as paths
from gateway.edge.front import Front
from meshkit import whence

_UNARY_TIMEOUT_S = 660
"""Longer than the longest wait a dialect offers (`/outputs/status?extended=true`: 600 s)."""
_IDLE_TIMEOUT_S = 3600
"""A stream that is `quiet` may be silent for so long: a boot waits half an hour for an app."""
_STALLED_S = 120
"""The others give a sign of life every ten seconds at most: if none gets through, the client does not read."""
_WEB_IDLE_S = 60
"""An answer of the web app may take its time, such as a log that is downloaded over a slow line; but it begins within
this, and never stands still for so long."""
_LIVE = "/panel/live/"
"""Parts of the panel's pages that come as they change: as long as somebody looks."""
_LOCAL_PAGE = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"
_SENT = ("authorization", "content-type", "idempotency-key", "prefer")
_SHOWN = "location, x-agent-id, retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset"
"""Headers of answers that scripts of other sites may read."""
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
# gRPC-Web too: its filter comes behind the choice of a route.
_GRPC = {"headers": [{"name": "content-type", "string_match": {"safe_regex": {"regex": contract.GRPC}}}]}
_UPGRADE = {"headers": [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}]}


def route_config(
    config: EdgeConfig,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
    mark: str,
) -> dict[str, Any]:
    """Return the one virtual host; `prefixes` are a dialect's paths by its name, `mark` is as in `render`."""
    base_url = config.public_url or "%REQ(X-FORWARDED-PROTO)%://%REQ(:AUTHORITY)%"
    return {
        "virtual_hosts": [
            {
                "name": "mesh",
                "domains": ["*"],
                "routes": [*_routes(services, dialects), *_shared(config, dialects, prefixes), _rest()],
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
    yield _route({"prefix": "/", **_GRPC}, clusters.GATEWAY, timeout_s=0)
    for dialect in dialects:
        for template in dialect.socket_paths:
            yield _socket(template)


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


def _shared(
    config: EdgeConfig, dialects: Sequence[Front], prefixes: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Yield the paths that pages of other sites may call: a request is on these routes before its transcoding."""
    for dialect in dialects:
        origins: list[dict[str, Any]] = [{"exact": origin} for origin in config.origins.get(dialect.name, ())]
        if dialect.local_pages and config.loopback:
            origins.append({"safe_regex": {"regex": _LOCAL_PAGE}})
        if origins and prefixes[dialect.name]:
            own = "|".join(paths.regex(prefix) for prefix in prefixes[dialect.name])
            route = _route({"safe_regex": {"regex": own}}, clusters.WEB, timeout_s=0, idle_s=_WEB_IDLE_S)
            yield {**route, "typed_per_filter_config": {"cors": _cors(origins, dialect.credentials.headers)}}


def _cors(origins: Sequence[Mapping[str, Any]], credentials: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [dict(origin) for origin in origins],
        "allow_methods": "GET, HEAD, POST",
        "allow_headers": ", ".join((*_SENT, *credentials)),
        "expose_headers": _SHOWN,
        "max_age": "600",
    }


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
        "typed_per_filter_config": dict.fromkeys(filters.TRANSCODERS.values(), disabled),
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
