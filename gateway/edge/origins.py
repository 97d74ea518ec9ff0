"""What `origins.lua` is told: the names the mesh answers to, and which pages may make a browser ask for what."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agentmesh_protos.gateway.v1 import options_pb2

from gateway.config import EVERY_DIALECT, EdgeConfig
from gateway.edge import contract
from gateway.edge import prefixes as paths
from gateway.edge.front import Front

_SAFE = ("GET", "HEAD")
_APPS = "/-"
"""Below it is what apps serve."""
_FOR_ALL = (
    *("/health", "/openapi"),
    *(f"/grpc.{name}" for name in ("health.v1.Health", "reflection.v1.ServerReflection")),
    "/grpc.reflection.v1alpha.ServerReflection",
)
"""What is no dialect's, and needs no token: shared with pages that all dialects are shared with."""
_SENT = (
    *("accept", "authorization", "content-type", "idempotency-key", "last-event-id", "prefer", "range", "x-request-id"),
    *("traceparent", "tracestate", "x-grpc-web", "x-user-agent", "grpc-timeout"),
    *("connect-protocol-version", "connect-timeout-ms", "connect-content-encoding", "connect-accept-encoding"),
    "content-encoding",
)
"""Headers that scripts of other sites may send, beside those of tokens."""
_READ = (
    *("accept-ranges", "content-disposition", "content-range", "etag", "location"),
    *("grpc-message", "grpc-status", "grpc-status-details-bin"),
    *("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "www-authenticate", "x-agent-id"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id"),
    *("connect-content-encoding",),
)
"""Headers of answers that they may read."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1")


def told(
    config: EdgeConfig,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the script's lists by name; `prefixes` are a dialect's paths by its name."""
    public = urlsplit(config.public_url.lower())
    tokens = dict.fromkeys(name for dialect in dialects for name in dialect.credentials.headers)
    cookies = (name for dialect in dialects for name in (*dialect.credentials.cookies, *dialect.own_cookies))
    return {
        "HOSTS": dict.fromkeys(names(config), True),
        "ANY_ADDRESS": ipaddress.ip_address(config.host).is_unspecified,
        "PUBLIC": f"{public.scheme}://{public.netloc}" if public.netloc else "",
        "PUBLIC_HOST": _name(public.netloc) if public.scheme == "https" else "",
        "TOKENS": list(tokens),
        "COOKIES": dict.fromkeys(cookies, True),
        "SHARED": list(_shared(config, services, dialects, prefixes)),
        "MAY_SEND": ", ".join(dict.fromkeys((*_SENT, *(name.lower() for name in tokens)))),
        "MAY_READ": ", ".join(_READ),
        "ACTS": list(_acts(services)),
    }


def names(config: EdgeConfig) -> list[str]:
    """Return the names that the mesh answers to, without ports; addresses of IPv6 in brackets."""
    given = [*_LOOPBACK, config.host, _name(urlsplit(config.public_url).netloc)]
    given += [_name(text) for text in config.allowed_hosts.split(",")]
    return sorted({spelling for text in given for spelling in _spellings(text)})


def lua(value: Any) -> str:
    """Return a JSON-able value as an expression of Lua."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'[{lua(key)}] = {lua(item)}' for key, item in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"{{ {', '.join(map(lua, value))} }}"
    return json.dumps(value)


def _name(authority: str) -> str:
    """Return a host without its port, brackets and the dot of the root."""
    text = authority.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    # More than one colon is an address without brackets, which can have no port.
    return text.partition(":")[0].rstrip(".") if text.count(":") == 1 else text.rstrip(".")


def _spellings(name: str) -> Iterator[str]:
    """Yield how clients write a name or address in a Host header."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if name:
            yield name
        return
    if address.is_unspecified:
        return  # nobody is there
    if isinstance(address, ipaddress.IPv4Address):
        yield str(address)
        return
    yield f"[{address.compressed}]"
    # From its numbers, since Python 3.13 on `exploded` ends with a dotted address if there is one in it.
    parts = [int.from_bytes(address.packed[at : at + 2]) for at in range(0, len(address.packed), 2)]
    yield f"[{':'.join(f'{part:04x}' for part in parts)}]"
    yield f"[{':'.join(f'{part:x}' for part in parts)}]"
    if address.ipv4_mapped:
        yield f"[::ffff:{parts[-2]:x}:{parts[-1]:x}]"
        yield f"[::ffff:{address.ipv4_mapped}]"


def check(config: EdgeConfig, dialects: Sequence[Front]) -> None:
    """Raise `ValueError` if the setting of shared paths names a dialect that there is not."""
    known = [dialect.name for dialect in dialects]
    for name in config.origins:
        if name not in (EVERY_DIALECT, *known):
            raise ValueError(f"AGENTMESH_ORIGINS: there is no API {name!r} here, but {', '.join(known)}")


def _shared(
    config: EdgeConfig,
    services: Sequence[contract.Service],
    dialects: Sequence[Front],
    prefixes: Mapping[str, Sequence[str]],
) -> Iterator[Mapping[str, Any]]:
    """Yield what is shared with whom: the REST paths of a dialect and its gRPC services, which browsers reach, too.

    Not what apps serve themselves, whose answers say so or not.
    """
    for dialect in dialects:
        named = [*config.origins.get(EVERY_DIALECT, ()), *config.origins.get(dialect.name, ())]
        near = dialect.local_pages and config.loopback
        if named or near:
            passages = (prefix.rstrip("/") for prefix in dialect.passage_prefixes)
            rest = {*(prefixes[dialect.name] or paths.literal(dialect, services)), *passages}
            grpc = [f"/{service.name}" for service in services if service.dialect == dialect.name]
            own = [*sorted(rest - {_APPS}), *grpc]
            yield {"prefixes": own, "near": near, **_pages(named)}
    if everywhere := config.origins.get(EVERY_DIALECT):
        yield {"prefixes": _FOR_ALL, "near": False, **_pages(everywhere)}


def _pages(named: Sequence[str]) -> Mapping[str, Any]:
    """Return origins as `origins.lua` looks at them: by name, and by what is around a wildcard."""
    below = [origin.split("*") for origin in named if "*" in origin]
    return {
        "origins": dict.fromkeys((origin for origin in named if "*" not in origin), True),
        "below": [{"scheme": scheme, "suffix": suffix} for scheme, suffix in below],
    }


def _acts(services: Sequence[contract.Service]) -> Iterator[Mapping[str, Any]]:
    """Yield what acts by a GET: `no` page of another site may ask for a sign-in, and only those of this site for what
    takes the cookie of who is signed in, which is their own to end.
    """
    for method in (method for service in services for method in service.methods if method.acts):
        guard = "no" if method.access == options_pb2.ACCESS_PUBLIC else "far"
        for verb, template in method.bindings:
            if verb in _SAFE:
                segments = template.removeprefix("/").split("/")
                yield {"path": ["*" if part.startswith("{") else part for part in segments], "guard": guard}
