"""The HTTP filters, outermost first.

Lua (`edge.lua`), the bridge of Connect, JWT, rate limit, gRPC-Web, buffer, checks of our own API, transcoders, Lua
(`connect_errors.lua`), router.
"""

import base64
import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmesh_protos.gateway.v1 import options_pb2

from gateway.config import EdgeConfig
from gateway.edge import cases, clusters, contract, limits, origins, ratelimit
from gateway.edge.front import Front
from meshkit.verifier import ISSUER

CLAIM_HEADERS = (ratelimit.USER_HEADER, ratelimit.TIER_HEADER)
"""What a verified token says, for the rate limiter only: services read the token themselves."""
TRANSCODERS = {False: "transcoder_snake", True: "transcoder_camel"}
"""The transcoder's name, by whether its JSON is camel case."""
BUFFER = "buffer"
"""Holds what a route asks it to, up to `BODY_BYTES_MAX`."""
BRIDGE = "connect_grpc_bridge"
"""Makes gRPC of the binary calls of Connect."""
SINGLE = ("idempotency-key", "last-event-id", "token")
"""Headers of which a request may have one line, beside those of dialects' credentials: two would contradict each other.
Envoy itself joins the lines of some (`authorization`, `content-type`, `origin`), and then they say nothing that holds.
"""
_SCRIPTS = ("origins.lua", "connect.lua", "edge.lua")
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
JWKS_PATH = "/.well-known/jwks.json"
"""Where the gateway shows the keys that verify tokens (RFC 7517)."""
_KEYS_AGAIN_S = 15
"""A new key is there a minute before it signs (`agentmesh keys`)."""
_KEYS_WITHIN_S = 30
"""How long the gateway may take to start."""
CALL_HEADER = "x-mesh-connect"
"""Says of a call of Connect who makes gRPC of it, and whether its message is large (`connect.lua`)."""
HANDED_OVER = "gateway"
"""What that header begins with if the gateway does."""
CHECK = "ext_authz"
"""Asks the gateway about requests to our own API, before a transcoder reads them (`gateway.http.checks`)."""
CHECK_PATH = "/mesh/v1-check"
"""In front of the path that is asked about."""
CHECK_HEADER = "x-mesh-check"
"""Says that it is the edge who asks."""
CHECKED_BYTES_MAX = 1024 * 1024
"""Of a body; what is larger takes the gateway's Python too long, and is not looked at."""
CHECK_S = 5
"""Who does not answer within this has nothing against it: the service reads the request anyhow."""
_RESPONSE_BYTES_MAX = 32 * 1024 * 1024


def filters(
    config: EdgeConfig,
    jwks_json: str,
    descriptors: bytes,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
) -> Iterator[dict[str, Any]]:
    """Yield them in order."""
    yield _filter("lua.v3.Lua", default_source_code={"inline_string": _script(config, services, dialects, prefixes)})
    yield _filter(f"{BRIDGE}.v3.FilterConfig")
    yield _jwt(config, jwks_json, services, dialects)
    if config.rate_limit_rps:
        policy = ratelimit.policy(config, services, dialects, prefixes)
        yield _filter("local_ratelimit.v3.LocalRateLimit", **policy)
    yield _filter("grpc_web.v3.GrpcWeb")
    yield {**_filter(f"{BUFFER}.v3.Buffer", max_request_bytes=limits.BODY_BYTES_MAX), "disabled": True}
    yield {**_check(), "disabled": True}
    bare = contract.without_comments(descriptors)
    for camel, name in TRANSCODERS.items():
        names = [service.name for service in services if service.has_paths and service.camel == camel]
        if names:
            yield {**_transcoder(bare, names, camel=camel), "name": name}
    script = importlib.resources.files("gateway.edge").joinpath("connect_errors.lua").read_text("utf-8")
    yield {**_filter("lua.v3.Lua", default_source_code={"inline_string": script}), "name": "connect_errors"}
    yield _filter("router.v3.Router")


def _filter(name: str, **config: Any) -> dict[str, Any]:
    kind = f"type.googleapis.com/envoy.extensions.filters.http.{name}"
    return {"name": name.partition(".")[0], "typed_config": {"@type": kind, **config}}


def _script(
    config: EdgeConfig,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
) -> str:
    """Return the scripts of the edge with what they are told in front."""
    single = (*SINGLE, *(name for dialect in dialects for name in dialect.credentials.headers))
    caseless = [path for dialect in dialects for path in cases.patterns(dialect, services, prefixes)]
    told = {
        "BODY_BYTES_MAX": limits.REQUEST_BYTES_MAX,
        "SINGLE": list(dict.fromkeys(single)),
        "ENCODINGS": limits.ENCODINGS,
        "CASELESS": caseless,
        **origins.told(config, services, dialects, prefixes),
    }
    files = importlib.resources.files("gateway.edge")
    scripts = [files.joinpath(name).read_text("utf-8") for name in _SCRIPTS]
    return "\n".join((*(f"local {name} = {origins.lua(value)}" for name, value in told.items()), *scripts))


