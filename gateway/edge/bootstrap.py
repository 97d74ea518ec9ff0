"""Envoy's bootstrap, rendered from the contract.

One listener serves REST, SSE, gRPC, gRPC-Web and WebSocket.  Typed gRPC goes to the service it names; what the
transcoder recognises by the annotations of a dialect becomes gRPC to the gateway; everything else goes to its web app.
Filters, outermost first: Lua (`edge.lua`), JWT, rate limit, gRPC-Web, transcoders, router.

`render` is pure: the same arguments give the same bootstrap.
"""

import base64
import importlib.resources
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.config import EdgeConfig
from gateway.edge import contract
from gateway.http.bodies import BYTES_MAX
from gateway.http.dialect import DIALECTS, Dialect
from meshkit.verifier import ISSUER

_TYPE = "type.googleapis.com/envoy.extensions."
_HTTP = f"{_TYPE}filters.http."
REQUEST_BYTES_MAX = 2 * BYTES_MAX
"""Of a transcoded body.  The gateway refuses those above half of it, after they were read: see `edge.lua`."""
_RESPONSE_BYTES_MAX = 32 * 1024 * 1024
_UNARY_TIMEOUT_S = 660
"""Longer than the longest wait a dialect offers (`/outputs/status?extended=true`: 600 s)."""
_IDLE_TIMEOUT_S = 3600
"""A stream may be silent for so long: a boot waits half an hour for an app."""
_TRANSCODED = "x-envoy-original-method"
_CLAIM_HEADERS = ("x-mesh-user", "x-mesh-tier")
# gRPC-Web too: its filter comes behind the choice of a route.
_GRPC = {"headers": [{"name": "content-type", "string_match": {"prefix": "application/grpc"}}]}
_LOCAL_STATUSES = (400, 401, 403, 404, 405, 408, 413, 415, 426, 429, 431, 500, 501, 502, 503, 504)


def render(config: EdgeConfig, jwks_json: str, descriptors: bytes) -> dict[str, Any]:
    """Return Envoy's bootstrap as JSON-able values.

    `jwks_json` verifies tokens for the rate limiter (RFC 7517); `descriptors` is a serialised `FileDescriptorSet`.
    """
    services = contract.services(descriptors)
    bootstrap: dict[str, Any] = {
        "static_resources": {
            "listeners": [_listener(config, jwks_json, descriptors, services)],
            "clusters": [
                _cluster("auth", config.auth_address, http2=True),
                _cluster("registry", config.registry_address, http2=True),
                _cluster("runner", config.runner_address, http2=True),
                _cluster("payments", config.payments_address, http2=True),
                _cluster("ledger", config.ledger_address, http2=True),
                _cluster("gateway", config.gateway_address, http2=True),
                _cluster("web", config.web_address, http2=False),
            ],
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": config.connections_max,
                    },
                }
            ]
        },
    }
    if config.admin_port:
        bootstrap["admin"] = {"address": _address(f"127.0.0.1:{config.admin_port}")}
    else:  # nobody can read them: save the memory
        bootstrap["stats_config"] = {"stats_matcher": {"reject_all": True}}
    return bootstrap


# -- clusters --------------------------------------------------------------------------------------------------------


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True


def _cluster(name: str, address: str, *, http2: bool) -> dict[str, Any]:
    protocol: dict[str, Any] = {
        "@type": f"{_TYPE}upstreams.http.v3.HttpProtocolOptions",
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
        "type": "STATIC" if _is_ip(address) else "STRICT_DNS",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(address)}}]}],
        },
    }


# -- routes ----------------------------------------------------------------------------------------------------------


def _route(match: Mapping[str, Any], cluster: str, timeout_s: int, idle_s: int = _IDLE_TIMEOUT_S) -> dict[str, Any]:
    route: dict[str, Any] = {
        "match": dict(match),
        "route": {
            "cluster": cluster,
            "timeout": f"{timeout_s}s",
            "idle_timeout": f"{idle_s}s",
            # Only what cannot have reached the service: it restarts in a second or two.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream",
                "num_retries": 4,
                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
            },
        },
    }
    if cluster != "gateway":  # only the gateway may say what the HTTP answer is
        route["response_headers_to_remove"] = ["x-http-code", "x-http-body"]
    return route


