"""Envoy's own replies (body too large, bad JSON, rate limit) in the shape of the dialect that was asked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.edge import contract
from gateway.edge import prefixes as paths
from gateway.edge.filters import CALL_HEADER
from gateway.edge.front import Front

_STATUSES = (400, 401, 403, 404, 405, 408, 413, 415, 421, 426, 429, 431, 500, 501, 502, 503, 504)
_TRANSCODED = "x-envoy-original-method"
_CONNECT_CODES = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    405: "unimplemented",
    408: "deadline_exceeded",
    413: "resource_exhausted",
    415: "unimplemented",
    421: "permission_denied",
    426: "failed_precondition",
    429: "resource_exhausted",
    431: "resource_exhausted",
    500: "internal",
    501: "unimplemented",
    502: "unavailable",
    503: "unavailable",
    504: "deadline_exceeded",
}
"""What Envoy says itself, in the words of Connect."""


def local_reply_config(dialects: Sequence[Front], prefixes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return how Envoy words what it says itself; `prefixes` are a dialect's paths by its name."""
    return {
        "mappers": list(_mappers(dialects, prefixes)),
        "body_format": json_format(dialects[0].envoy_body(500), dialects[0].error_type),
    }


def _mappers(dialects: Sequence[Front], prefixes: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """The first dialect's is for every path that is nobody else's.  gRPC clients keep Envoy's plain text.

    A call of Connect is none of gRPC to Envoy here, even when the bridge has made it one.
    """
    is_call = {"header_filter": {"header": {"name": CALL_HEADER, "present_match": True}}}
    for status in _STATUSES:
        body = {"code": _CONNECT_CODES.get(status, "unknown"), "message": "%LOCAL_REPLY_BODY%"}
        yield {
            "filter": {"and_filter": {"filters": [is_call, _is(status)]}},
            "body_format_override": json_format(body),
        }
    yield {
        "filter": {
            "and_filter": {
                "filters": [
                    _header("content-type", safe_regex={"regex": contract.GRPC}),
                    # Set on what was transcoded: those clients speak REST.
                    {"header_filter": {"header": {"name": _TRANSCODED, "present_match": True, "invert_match": True}}},
                ]
            }
        },
        "body_format_override": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
    }
    default, *others = dialects
    for dialect in (*[other for other in others if prefixes[other.name]], default):
        either = "|".join(paths.regex(prefix) for prefix in prefixes[dialect.name])
        # What is no HTTP has not been through `edge.lua`, which keeps the path as it was sent.
        paths_of = [_header(name, safe_regex={"regex": either}) for name in ("x-mesh-path", ":path")]
        where = [{"or_filter": {"filters": paths_of}}] if either else []
        for status in _STATUSES:
            filters = [*where, _is(status)]
            yield {
                "filter": {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0],
                "body_format_override": json_format(dialect.envoy_body(status), dialect.error_type),
            }


def json_format(values: Mapping[str, Any], kind: str = "application/json") -> dict[str, Any]:
    """Return a JSON object in which Envoy's `%COMMAND%`s are filled in."""
    formatter = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery"
    return {
        "json_format": dict(values),
        "content_type": kind,
        "formatters": [{"name": "req_without_query", "typed_config": {"@type": formatter}}],
    }


def _is(status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"local_reply.{status}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


def _header(name: str, **match: Any) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "string_match": match}}}
