"""Requests to addresses that somebody has named go only where the mesh may call (`meshkit.addresses`).

A name is resolved once, each address that it has is checked, and the connection goes to an address that was checked:
what the name resolves to a moment later does not matter.  The name stays in `Host` and in TLS.
"""

import http.cookiejar
from typing import Any

import httpx

from meshkit import addresses
from meshkit.addresses import Resolve, resolved


class Guard(httpx.AsyncBaseTransport):
    """Checks where each request goes, and pins it there."""

    def __init__(self, *, private: bool, resolve: Resolve = resolved) -> None:
        """`private` lets requests go to addresses that are not the Internet's."""
        self._private = private
        self._resolve = resolve
        self._inner: httpx.AsyncHTTPTransport | None = None
        """There from the first request on: certificates and what reads them take megabytes, and few meshes call out."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.  Raises `addresses.Refused`, and `httpx.HTTPError`."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            address = await addresses.pinned(str(url), url.host, port, private=self._private, resolve=self._resolve)
        except (OSError, TimeoutError) as error:
            raise httpx.ConnectError(f"{url.host} cannot be resolved", request=request) from error
        sent = httpx.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        if self._inner is None:
            # It knows addresses only: a connection whose certificate was looked at for one name serves no other; nor
            # does somebody's slow address keep the connections from everybody.
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            self._inner = httpx.AsyncHTTPTransport(trust_env=False, limits=limits)
        return await self._inner.handle_async_request(sent)

    async def aclose(self) -> None:
        """Close what is open."""
        if self._inner is not None:
            await self._inner.aclose()


def client(*, private: bool, timeout_s: float, **options: Any) -> httpx.AsyncClient:
    """Return a client all of whose requests are guarded, and that follows no redirect and keeps no cookie; close it."""
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0))
    return httpx.AsyncClient(
        transport=Guard(private=private),
        timeout=timeout,
        trust_env=False,
        follow_redirects=False,
        cookies=no_cookies,
        **options,
    )