def _routes(services: Sequence[contract.Service]) -> Iterator[dict[str, Any]]:
    for service in services:
        if not service.is_dialect:
            continue
        for method in service.methods:
            if method.streams:
                yield _route({"path": method.name, **_GRPC}, "gateway", timeout_s=0)
        yield _route({"prefix": f"/{service.name}/", **_GRPC}, "gateway", _UNARY_TIMEOUT_S, _UNARY_TIMEOUT_S)
    # The ledger's services belong to the payments package, and have a process of their own.
    yield _route({"prefix": "/mesh.payments.v1.Ledger", **_GRPC}, "ledger", timeout_s=0)
    for cluster in ("auth", "registry", "runner", "payments"):
        yield _route({"prefix": f"/mesh.{cluster}.", **_GRPC}, cluster, timeout_s=0)
    # Reflection and health; and an unknown service gets gRPC's own UNIMPLEMENTED.
    yield _route({"prefix": "/", **_GRPC}, "gateway", timeout_s=0)
    yield _route({"prefix": "/"}, "web", timeout_s=60)


def _route_config(services: Sequence[contract.Service], config: EdgeConfig) -> dict[str, Any]:
    base_url = config.public_url or "%REQ(X-FORWARDED-PROTO)%://%REQ(:AUTHORITY)%"
    return {
        "virtual_hosts": [
            {
                "name": "mesh",
                "domains": ["*"],
                "routes": list(_routes(services)),
                "request_headers_to_remove": list(_CLAIM_HEADERS),
                "request_headers_to_add": [
                    {
                        "header": {"key": "x-mesh-base-url", "value": base_url.rstrip("/")},
                        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                    }
                ],
            }
        ]
    }


# -- filters ---------------------------------------------------------------------------------------------------------


def _filter(name: str, **config: Any) -> dict[str, Any]:
    return {"name": name.partition(".")[0], "typed_config": {"@type": f"{_HTTP}{name}", **config}}


def _jwt(jwks_json: str) -> dict[str, Any]:
    """Tells the rate limiter who it is; the services decide, so a bad token passes as no token."""
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": jwks_json},
        "forward": True,
        "from_headers": [{"name": "KODOSUMI_API_KEY"}, {"name": "Authorization", "value_prefix": "Bearer "}],
        "from_cookies": ["kodosumi_jwt"],
        "claim_to_headers": [
            {"header_name": "x-mesh-user", "claim_name": "sub"},
            {"header_name": "x-mesh-tier", "claim_name": "tier"},
        ],
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    either = {"requirements": [{"provider_name": "mesh"}, {"allow_missing_or_failed": {}}]}
    return _filter(
        "jwt_authn.v3.JwtAuthentication",
        providers={"mesh": provider},
        rules=[{"match": {"prefix": "/"}, "requires": {"requires_any": either}}],
    )


def _rate_limit(rps: int) -> dict[str, Any]:
    """A bucket per user, and one per address for callers without a token."""
    bucket = {"max_tokens": rps, "tokens_per_fill": rps, "fill_interval": "1s"}
    everybody = {"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"}
    nobody = {
        "header_value_match": {
            "descriptor_key": "caller",
            "descriptor_value": "nobody",
            "expect_match": False,
            "headers": [{"name": "x-mesh-user", "present_match": True}],
        }
    }
    full = {"default_value": {"numerator": 100}}
    return _filter(
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="rate",
        filter_enabled=full,
        filter_enforced=full,
        token_bucket=everybody,
        max_dynamic_descriptors=10_000,
        rate_limits=[
            {"actions": [{"request_headers": {"header_name": "x-mesh-user", "descriptor_key": "user"}}]},
            {"actions": [nobody, {"remote_address": {}}]},
        ],
        descriptors=[
            {"entries": [{"key": "user"}], "token_bucket": bucket},
            {"entries": [{"key": "caller", "value": "nobody"}, {"key": "remote_address"}], "token_bucket": bucket},
        ],
        response_headers_to_add=[{"header": {"key": "retry-after", "value": "1"}}],
    )