def _jwt(
    config: EdgeConfig, jwks_json: str, services: Sequence[contract.Service], dialects: Sequence[Front]
) -> dict[str, Any]:
    """Tells the rate limiter who it is; the services decide, so a bad token passes as no token.

    Only who sends a body where nobody may without a token, and has none that holds, is refused here: the services would
    be asked when the body has arrived, which may be never.  A token is looked for wherever any dialect has it: to count
    a caller twice harms nobody.
    """
    headers = dict.fromkeys(name for dialect in dialects for name in dialect.credentials.headers)
    cookies = dict.fromkeys(name for dialect in dialects for name in dialect.credentials.cookies)
    places: list[dict[str, Any]] = [{"name": name} for name in headers]
    if any(dialect.credentials.bearer for dialect in dialects):
        places.append({"name": "authorization", "value_prefix": "Bearer "})
    provider = {
        "issuer": ISSUER,
        **_keys(jwks_json),
        "forward": True,
        "from_headers": places,
        "from_cookies": list(cookies),
        "claim_to_headers": [
            {"header_name": ratelimit.USER_HEADER, "claim_name": "sub"},
            {"header_name": ratelimit.TIER_HEADER, "claim_name": "tier"},
        ],
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    either = {"requirements": [{"provider_name": "mesh"}, {"allow_missing_or_failed": {}}]}
    return _filter(
        "jwt_authn.v3.JwtAuthentication",
        providers={"mesh": provider},
        rules=[
            *_refusals(config, services, dialects),
            {"match": {"prefix": "/"}, "requires": {"requires_any": either}},
        ],
    )


def _keys(jwks_json: str) -> dict[str, Any]:
    """Return where the keys are: here, or at the gateway, of whom Envoy asks them again and again.

    It does not listen before it has asked: a token that nobody can verify yet would be taken for none.
    """
    if jwks_json:
        return {"local_jwks": {"inline_string": jwks_json}}
    asked = {"uri": f"http://{clusters.WEB}{JWKS_PATH}", "cluster": clusters.WEB, "timeout": f"{_KEYS_WITHIN_S}s"}
    return {
        "remote_jwks": {
            "http_uri": asked,
            "cache_duration": f"{_KEYS_AGAIN_S}s",
            "async_fetch": {"failed_refetch_duration": "1s"},
            "retry_policy": {
                "num_retries": 10 * _KEYS_WITHIN_S,
                "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.2s"},
            },
        }
    }


def _refusals(
    config: EdgeConfig, services: Sequence[contract.Service], dialects: Sequence[Front]
) -> Iterator[dict[str, Any]]:
    """Yield the rules of requests with a body that need a token: who has none, and who has one that does not hold.

    The latter may send a small body, and is told by the gateway what is wrong with the token.
    """
    free = {options_pb2.ACCESS_UNSPECIFIED, options_pb2.ACCESS_PUBLIC}
    if config.is_open:
        free.add(options_pb2.ACCESS_LOCAL)
    needed: dict[str, list[str]] = {}
    for method in (method for service in services for method in service.methods):
        if method.access not in free:
            for verb, template in method.bindings:
                needed.setdefault(verb, []).append(contract.pattern(template))
    headers = dict.fromkeys(name for dialect in dialects for name in dialect.credentials.headers)
    nothing = [_no(name, present_match=True) for name in (*headers, "authorization", "cookie")]
    some = _no("content-length", string_match={"exact": "0"})
    much = _no("content-length", string_match={"safe_regex": {"regex": "[0-9]{1,4}"}})
    names = [method.name for service in services for method in service.methods if method.access not in free]
    yield {  # the bridge holds a whole message, as a transcoder does
        "match": {
            "safe_regex": {"regex": "|".join(map(re.escape, names))},
            "headers": [{"name": CALL_HEADER, "string_match": {"suffix": "large"}}],
        },
        "requires": {"provider_name": "mesh"},
    }
    for verb in [verb for verb in _WITH_BODY if verb in needed]:
        path = {"safe_regex": {"regex": f"({'|'.join(needed[verb])})/*"}}
        asked = {"name": ":method", "string_match": {"exact": verb}}
        for more in ([some, *nothing], [much]):
            yield {"match": {**path, "headers": [asked, *more]}, "requires": {"provider_name": "mesh"}}


def _no(name: str, **match: Any) -> dict[str, Any]:
    """Match requests whose header, or the lack of it, does not match."""
    missing = {} if "present_match" in match else {"treat_missing_header_as_empty": True}
    return {"name": name, **match, "invert_match": True, **missing}


def _check() -> dict[str, Any]:
    server = {"uri": f"http://{clusters.WEB}", "cluster": clusters.WEB, "timeout": f"{CHECK_S}s"}
    told = {"headers_to_add": [{"key": CHECK_HEADER, "value": "1"}]}
    return _filter(
        f"{CHECK}.v3.ExtAuthz",
        http_service={"server_uri": server, "path_prefix": CHECK_PATH, "authorization_request": told},
        # The limit holds for what a transcoder makes of the body as well; who is asked is a matter of the route.
        with_request_body={"max_request_bytes": limits.REQUEST_BYTES_MAX, "allow_partial_message": True},
        failure_mode_allow=True,
    )


def _transcoder(descriptors: bytes, services: Sequence[str], *, camel: bool) -> dict[str, Any]:
    return _filter(
        "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor_bin=base64.b64encode(descriptors).decode(),
        services=list(services),
        convert_grpc_status=True,
        ignore_unknown_query_parameters=True,
        query_param_unescape_plus=True,
        url_unescape_spec="ALL_CHARACTERS_EXCEPT_SLASH",  # a name of several segments is split at its own slashes
        max_request_body_size=limits.REQUEST_BYTES_MAX,
        max_response_body_size=_RESPONSE_BYTES_MAX,
        print_options={
            "always_print_primitive_fields": True,
            "preserve_proto_field_names": not camel,
            "always_print_enums_as_ints": False,
            "stream_newline_delimited": True,
        },
    )
