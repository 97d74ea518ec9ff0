"""Where the edge sends requests: a cluster of Envoy for each service, the gateway and its web app."""

import dataclasses
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

from gateway.config import EdgeConfig
from meshkit.client import Peer
from meshkit.net import endpoints
from meshkit.net.tls import name_of

GATEWAY, WEB = "gateway", "web"
PREFIXES = {
    # The ledger's services belong to the payments package, and have a process of their own: it comes first.
    "/mesh.payments.v1.Ledger": "ledger",
    "/mesh.auth.": "auth",
    "/mesh.registry.": "registry",
    "/mesh.runner.": "runner",
    "/mesh.payments.": "payments",
}
"""Which service answers typed gRPC, by the beginning of the path; the first that fits counts."""

_STREAM_BYTES_MAX = 64 * 1024
"""Of an answer that a client does not read, Envoy holds so much."""
_CONNECTION_BYTES_MAX = 2**31 - 1
"""All that HTTP/2 knows.  What paused streams hold is taken from the window of their connection, which every call to a
service shares: with the usual few megabytes a handful of clients that do not read would stop everybody."""


def process_of(service: str) -> str:
    """Return which process serves a gRPC service of our own API; empty if none of these does."""
    return next((process for prefix, process in PREFIXES.items() if f"/{service}".startswith(prefix)), "")


def clusters(config: EdgeConfig) -> Iterator[dict[str, Any]]:
    """Yield every cluster.  Raises `OSError` if a service is not to be talked to like that."""
    for name in (*PREFIXES.values(), GATEWAY):
        yield _cluster(name, config.peer(name), http2=True)
    # A process of the gateway's: so is its certificate.
    yield _cluster(WEB, dataclasses.replace(config.peer(WEB), service=GATEWAY), http2=False)


def address(text: str) -> dict[str, Any]:
    """Return an address (`meshkit.net.endpoints`) as Envoy has it."""
    endpoint = endpoints.parse(text)
    if isinstance(endpoint, endpoints.Unix):
        return {"pipe": {"path": str(endpoint.path)}}
    return {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}


def own_socket(text: str) -> dict[str, Any]:
    """Return a unix socket that Envoy listens at, and nobody but its user opens."""
    return {"pipe": {**address(text)["pipe"], "mode": 0o600}}


def _transport(peer: Peer, alpn: str) -> dict[str, Any]:
    """Return what makes a cluster's connections TLS, if they are."""
    tls = peer.wires.over_all(endpoints.parse_all(peer.address))
    if tls is None:
        return {}
    name = name_of(peer.service)
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": name,
        "common_tls_context": {
            "alpn_protocols": [alpn],
            "tls_certificates": [{"certificate_chain": _file(tls.cert), "private_key": _file(tls.key)}],
            "validation_context": {
                "trusted_ca": _file(tls.ca),
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
            },
        },
    }
    return {"transport_socket": {"name": "tls", "typed_config": context}}


def _file(path: pathlib.Path) -> dict[str, str]:
    return {"filename": str(path)}


def _cluster(name: str, peer: Peer, *, http2: bool) -> dict[str, Any]:
    found = endpoints.parse_all(peer.address)
    protocol: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "30s"},  # the web app closes idle connections after 75 s
    }
    bounded: dict[str, Any] = {}
    if http2:
        protocol["explicit_http_config"] = {
            "http2_protocol_options": {
                "initial_stream_window_size": _STREAM_BYTES_MAX,
                "initial_connection_window_size": _CONNECTION_BYTES_MAX,
                "connection_keepalive": {"interval": "30s", "timeout": "10s"},
            }
        }
        protocol["common_http_protocol_options"] = {"idle_timeout": "3600s"}
    else:  # a connection for each WebSocket: what its client does not read is not to fill the kernel's buffers
        bounded = {
            "per_connection_buffer_limit_bytes": _STREAM_BYTES_MAX,
            "upstream_bind_config": {"socket_options": [_receive_buffer(_STREAM_BYTES_MAX)]},
        }
    limits = {"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 100_000, "max_retries": 1_000}
    return {
        "name": name,
        "type": "STRICT_DNS" if endpoints.is_name(found[0]) else "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(str(each))}} for each in found]}],
        },
        **bounded,
        **(_watched(http2=http2) if endpoints.several(found) else {}),
        **_transport(peer, "h2" if http2 else "http/1.1"),
    }


def _watched(*, http2: bool) -> dict[str, Any]:
    """Return what leaves out the replicas that do not answer: those that say so, and those that nobody can connect to.

    That a service refuses or fails calls says nothing of this kind: a caller can make it do so.
    """
    how: dict[str, Any] = {"grpc_health_check": {}} if http2 else {"tcp_health_check": {}}
    every = {"interval": "1s", "no_traffic_interval": "1s", "interval_jitter": "0.1s", "unhealthy_interval": "0.5s"}
    return {
        "health_checks": [{"timeout": "2s", **every, "unhealthy_threshold": 2, "healthy_threshold": 1, **how}],
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 2,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "10s",
        },
    }


def _receive_buffer(size: int) -> dict[str, Any]:
    option = {"level": socket.SOL_SOCKET, "name": socket.SO_RCVBUF, "int_value": size}
    return {**option, "state": "STATE_PREBIND"}
