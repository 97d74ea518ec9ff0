"""The guard: where requests go, whatever a name, a redirect or a resolver says."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx2
import pytest

from agentmesh.engine.guard import Guard, Refused
from tests.engine.providers import Provider, provider


def resolver(*answers: Sequence[str]) -> tuple[list[str], object]:
    """Return what was asked, and a resolver that gives one answer after the other."""
    asked: list[str] = []
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return left.pop(0) if len(left) > 1 else left[0]

    return asked, resolve


@contextlib.asynccontextmanager
async def client(*, private: bool, resolve: object = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Return a guarded client."""
    guard = Guard(private=private) if resolve is None else Guard(private=private, resolve=resolve)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=guard, trust_env=False, follow_redirects=True) as made:
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
async def test_addresses_that_are_not_the_internets_are_refused(url: str) -> None:
    """Literal addresses in any spelling, and names that mean this machine, are not called."""
    async with client(private=False) as http:
        with pytest.raises((Refused, httpx2.UnsupportedProtocol)):
            await http.get(url)


async def test_a_name_is_refused_if_any_of_its_addresses_is_private() -> None:
    """A public address beside a private one does not help."""
    _, resolve = resolver(["93.184.216.34", "10.0.0.1"])
    async with client(private=False, resolve=resolve) as http:
        with pytest.raises(Refused, match="10\\.0\\.0\\.1"):
            await http.get("http://both.example/")


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """A name is resolved once for a request, and stays in `Host`: what it means a moment later is not asked."""
    async with provider() as models:
        asked, resolve = resolver(["127.0.0.1"], ["10.255.255.1"])
        async with client(private=True, resolve=resolve) as http:
            answer = await http.post(f"http://rebound.example:{models.port}/tool", json={})

    assert 200 == answer.status_code
    assert ["rebound.example"] == asked


async def test_a_redirect_is_a_request_like_any_other() -> None:
    """Where a redirect leads is checked as well."""
    async with provider() as models:
        asked: list[str] = []

        async def resolve(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if host == "first.example" else ["169.254.169.254"]

        # The first step must be reachable here: the rule is asked with the second host's addresses.
        guard = _FirstIsFree(models, resolve)
        async with httpx2.AsyncClient(transport=guard, trust_env=False, follow_redirects=True) as http:
            with pytest.raises(Refused, match="169\\.254\\.169\\.254"):
                await http.post(f"http://first.example:{models.port}/moved?to=http://second.example/", json={})

    assert ["first.example", "second.example"] == asked


class _FirstIsFree(httpx2.AsyncBaseTransport):
    """Two guards: one for the test's own server, the strict one for all else."""

    def __init__(self, models: Provider, resolve: object) -> None:
        self._free = Guard(private=True, resolve=resolve)  # type: ignore[arg-type]
        self._strict = Guard(private=False, resolve=resolve)  # type: ignore[arg-type]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it the way of its host."""
        guard = self._free if request.url.host == "first.example" else self._strict
        return await guard.handle_async_request(request)

    async def aclose(self) -> None:
        """Close both."""
        await self._free.aclose()
        await self._strict.aclose()
