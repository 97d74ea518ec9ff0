"""The guard, of each library: where requests go, whatever a name, a redirect or a resolver says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from meshkit.net import outgoing
from meshkit.net.addresses import Refused
from meshkit.net.outgoing import Guard
from tests.engine.providers import Provider, provider


@pytest.fixture(params=[httpx, httpx2], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """The services' and the engine's."""
    found: ModuleType = request.param
    return found


def resolver(*answers: Sequence[str]) -> tuple[list[str], object]:
    """Return what was asked, and a resolver that gives one answer after the other."""
    asked: list[str] = []
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    return asked, resolve


@contextlib.asynccontextmanager
async def client(library: ModuleType, *, private: bool, **resolve: Any) -> AsyncIterator[Any]:
    """Return a guarded client."""
    guard = Guard(library, private=private, **resolve)
    async with library.AsyncClient(transport=guard, trust_env=False, follow_redirects=True) as made:
        yield made


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        "ftp://example.com/",
        "http://user:secret@example.com/",
    ],
)
async def test_addresses_that_are_not_the_internets_are_refused(library: ModuleType, url: str) -> None:
    """Literal addresses in any spelling, and names that mean this machine; for the library, too, a request failed."""
    async with client(library, private=False) as http:
        with pytest.raises(library.RequestError) as caught:
            await http.get(url)

    assert isinstance(caught.value, (Refused, library.UnsupportedProtocol))


async def test_a_name_is_refused_if_any_of_its_addresses_is_private(library: ModuleType) -> None:
    """A public address beside a private one does not help."""
    _, resolve = resolver(["93.184.216.34", "10.0.0.1"])
    async with client(library, private=False, resolve=resolve) as http:
        with pytest.raises(Refused, match="10\\.0\\.0\\.1"):
            await http.get("http://both.example/")


async def test_the_connection_goes_to_the_address_that_was_checked(library: ModuleType) -> None:
    """A name is resolved once for a request, and stays in `Host`: what it means a moment later is not asked."""
    async with provider() as models:
        asked, resolve = resolver(["127.0.0.1"], ["10.255.255.1"])
        async with client(library, private=True, resolve=resolve) as http:
            answer = await http.post(f"http://rebound.example:{models.port}/tool", json={})

    assert 200 == answer.status_code
    assert ["rebound.example"] == asked


async def test_a_redirect_is_a_request_like_any_other(library: ModuleType) -> None:
    """Where a redirect leads is checked as well."""
    async with provider() as models:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if host == "first.example" else ["169.254.169.254"]

        # The first step must be reachable here: the rule is asked with the second host's addresses.
        guard = _FirstIsFree(library, models, resolve)
        async with library.AsyncClient(transport=guard, trust_env=False, follow_redirects=True) as http:
            with pytest.raises(Refused, match="169\\.254\\.169\\.254"):
                await http.post(f"http://first.example:{models.port}/moved?to=http://second.example/", json={})

    assert ["first.example", "second.example"] == asked


async def test_no_connection_and_no_cookie_is_kept(library: ModuleType) -> None:
    """Each request has its address looked at, and tells nothing of the one before; no redirect is followed unasked."""
    heads: list[str] = []
    ended = asyncio.Semaphore(0)
    cookie = b"HTTP/1.1 302 Found\r\nset-cookie: s=1; path=/\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(cookie)  # and the connection stays as it is, for whoever wants to use it again
        await reader.read()
        writer.close()
        ended.release()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, outgoing.client(library, private=True, timeout_s=30) as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        statuses = [(await http.get(url)).status_code for _ in range(2)]
        async with asyncio.timeout(30):
            _ = [await ended.acquire() for _ in range(2)]

    assert [302, 302] == statuses
    assert 2 == len(heads)
    assert not any("cookie" in head.lower() for head in heads)


class _FirstIsFree:
    """Two guards: one for the test's own server, the strict one for all else."""

    def __init__(self, library: ModuleType, models: Provider, resolve: Any) -> None:
        self._free = Guard(library, private=True, resolve=resolve)
        self._strict = Guard(library, private=False, resolve=resolve)

    async def __aenter__(self) -> "_FirstIsFree":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._free.aclose()
        await self._strict.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Send it the way of its host."""
        guard = self._free if request.url.host == "first.example" else self._strict
        return await guard.handle_async_request(request)
