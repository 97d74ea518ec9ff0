"""The gateway behind a real Envoy, with the real services, for the length of a block."""

import asyncio
import asyncio.subprocess
import contextlib
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from gateway import app as gateway_app
from gateway.config import EdgeConfig
from gateway.dialects import DIALECTS
from gateway.edge import contract, envoy
from gateway.edge.bootstrap import render
from gateway.http.dialect import Dialect
from meshkit import client
from meshkit.net import whence
from services.auth import app as auth_app
from services.auth.config import Config as AuthConfig
from services.ledger import app as ledger_app
from services.ledger.config import Config as LedgerConfig
from services.payments import app as payments_app
from services.payments.config import Config as PaymentsConfig
from services.registry import app as registry_app
from services.registry.config import Config as RegistryConfig
from services.runner import app as runner_app
from services.runner.config import Config as RunnerConfig
from tests.conformance.reference import Checked
from tests.ports import free_port

DEADLINE_S = 60.0
LEDGER_TOKEN = "dev"
"""Of the buyer and seller that the ledger has for developers."""
RAW = {"name": "raw", "bootstrap": "import_path: tests.gateway.raw_app:app"}
"""The expose of `raw_app.py`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Edge:
    """A running mesh, seen from outside."""

    config: EdgeConfig
    jwks_json: str
    http: httpx.AsyncClient
    """Sends no credentials of its own."""
    operator: dict[str, str]
    """Headers of the operator."""

    @property
    def address(self) -> str:
        """`host:port` of Envoy."""
        return f"{self.config.host}:{self.config.port}"

    async def sign_in(self, name: str, password: str) -> dict[str, str]:
        """Return the headers of somebody's requests."""
        return await sign_in(self.http, name, password)

    async def new_user(self, name: str) -> dict[str, str]:
        """Add an ordinary user; return the headers of their requests."""
        role = {"name": name, "email": f"{name}@example.com", "password": "secret-secret"}
        response = await self.http.post("/role", json=role, headers=self.operator)
        assert response.status_code == 201, response.text
        return await self.sign_in(name, "secret-secret")


class Panel:
    """An operator's client."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.http = edge.http

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as the operator."""
        headers = {**self.edge.operator, **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def save(self, **expose: Any) -> httpx.Response:
        """POST /expose."""
        return await self.call("POST", "/expose/", json=expose)

    async def launched_until_heard(self, target: str) -> list[str]:
        """Launch what was switched off until the runner, which follows the registry by a stream, has heard of that.

        Return the ids of the jobs that were born meanwhile.
        """
        body: dict[str, Any] = {"target": target, "inputs": {}}
        born = []
        async with asyncio.timeout(DEADLINE_S):
            while (answer := await self.call("POST", "/mesh/v1/jobs", json=body)).is_success:
                born.append(answer.json()["name"].removeprefix("jobs/"))
        assert answer.status_code == 404, answer.text
        return born


async def until_healthy(http: httpx.AsyncClient) -> httpx.Response:
    """Ask how the mesh is until all is well: a service that a busy machine holds up for seconds is said to be away."""
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await http.get("/health/")).status_code != 200:
            pass
    return answer


async def sign_in(http: httpx.AsyncClient, name: str, password: str) -> dict[str, str]:
    """Return the headers of somebody's requests.  The cookie is not kept: a test says who calls."""
    response = await http.post("/api/login", json={"name": name, "password": password})
    assert response.status_code == 200, response.text
    http.cookies.clear()
    return {"KODOSUMI_API_KEY": response.json()["KODOSUMI_API_KEY"]}


@contextlib.asynccontextmanager
async def enveloped(
    config: EdgeConfig,
    jwks_json: str,
    folder: pathlib.Path,
    dialects: Sequence[Dialect] = DIALECTS,
    alter: Callable[[dict[str, Any]], None] = lambda bootstrap: None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Run Envoy in front of a gateway for the length of the block; yield a client of it.

    `alter` may change its bootstrap first.
    """
    path = folder / f"bootstrap-{config.port}.json"
    bootstrap = render(config, jwks_json, contract.descriptors(), dialects, whence.mark(config.secret))
    alter(bootstrap)
    envoy.write_private(path, json.dumps(bootstrap))
    process = await asyncio.create_subprocess_exec(
        *envoy.command(config, path, log_level="info"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        await asyncio.wait_for(_started(process.stderr), DEADLINE_S)
        drain = asyncio.create_task(process.stderr.read())  # or the pipe fills up
        base = f"http://127.0.0.1:{config.port}"
        async with httpx.AsyncClient(base_url=base, timeout=DEADLINE_S, transport=Checked()) as client:
            yield client
        process.terminate()
        await drain
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _started(stderr: asyncio.StreamReader) -> None:
    log = b""
    while b"starting workers" not in log:  # where replicas are watched, that is after a first look at them
        line = await stderr.readline()
        assert line, f"Envoy ended: {log.decode()[-2000:]}"
        log += line


async def _reach(config: EdgeConfig) -> None:
    """Wait for connections to every service.

    All who talk from this process share them, and the first who wanted one may have done so before there was anybody:
    who writes within the second until it is tried again is told that nobody is there.
    """
    for name in ("auth", "ledger", "payments", "registry", "runner"):
        async with client.channel(config.peer(name), client.options()) as opened, asyncio.timeout(DEADLINE_S):
            await opened.channel_ready()


@contextlib.asynccontextmanager
async def edge(data_dir: pathlib.Path, **overrides: Any) -> AsyncIterator[Edge]:
    """Run everything in this process, but Envoy and the hosts."""
    async with contextlib.AsyncExitStack() as stack:
        run = stack.enter_async_context
        (data_dir / "ledger.token").write_text(LEDGER_TOKEN)  # what is there is taken
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="am-"))  # the folders of tests have long paths
        common: dict[str, Any] = {"data_dir": data_dir, "sockets_dir": sockets, "grace_s": 0.0}
        await run(auth_app.running(AuthConfig(**common)))
        chain: dict[str, Any] = {"ledger_worker_delay_s": 0.05, "ledger_confirm_delay_s": 0.1}
        await run(ledger_app.running(LedgerConfig(**chain, **common)))
        await run(payments_app.running(PaymentsConfig(**common)))
        await run(runner_app.running(RunnerConfig(**common)))
        await run(registry_app.running(RegistryConfig(**common)))
        config = EdgeConfig(port=free_port(), **common, **overrides)
        await run(gateway_app.running(config))
        await _reach(config)
        jwks_json = await envoy.fetch_jwks(config.peer("auth"), DEADLINE_S)
        http = await run(enveloped(config, jwks_json, data_dir))
        yield Edge(config, jwks_json, http, await sign_in(http, "admin", "admin"))
