"""Requests go only where the mesh may call: the rule of `meshkit.addresses`, asked at the last moment.

A name is resolved once, each address that it has is checked, and the connection goes to an address that was checked:
what the name resolves to a moment later does not matter.  The name stays in `Host` and in TLS.  Every request passes
here by itself, so redirects do too.
"""

from typing import Any

import httpx2

from meshkit import addresses
from meshkit.addresses import Resolve, resolved


class Refused(httpx2.RequestError):
    """The mesh does not call this address."""


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
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            address = await addresses.pinned(str(url), url.host, port, private=self._private, resolve=self._resolve)
        except addresses.Refused as error:
            raise Refused(str(error), request=request) from error
        except (OSError, TimeoutError) as error:
            raise httpx2.ConnectError(f"{url.host} cannot be resolved", request=request) from error
        pinned = httpx2.Request(
            request.method,
            url.copy_with(host=address),
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
