"""Envoy's bootstrap, rendered from the contract and the dialects.

One listener serves REST, SSE, gRPC, gRPC-Web and WebSocket.  Typed gRPC goes to the service it names; what the
transcoder recognises by the annotations of a dialect becomes gRPC to the gateway; everything else goes to its web app.

`render` is pure: the same arguments give the same bootstrap.
"""

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.config import EdgeConfig
from gateway.edge import clusters, contract, downstream, overload, prefixes, tracing
from gateway.edge.filters import filters
from gateway.edge.front import Front
from gateway.edge.replies import json_format, local_reply_config
from gateway.edge.routes import route_config

_BUFFER_BYTES_MAX = 64 * 1024
"""Of one client, in each direction; bodies that the transcoders put together have limits of their own."""
_HEADERS_KB_MAX, _HEADERS_MAX = 60, 100
"""Of a request: KiB, and how many."""
_TYPE = "type.googleapis.com/envoy.extensions."


def render(
    config: EdgeConfig, jwks_json: str, descriptors: bytes, dialects: Sequence[Front], mark: str = ""
) -> dict[str, Any]:
    """Return Envoy's bootstrap as JSON-able values.

    `jwks_json` verifies tokens for the rate limiter (RFC 7517); empty, Envoy asks the gateway for it, again and again.
    `descriptors` is a serialised `FileDescriptorSet`.  The first dialect's shape is for paths that are nobody else's.
    `mark` shows services that a request has come through the edge (`meshkit.net.whence`).
    """
    bootstrap: dict[str, Any] = {
        "node": {"id": "edge", "cluster": "agentmesh"},  # what is read from watched files wants a name to be read by
        "static_resources": {
            "listeners": [_listener(config, jwks_json, descriptors, dialects, mark)],
            "clusters": [*clusters.clusters(config), *([tracing.cluster(config)] if config.otlp_endpoint else [])],
        },
        # Regular expressions are made of our own contract, of which one may have every path.
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {"re2.max_program_size.error_level": 100_000, **tracing.runtime()}}
            ]
        },
        "overload_manager": overload.manager(config),
    }
    if config.admin_socket:
        bootstrap["admin"] = {"address": clusters.own_socket(config.admin_socket)}
    elif config.admin_port:
        bootstrap["admin"] = {"address": clusters.address(f"127.0.0.1:{config.admin_port}")}
    else:  # nobody can read them: save the memory
        bootstrap["stats_config"] = {"stats_matcher": {"reject_all": True}}
    return bootstrap


def _listener(
    config: EdgeConfig, jwks_json: str, descriptors: bytes, dialects: Sequence[Front], mark: str
) -> dict[str, Any]:
    services = contract.services(descriptors)
    theirs = prefixes.of_dialects(dialects, services)
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "server_name": "agentmesh",
        "use_remote_address": True,
        **tracing.request_ids(),
        **tracing.tracing(config),
        "normalize_path": True,
        "stream_error_on_invalid_http_message": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "300s",  # until a route is chosen, which has its own
        "request_headers_timeout": f"{config.headers_timeout_s:g}s",
        "request_timeout": f"{config.request_timeout_s:g}s",
        "drain_timeout": "1s",
        "max_request_headers_kb": _HEADERS_KB_MAX,
        "common_http_protocol_options": {
            "idle_timeout": f"{config.idle_timeout_s:g}s",
            "max_headers_count": _HEADERS_MAX,
        },
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {
            "max_concurrent_streams": config.streams_per_connection,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "local_reply_config": local_reply_config(dialects, theirs),
        "route_config": route_config(config, services, dialects, mark),
        "http_filters": list(filters(config, jwks_json, descriptors, services, dialects, theirs)),
    }
    if config.access_log:
        manager["access_log"] = [_access_log()]
    # Of one listener: a caller has one bucket, by whichever port they come.
    native = [config.native_ports[dialect.name] for dialect in dialects if dialect.name in config.native_ports]
    return {
        "name": "edge",
        "address": clusters.address(f"{config.host}:{config.port}"),
        "additional_addresses": [{"address": clusters.address(f"{config.host}:{port}")} for port in native],
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES_MAX,
        **downstream.listening(config, manager),
        "socket_options": list(_socket_options()),
    }


def _socket_options() -> Iterator[dict[str, Any]]:
    """Accepted connections inherit them.

    What a client has not read would fill the kernel's buffers too, with megabytes for each; what is on its way to one
    that reads is not counted here, so a fast and distant one loses nothing.
    """
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux and macOS
        option = {"level": socket.IPPROTO_TCP, "name": socket.TCP_NOTSENT_LOWAT, "int_value": _BUFFER_BYTES_MAX}
        yield {**option, "state": "STATE_PREBIND"}


def _access_log() -> dict[str, Any]:
    # Without the query: it may hold a password.
    line = {
        "time": "%START_TIME%",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%REQ_WITHOUT_QUERY(X-MESH-PATH?:PATH)%",
        "status": "%RESPONSE_CODE%",
        "duration_ms": "%DURATION%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
    }
    value = {"default_value": 500, "runtime_key": "access_log.status"}
    return {
        "name": "stderr",
        "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": value}}},
        "typed_config": {
            "@type": f"{_TYPE}access_loggers.stream.v3.StderrAccessLog",
            "log_format": json_format(line),
        },
    }
