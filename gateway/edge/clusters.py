"""Where the edge sends requests: a cluster of Envoy for each service, the gateway and its web app."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from gateway.config import EdgeConfig

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


def clusters(config: EdgeConfig) -> Iterator[dict[str, Any]]:
    """Yield every cluster."""
    for name in PREFIXES.values():
        yield _cluster(name, getattr(config, f"{name}_address"), http2=True)
    yield _cluster(GATEWAY, config.gateway_address, http2=True)
    yield _cluster(WEB, config.web_address, http2=False)


def address(text: str) -> dict[str, Any]:
    """Return `host:port` as an address of Envoy."""
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True


def _cluster(name: str, at: str, *, http2: bool) -> dict[str, Any]:
    protocol: dict[str, Any] = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "30s"},  # the web app closes idle connections after 75 s
    }
    if http2:
        protocol["explicit_http_config"] = {
            "http2_protocol_options": {
                "initial_stream_window_size": 1024 * 1024,
                "initial_connection_window_size": 8 * 1024 * 1024,
                "connection_keepalive": {"interval": "30s", "timeout": "10s"},
            }
        }
        protocol["common_http_protocol_options"] = {"idle_timeout": "3600s"}
    limits = {"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 100_000, "max_retries": 100}
    return {
        "name": name,
        "type": "STATIC" if _is_ip(at) else "STRICT_DNS",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(at)}}]}],
        },
    }
