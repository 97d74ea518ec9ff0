"""How Envoy tells of requests: a name for each, and to a collector the first span of each that is traced.

Whether a request is traced is decided here once: by who sends a `traceparent`, else by chance.
"""

import pathlib
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from gateway.config import EdgeConfig

COLLECTOR = "otlp"
_SPANS = 128
"""So many are sent at once; Envoy itself would do so at every fifth, and each costs it and the collector a call."""
_EVERY_MS = 1_000
"""Fewer are sent after so long."""
_TYPE = "type.googleapis.com/envoy."


def request_ids() -> dict[str, Any]:
    """Return what gives each request an id that is in its answer: in Envoy's own answers, too."""
    uuid = {"@type": f"{_TYPE}extensions.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}
    return {
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {"typed_config": uuid},
    }


def tracing(config: EdgeConfig) -> dict[str, Any]:
    """Return what of the connection manager tells of requests; nothing if there is no collector."""
    if not config.otlp_endpoint:
        return {}
    pairs = (pair.partition("=") for pair in re.split(r"\s*,\s*", config.otlp_headers.get_secret_value()) if pair)
    collector = {
        "envoy_grpc": {"cluster_name": COLLECTOR},
        "timeout": "5s",
        "initial_metadata": [{"key": name.strip().lower(), "value": value.strip()} for name, _, value in pairs],
    }
    kind = f"{_TYPE}config.trace.v3.OpenTelemetryConfig"
    return {
        "tracing": {
            "provider": {
                "name": "envoy.tracers.opentelemetry",
                "typed_config": {"@type": kind, "grpc_service": collector, "service_name": "edge"},
            },
            # Without the query: it may hold a password.
            "custom_tags": [{"tag": "http.url", "value": "%REQ(:SCHEME)%://%REQ(:AUTHORITY)%%PATH(NQ:ORIG_OR_PATH)%"}],
            "random_sampling": {"value": 100 * config.traces_ratio},
        }
    }


def runtime() -> dict[str, Any]:
    """Return what of Envoy's runtime is about spans."""
    return {"tracing.opentelemetry.min_flush_spans": _SPANS, "tracing.opentelemetry.flush_interval_ms": _EVERY_MS}


def cluster(config: EdgeConfig) -> dict[str, Any]:
    """Return the collector as a cluster."""
    url = urlsplit(config.otlp_endpoint)
    address = {"socket_address": {"address": url.hostname, "port_value": url.port}}
    options = f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": COLLECTOR,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [{"max_pending_requests": 16, "max_requests": 16}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": COLLECTOR,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        **(_secured(str(url.hostname)) if url.scheme == "https" else {}),
    }


def _secured(name: str) -> dict[str, Any]:
    """Return what makes it TLS with what this machine trusts."""
    paths = ssl.get_default_verify_paths()
    trusted = paths.cafile or next(iter(sorted(pathlib.Path(paths.capath or "/etc/ssl/certs").glob("*.crt"))), "")
    context = {
        "@type": f"{_TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": name,
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "validation_context": {
                "trusted_ca": {"filename": str(trusted)},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
            },
        },
    }
    return {"transport_socket": {"name": "tls", "typed_config": context}}
