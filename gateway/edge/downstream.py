"""TLS between people and the edge: the certificate that browsers and clients see, read anew when it is renewed.

The listener names the certificate, and a small file of Envoy's own names the two files it is in (SDS): Envoy watches
their folders, and takes a renewed pair for new connections as soon as files are *moved* there, which is how certbot and
Kubernetes do it.  A pair that does not go together, such as between two moves, is left alone: the one before stays.

Whoever speaks plain HTTP to the port is told where it is: a GET by a redirect; anything else is refused, since what it
carried has been seen by whoever is on the way, and following a redirect would hide that.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from gateway.config import EdgeConfig

_TYPE = "type.googleapis.com/envoy.extensions"
_NAME = "edge"
_PLAIN_BODY = {"error": "plain http: this port speaks https"}


def secret_path(config: EdgeConfig) -> pathlib.Path:
    """Return where Envoy finds the names of the files."""
    return config.data_dir.absolute() / "envoy" / "certificate.json"


def secret(config: EdgeConfig) -> dict[str, Any]:
    """Return what stands there."""
    files = {
        name: {"filename": str(pathlib.Path(path).absolute())}
        for name, path in (("certificate_chain", config.edge_tls_cert), ("private_key", config.edge_tls_key))
    }
    kind = f"{_TYPE}.transport_sockets.tls.v3.Secret"
    return {"resources": [{"@type": kind, "name": _NAME, "tls_certificate": files}]}


def listening(config: EdgeConfig, manager: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filter chains of a listener, and what finds out which of them a connection is for."""
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": dict(manager)}]}
    if not config.edge_tls_cert:
        return {"filter_chains": [chain]}
    inspector = {"@type": f"{_TYPE}.filters.listener.tls_inspector.v3.TlsInspector"}
    return {
        "listener_filters": [{"name": "tls_inspector", "typed_config": inspector}],
        "listener_filters_timeout": f"{config.headers_timeout_s:g}s",
        "filter_chains": [
            {**chain, "filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": _transport(config)},
            {"filters": [{"name": "plain", "typed_config": _plain(config)}]},
        ],
    }


def _transport(config: EdgeConfig) -> dict[str, Any]:
    watched = {"path_config_source": {"path": str(secret_path(config))}, "resource_api_version": "V3"}
    context = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [{"name": _NAME, "sds_config": watched}],
        },
    }
    return {"name": "tls", "typed_config": context}


def _plain(config: EdgeConfig) -> dict[str, Any]:
    router = {"@type": f"{_TYPE}.filters.http.router.v3.Router"}
    reads = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    refused = {"status": 426, "body": {"inline_string": json.dumps(_PLAIN_BODY)}}
    upgrade = [
        {"header": {"key": "upgrade", "value": "TLS/1.2, HTTP/1.1"}},
        {"header": {"key": "connection", "value": "Upgrade"}},
        {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
    ]
    routes = [
        {
            "match": {"prefix": "/", "headers": [reads]},
            "redirect": {"https_redirect": True, "response_code": "PERMANENT_REDIRECT"},
        },
        {"match": {"prefix": "/"}, "direct_response": refused, "response_headers_to_add": upgrade},
    ]
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "server_name": "agentmesh",
        "request_headers_timeout": f"{config.headers_timeout_s:g}s",
        "stream_idle_timeout": f"{config.headers_timeout_s:g}s",
        "common_http_protocol_options": {"idle_timeout": f"{config.headers_timeout_s:g}s"},
        "route_config": {"virtual_hosts": [{"name": "plain", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": router}],
    }
