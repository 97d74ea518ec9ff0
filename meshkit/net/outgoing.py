"""Requests to addresses that somebody has named go only where the mesh may call (`meshkit.net.addresses`).

A name is resolved once, each address that it has is checked, and the connection goes to an address that was checked:
what the name resolves to a moment later does not matter.  The name stays in `Host` and in TLS.  Every request passes
here by itself, so redirects do too.

One guard for httpx, which the services have, and for httpx2, which the libraries of models' providers ask for: they
have the same classes by the same names, and whoever calls says which of the two modules it is.
"""

import functools
import http.cookiejar
from types import ModuleType, TracebackType
from typing import Any

from meshkit.net import addresses
from meshkit.net.addresses import Refused, Resolve, resolved

_CONNECT_S_MAX = 10.0


@functools.cache
def _refused(library: ModuleType) -> type[Refused]:
    """Return the error for what is not called: the rule's own, and one of the library's for who knows only those."""
    return type("Refused", (Refused, library.RequestError), {})


class Guard:
    """A transport of either library: checks where each request goes, and pins it there."""

    def __init__(self, library: ModuleType, *, private: bool, resolve: Resolve = resolved) -> None:
        """`private` lets requests go to addresses that are not the Internet's."""
        self._library = library
        self._private = private
        self._resolve = resolve
        self._inner: Any = None
        """There from the first request on: certificates and what reads them take megabytes, and few meshes call out."""

    async def __aenter__(self) -> "Guard":
        """Nothing is open yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close what is open."""
        await self.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request.  Raises `addresses.Refused`, and the library's `HTTPError`."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            address = await addresses.pinned(str(url), url.host, port, private=self._private, resolve=self._resolve)
        except Refused as error:
            raise _refused(self._library)(str(error)) from None
        except (OSError, TimeoutError) as error:
            raise self._library.ConnectError(f"{url.host} cannot be resolved", request=request) from error
        sent = self._library.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        if self._inner is None:
            # It knows addresses only: a connection whose certificate was looked at for one name serves no other; nor
            # does somebody's slow address keep the connections from everybody.
            limits = self._library.Limits(max_connections=None, max_keepalive_connections=0)
            self._inner = self._library.AsyncHTTPTransport(trust_env=False, limits=limits)
        return await self._inner.handle_async_request(sent)

    async def aclose(self) -> None:
        """Close what is open."""
        if self._inner is not None:
            await self._inner.aclose()


def client(library: ModuleType, *, private: bool, timeout_s: float, **options: Any) -> Any:
    """Return the library's `AsyncClient`, all of whose requests are guarded, and that keeps no cookie; close it.

    It follows no redirect unless `options`, which are the library's own, say otherwise.
    """
    no_cookies = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return library.AsyncClient(
        transport=Guard(library, private=private),
        timeout=library.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S_MAX)),
        trust_env=False,
        cookies=no_cookies,
        **{"follow_redirects": False, **options},
    )