def _transcoder(descriptors: bytes, services: Sequence[str], *, camel: bool) -> dict[str, Any]:
    return _filter(
        "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor_bin=base64.b64encode(descriptors).decode(),
        services=list(services),
        convert_grpc_status=True,
        ignore_unknown_query_parameters=True,
        max_request_body_size=REQUEST_BYTES_MAX,
        max_response_body_size=_RESPONSE_BYTES_MAX,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": not camel,
            "always_print_enums_as_ints": False,
            "stream_newline_delimited": True,
        },
    )


def _filters(
    config: EdgeConfig, jwks_json: str, descriptors: bytes, services: Sequence[contract.Service]
) -> Iterator[dict[str, Any]]:
    script = importlib.resources.files("gateway.edge").joinpath("edge.lua").read_text("utf-8")
    yield _filter("lua.v3.Lua", default_source_code={"inline_string": script})
    yield _jwt(jwks_json)
    if config.rate_limit_rps:
        yield _rate_limit(config.rate_limit_rps)
    yield _filter("grpc_web.v3.GrpcWeb")
    for camel in (False, True):
        names = [service.name for service in services if service.is_dialect and service.camel == camel]
        if names:
            yield {
                **_transcoder(descriptors, names, camel=camel),
                "name": f"transcoder_{'camel' if camel else 'snake'}",
            }
    yield _filter("router.v3.Router")


# -- the listener ----------------------------------------------------------------------------------------------------


def _is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"local_reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": match}}}


def _mappers(dialects: Sequence[Dialect]) -> Iterator[dict[str, Any]]:
    """Envoy's own replies in the shape of the dialect whose path was asked for.

    The first dialect's is for every path that is nobody else's.  gRPC clients keep Envoy's plain text.
    """
    yield {
        "filter": {
            "and_filter": {
                "filters": [
                    _header("content-type", prefix="application/grpc"),
                    # Set on what was transcoded: those clients speak REST.
                    {"header_filter": {"header": {"name": _TRANSCODED, "present_match": True, "invert_match": True}}},
                ]
            }
        },
        "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
    }
    default, *others = dialects
    for dialect in (*[other for other in others if other.prefixes], default):
        paths = [_header("x-mesh-path", prefix=prefix) for prefix in dialect.prefixes]
        where = [{"or_filter": {"filters": paths}}] if len(paths) > 1 else paths
        for status in _LOCAL_STATUSES:
            filters = [*where, _is(status)]
            yield {
                "filter": {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0],
                "body_format_override": _json_format(dialect.envoy_body(status)),
            }


def _json_format(values: Mapping[str, Any]) -> dict[str, Any]:
    formatter = f"{_TYPE}formatter.req_without_query.v3.ReqWithoutQuery"
    return {
        "json_format": dict(values),
        "formatters": [{"name": "req_without_query", "typed_config": {"@type": formatter}}],
    }


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
            "log_format": _json_format(line),
        },
    }


def _listener(
    config: EdgeConfig, jwks_json: str, descriptors: bytes, services: Sequence[contract.Service]
) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPE}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "server_name": "agentmesh",
        "use_remote_address": True,
        "generate_request_id": False,
        "normalize_path": True,
        "stream_error_on_invalid_http_message": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "300s",  # until a route is chosen, which has its own
        "request_headers_timeout": "30s",
        "drain_timeout": "1s",
        "common_http_protocol_options": {"idle_timeout": "600s"},
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "http2_protocol_options": {
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "local_reply_config": {
            "mappers": list(_mappers(DIALECTS)),
            "body_format": _json_format(DIALECTS[0].envoy_body(500)),
        },
        "route_config": _route_config(services, config),
        "http_filters": list(_filters(config, jwks_json, descriptors, services)),
    }
    if config.access_log:
        manager["access_log"] = [_access_log()]
    return {
        "name": "edge",
        "address": _address(f"{config.host}:{config.port}"),
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
