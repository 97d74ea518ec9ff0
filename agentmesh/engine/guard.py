"""Requests go only where the mesh may call: the rule of `meshkit.addresses`, asked at the last moment.

A name is resolved once, each address that it has is checked, and the connection goes to an address that was checked:
what the name resolves to a moment later does not matter.  The name stays in `Host` and in TLS.  Every request passes
here by itself, so redirects do too.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2

from meshkit import addresses

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host.  Raises `OSError` if it has none."""
_RESOLVE_S = 5.0


class Refused(httpx2.RequestError):
    """The mesh does not call this address."""


async def resolved(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    async with asyncio.timeout(_RESOLVE_S):
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


class Guard(httpx2.AsyncBaseTransport):
    """Checks where each request goes, and pins it there."""

    def __init__(self, *, private: bool, resolve: Resolve = resolved) -> None:
        """`private` lets requests go to addresses that are not the Internet's."""
        self._private = private
        self._resolve = resolve
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, or raise `Refused`."""
        url = request.url
        if problem := addresses.url_problem(str(url), private=self._private):
            raise Refused(f"{url.host} is not called: {problem}", request=request)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await self._resolve(url.host, port)
        except (OSError, TimeoutError) as error:
            raise httpx2.ConnectError(f"{url.host} cannot be resolved", request=request) from error
        if not found:
            raise httpx2.ConnectError(f"{url.host} has no address", request=request)
        wrong = [] if self._private else [address for address in found if not addresses.is_public(address)]
        if wrong:
            raise Refused(f"{url.host} is not called: {wrong[0]} is not a public address", request=request)
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=found[0].partition("%")[0]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._inner.aclose()


def client(*, private: bool, timeout_s: float, **options: Any) -> httpx2.AsyncClient:
    """Return a client all of whose requests are guarded; close it."""
    timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, 10.0))
    return httpx2.AsyncClient(transport=Guard(private=private), timeout=timeout, trust_env=False, **options)
