"""`GET /metrics`: what each process of the mesh has counted, and Envoy's statistics; for operators."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator

import grpc
import httpx
import structlog
from agentmesh_protos.gateway.v1 import options_pb2
from agentmesh_protos.telemetry.v1 import telemetry_pb2, telemetry_pb2_grpc

from gateway.config import Config
from meshkit import client, telemetry
from meshkit.access import check_access, user_of
from meshkit.errors import NotFound
from meshkit.identity import ServiceIdentity
from meshkit.verifier import TokenVerifier

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DEADLINE_S = 5.0
_SERVICES = ("auth", "registry", "runner", "payments", "ledger")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?( .+)")
_UP = "agentmesh_up"
log = structlog.get_logger()


class Metrics:
    """Asks the services.  Use `connected` around calls of `read`."""

    def __init__(self, config: Config, verifier: TokenVerifier) -> None:
        self._config = config
        self._verifier = verifier
        self._stubs: dict[tuple[str, str], telemetry_pb2_grpc.TelemetryServiceStub] = {}

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Keep a channel to each replica of each service for the length of the block."""
        who = ServiceIdentity(self._config.secret, "gateway")
        async with contextlib.AsyncExitStack() as stack:
            for service in _SERVICES if self._config.metrics == "on" else ():
                for number, peer in enumerate(self._config.peer(service).replicas, 1):
                    channel = await stack.enter_async_context(client.connect(peer, who))
                    self._stubs[service, str(number)] = telemetry_pb2_grpc.TelemetryServiceStub(channel)
            yield

    async def read(self, authorization: str) -> str:
        """Return all of it.  Raises `Unauthenticated` and `Denied` for who is no operator, `NotFound` if it is off."""
        scheme, _, token = authorization.partition(" ")
        principal = await user_of(token.strip() if scheme.lower() == "bearer" else "", self._verifier, optional=False)
        check_access(principal, options_pb2.ACCESS_OPERATOR)
        to = telemetry.active()
        if self._config.metrics != "on" or to is None:
            raise NotFound("metrics are off: AGENTMESH_METRICS=on switches them on")
        ours = ("gateway", str(self._config.replica))
        found = await asyncio.gather(*map(self._ask, self._stubs), self._envoy())
        texts = {**dict(zip(self._stubs, found, strict=False)), ("edge", ours[1]): found[-1]}
        texts[ours] = await asyncio.to_thread(to.exposition)
        return await asyncio.to_thread(joined, texts.items())

    async def _ask(self, of: tuple[str, str]) -> str:
        try:
            answer = await self._stubs[of].GetMetrics(telemetry_pb2.GetMetricsRequest(), timeout=_DEADLINE_S)
        except grpc.aio.AioRpcError as error:  # Prometheus sees that `up` of it is 0
            log.debug("no metrics", of=of[0], code=error.code().name)
            return ""
        return str(answer.exposition)

    async def _envoy(self) -> str:
        """Return Envoy's statistics, if it is on this machine."""
        socket = self._config.statistics
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=_DEADLINE_S) as envoy:
                return (await envoy.get("/stats/prometheus", params={"usedonly": ""})).text
        except httpx.HTTPError as error:
            log.debug("no statistics of Envoy", why=str(error))
            return ""


def joined(texts: Iterable[tuple[tuple[str, str], str]]) -> str:
    """Return expositions of several processes as one: every sample says whose it is, and families stand together."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for (service, replica), text in texts:
        said = f'service="{service}",replica="{replica}"'
        up = f"# HELP {_UP} Whether a process answers.\n# TYPE {_UP} gauge\n{_UP} {int(bool(text))}\n"
        for name, head, samples in _families(up + text):
            kept = families.setdefault(name, (head, []))
            kept[1].extend(_labelled(sample, said) for sample in samples)
    return "".join(f"{line}\n" for head, samples in families.values() for line in (*head, *samples))


def _families(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the name, the comments and the samples of each family."""
    name, head, samples = "", list[str](), list[str]()
    for line in text.splitlines():
        if line.startswith("# "):
            words = line.split(" ", 3)
            if words[2:3] != [name]:
                if name:
                    yield name, head, samples
                name, head, samples = words[2], [], []
            head.append(line)
        elif line:
            samples.append(line)
    if name:
        yield name, head, samples


def _labelled(sample: str, said: str) -> str:
    found = _SAMPLE.fullmatch(sample)
    if found is None:
        return f"# {sample}"
    labels = f"{said},{found[2]}" if found[2] else said
    return f"{found[1]}{{{labels}}}{found[3]}"
