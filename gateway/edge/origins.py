"""What `origins.lua` is told: the names the mesh answers to, and which pages may make a browser ask for what."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agentmesh_protos.gateway.v1 import options_pb2

from gateway.config import EdgeConfig
from gateway.edge import contract
from gateway.edge.front import Front

_SAFE = ("GET", "HEAD")
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
        "SHARED": list(_shared(config, dialects, prefixes)),
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
    yield f"[{address.exploded}]"
    yield f"[{':'.join(f'{int(part, 16):x}' for part in address.exploded.split(':'))}]"
    if address.ipv4_mapped:
        yield f"[::ffff:{address.ipv4_mapped}]"


def _shared(
    config: EdgeConfig, dialects: Sequence[Front], prefixes: Mapping[str, Sequence[str]]
) -> Iterator[Mapping[str, Any]]:
    for dialect in dialects:
        origins = dict.fromkeys((origin.lower() for origin in config.origins.get(dialect.name, ())), True)
        near = dialect.local_pages and config.loopback
        if origins or near:
            for prefix in prefixes[dialect.name]:
                yield {"prefix": prefix, "origins": origins, "near": near}


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
