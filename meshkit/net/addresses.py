"""Which addresses the mesh may call on somebody's behalf.

One rule for who saves an endpoint and who calls it.  Here it is asked of what can be read off a URL or an address;
a name may lead anywhere, so whoever calls it asks again for each address that it resolves to (`is_public`).
"""

import asyncio
import concurrent.futures
import functools
import ipaddress
import re
import socket
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence

URL_CHARS_MAX = 2_000
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOCAL_NAMES = ("localhost", "local", "internal", "localdomain", "home.arpa")
"""Names that public DNS does not know, with everything below them: RFC 6761, RFC 6762, RFC 8375, ICANN 2024."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?", re.ASCII)
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
"""The last part of what can only be an address (WHATWG URL, "ends in a number")."""
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.ASCII)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_SHARED = ipaddress.IPv4Network("100.64.0.0/10")
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host.  Raises `OSError` if it has none."""
_RESOLVE_S = 5.0
# Nobody can end a look-up of a name whose servers do not answer: it holds its thread, and none that others need.
_LOOKING_UP = concurrent.futures.ThreadPoolExecutor(128, "look-up")


class Refused(Exception):
    """The mesh does not call this address."""


async def resolved(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    async with asyncio.timeout(_RESOLVE_S):
        infos = await asyncio.get_running_loop().run_in_executor(_LOOKING_UP, ask)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


async def pinned(url: str, host: str, port: int, *, private: bool, resolve: Resolve = resolved) -> str:
    """Return the address that a connection to a URL's host may go to, and no other.

    Raises `Refused` if the mesh does not call it, `OSError` or `TimeoutError` if it has no address.
    """
    if problem := url_problem(url, private=private):
        raise Refused(f"{host} is not called: {problem}")
    found = await resolve(host, port)
    if not found:
        raise OSError(f"{host} has no address")
    if wrong := [address for address in found if not private and not is_public(address)]:
        raise Refused(f"{host} is not called: {wrong[0]} is not a public address")
    return found[0].partition("%")[0]


def url_problem(url: str, *, private: bool = False) -> str:
    """Return why the mesh will not call a URL; empty if nothing in the URL speaks against it.

    It must be absolute, http or https, without user and password.  Unless `private` addresses are allowed, its host
    must not be one, nor a name that means this machine or this network.
    """
    if len(url) > URL_CHARS_MAX:
        return f"at most {URL_CHARS_MAX} characters"
    if any(character <= " " or character == "\x7f" or character == "\\" for character in url):
        return "must have no spaces, control characters or backslashes"
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "must be an absolute URL, such as https://example.com/tool"
    if parts.scheme not in ("http", "https") or not host:
        return "must be an absolute http or https URL, such as https://example.com/tool"
    if "@" in parts.netloc:
        return "must not hold a user or password: give a token instead"
    if port == 0:
        return "port 0 cannot be called"
    return host_problem(host, private=private)


def host_problem(host: str, *, private: bool = False) -> str:
    """Return why the mesh will not call a host, a name or an address; empty if nothing speaks against it."""
    address = literal(host)
    if address is not None:
        return "" if private or is_public(address) else f"{address} is not a public address"
    try:
        name = host.encode("idna").decode().lower() if not host.isascii() else host.lower()
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name) or len(name) > 253 or _NUMBER.fullmatch(name.removesuffix(".").rpartition(".")[2]):
        return f"{host[:80]!r} is not the name or address of a machine"
    bare = name.removesuffix(".")
    if not private and any(bare == local or bare.endswith(f".{local}") for local in _LOCAL_NAMES):
        return f"{bare} is not a public name"
    return ""


def literal(host: str) -> _Address | None:
    """Return the address that a host is, in any form that a resolver takes for one (`2130706433`, `0x7f.1`)."""
    bare = host.strip().removeprefix("[").removesuffix("]").partition("%")[0].lower()
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    if not _NUMBERS.fullmatch(bare):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(bare.removesuffix(".")))
    except (OSError, ValueError):
        return None


def is_public(address: _Address | str) -> bool:
    """Return whether an address is one of the Internet's: not loopback, private, link-local, shared or reserved.

    IPv6 addresses that carry one of IPv4 (mapped, compatible, 6to4, Teredo, NAT64) are as public as that one.
    """
    if isinstance(address, str):
        address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if carried is not None:
            return is_public(carried)
        if address in _NAT64_LOCAL or address in _SITE_LOCAL:
            return False
    elif address in _SHARED:
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
