"""The frame every service shares: what it reads from the environment, and how it follows the auth service."""

import asyncio
import contextlib
import errno
import os
import pathlib
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import grpc
import pydantic
import structlog
from agentmesh_protos.auth.v1 import auth_pb2, auth_pb2_grpc
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from meshkit import client, clock, databases, identity, secrets, telemetry
from meshkit.access import Auth, Finder
from meshkit.clock import seconds_of
from meshkit.errors import from_rpc
from meshkit.interceptors.deadlines import unbound
from meshkit.net import endpoints, tls
from meshkit.net.hosts import host_in, is_loopback
from meshkit.redis import link
from meshkit.secrets import handed
from meshkit.tasks import Tasks, background
from meshkit.verifier import MESH, Credentials, Revocations, TokenVerifier

log = structlog.get_logger()
_HEAR_S = 2.0
_RECONNECT_S = 0.1
_COLLECTOR = re.compile(r"https?://([^/?#@\s:\[\]]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}/?")


def _checked(address: str) -> str:
    endpoints.parse(address)
    return address


def _all_checked(addresses: str) -> str:
    endpoints.parse_all(addresses)
    return addresses


Address = Annotated[str, pydantic.AfterValidator(_checked)]
"""`unix:PATH` or `HOST:PORT`."""

Addresses = Annotated[str, pydantic.AfterValidator(_all_checked)]
"""The same, or several with commas: one for each replica, of which the one with the number N listens at the N-th."""


def socket_of(service: str) -> Any:
    """Return the default of a setting: the service's own socket in `sockets_dir`."""
    return pydantic.Field(default_factory=lambda data: endpoints.unix(_folder(data, "sockets_dir") / f"{service}.sock"))


def _folder(data: dict[str, Any], name: str) -> pathlib.Path:
    return pathlib.Path(data.get(name, ""))  # it is not there if it could not be read


class _Environment(EnvSettingsSource):
    """The environment; what should be JSON and is not goes on as it is, and is refused by the name of its setting."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        with contextlib.suppress(ValueError):
            return super().decode_complex_value(field_name, field, value)
        return value


class Settings(BaseSettings):
    """What all services share.  Every field has a default that works on a laptop; the prefix is `AGENTMESH_`."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_", frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments count first, then the environment; there is nothing else."""
        return init_settings, _Environment(settings_cls)

    data_dir: pathlib.Path = pathlib.Path("data")
    """Where keys and files are kept, and state unless `database_url` says otherwise."""

    sockets_dir: pathlib.Path = pydantic.Field(default_factory=lambda data: _folder(data, "data_dir") / "sockets")
    """The folder of the unix sockets of services that have no other address; nobody else may write to it."""

    auth_address: Addresses = socket_of("auth")
    """Where the auth service listens: `unix:PATH` or `HOST:PORT`."""

    registry_address: Addresses = socket_of("registry")
    """Where the registry listens."""

    runner_address: Addresses = socket_of("runner")
    """Where the runner listens."""

    payments_address: Addresses = socket_of("payments")
    """Where the payments service listens."""

    ledger_address: Addresses = socket_of("ledger")
    """Where the embedded ledger listens."""

    tls_ca: str = ""
    """PEM of the CA that signs for the services of this mesh, and for nobody else; with the two below, every port
    between services is TLS."""

    tls_cert: str = ""
    """PEM of the service's own certificate, for the name SERVICE.agentmesh."""

    tls_key: str = ""
    """PEM of its key."""

    insecure_tcp: Literal["refuse", "allow"] = "refuse"
    """Whether services of several machines may talk without TLS: then whoever is on the way between them reads and
    changes everything, and can act as any user."""

    host: str = "127.0.0.1"
    """Where the front door listens; what is only for a laptop is on while that is loopback."""

    public_url: str = ""
    """The address people use, if it is not what they send as Host: `https://mesh.example.com` behind a TLS proxy."""

    allowed_hosts: str = ""
    """Names that the mesh answers to beside those of loopback, of `host` and of `public_url`; several with commas."""

    database_url: str = pydantic.Field(default="", repr=False)  # it may hold a password
    """Where state is kept: `sqlite:///ABSOLUTE/FOLDER`, in which each service has a file, or
    `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, in which it has a schema; empty means `data_dir`."""

    redis_url: pydantic.SecretStr = pydantic.SecretStr("")
    """Redis, by which replicas wake each other and count together: `redis://…`, `rediss://…` for TLS, or `unix://…`."""

    replicas: int = pydantic.Field(default=1, ge=1, le=64)
    """How many processes of each service there are."""

    replica: int = pydantic.Field(default=1, ge=1, le=64)
    """Which of them this one is, counted from 1: where an address lists several, it listens at that one."""

    encryption_key: pydantic.SecretStr = pydantic.SecretStr("")
    """What secrets are sealed with: 32 bytes in hexadecimal or base64; of several with commas the first seals, and the
    others open what they have sealed.  Empty means `encryption.key` in `data_dir`."""

    tools_private_endpoints: Literal["refuse", "allow"] = "refuse"
    """Whether tools may be at addresses that are not the Internet's, such as those of this machine or its network."""

    streams_per_owner: int = pydantic.Field(default=1_000, ge=0)
    """Streams that one user may have open at each service: of logs, locks, payments, apps.  0 takes any number."""

    otlp_endpoint: str = pydantic.Field(default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
    """A collector of OpenTelemetry, to which traces, metrics and logs go by gRPC: `http://HOST:4317`, or https."""

    otlp_headers: pydantic.SecretStr = pydantic.SecretStr("")
    """What the collector wants to be sent along: `name=value,…`."""

    traces_ratio: float = pydantic.Field(default=0.1, ge=0, le=1)
    """Of requests that come without a trace, how many begin one; those that are in a trace say it themselves."""

    metrics: Literal["off", "on"] = "off"
    """Whether services count and measure for Prometheus: operators read all of it at `/metrics`."""

    log_level: str = "info"
    """debug, info, warning or error."""

    grace_s: float = 2.0
    """How long calls in flight may take once we are told to stop."""

    @pydantic.model_validator(mode="after")
    def _all_or_none(self) -> Self:
        given = [bool(each) for each in (self.tls_ca, self.tls_cert, self.tls_key)]
        if any(given) and not all(given):
            raise ValueError(
                "AGENTMESH_TLS_CA, AGENTMESH_TLS_CERT and AGENTMESH_TLS_KEY belong together: set all three"
            )
        return self

    @pydantic.field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        databases.parse(url, pathlib.Path())
        return url

    @pydantic.field_validator("otlp_endpoint")
    @classmethod
    def _a_collector(cls, url: str) -> str:
        if url and not _COLLECTOR.fullmatch(url):
            raise ValueError("must be http://HOST:PORT, or https, of a collector that takes OTLP by gRPC")
        return url.rstrip("/")

    @pydantic.field_validator("redis_url")
    @classmethod
    def _a_redis(cls, url: pydantic.SecretStr) -> pydantic.SecretStr:
        if url.get_secret_value() and (problem := link.check(url.get_secret_value())):
            raise ValueError(problem)
        return url

    @pydantic.field_validator("encryption_key")
    @classmethod
    def _is_a_key(cls, key: pydantic.SecretStr) -> pydantic.SecretStr:
        if key.get_secret_value():
            secrets.parse_keys(key.get_secret_value())
        return key

    @property
    def telemetry(self) -> telemetry.Wanted:
        """What is to be told of this process beside its log."""
        return telemetry.Wanted(
            endpoint=self.otlp_endpoint,
            headers=self.otlp_headers.get_secret_value(),
            metrics=self.metrics == "on",
            replica=self.replica,
        )

    @property
    def statistics(self) -> pathlib.Path:
        """Where Envoy tells its statistics while metrics are on, unless it has another place for them."""
        return self.sockets_dir / "envoy.sock"

    @property
    def database(self) -> databases.Place:
        """Where state is kept."""
        return databases.parse(self.database_url, self.data_dir)

    def at(self, service: str) -> str:
        """Return where this process listens as a service.  Raises `OSError` if there is no address for its number."""
        addresses = endpoints.split(getattr(self, f"{service}_address"))
        if len(addresses) == 1:
            return addresses[0]
        if self.replica > len(addresses):
            raise OSError(
                errno.EINVAL, f"AGENTMESH_REPLICA is {self.replica}, and the {service} has {len(addresses)} addresses"
            )
        return addresses[self.replica - 1]

    def peer(self, service: str) -> client.Peer:
        """Return where a service is called."""
        return client.Peer(service=service, address=getattr(self, f"{service}_address"), wires=self.wires)

    @property
    def wires(self) -> tls.Wires:
        """How services are connected."""
        files = (self.tls_ca, self.tls_cert, self.tls_key)
        ours = tls.Tls(*map(pathlib.Path, files)) if all(files) else None
        return tls.Wires(ours, plain=self.insecure_tcp == "allow")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the mesh."""
        return is_loopback(self.host)

    @property
    def opening(self) -> str:
        """What says that others are to reach the mesh, such as `AGENTMESH_HOST is 0.0.0.0`; or empty."""
        if not self.loopback:
            return f"AGENTMESH_HOST is {self.host}"
        if self.public_url and not is_loopback(host_in(self.public_url)):
            return f"AGENTMESH_PUBLIC_URL is {self.public_url}"
        names = (name.strip() for name in self.allowed_hosts.split(","))
        found = next((name for name in names if name and not is_loopback(host_in(name))), "")
        return f"AGENTMESH_ALLOWED_HOSTS names {found}" if found else ""

    @property
    def vault(self) -> secrets.Vault:
        """What seals secrets; its key is made on first use, unless it is given."""
        return secrets.Vault.load(self.data_dir / "encryption.key", self.encryption_key.get_secret_value())

    @property
    def secret(self) -> bytes:
        """The mesh's shared secret; made on first use."""
        return identity.load_secret(self.data_dir / "mesh.secret")


S = TypeVar("S", bound=Settings)


def from_environment(kind: type[S]) -> S:
    """Read settings; if one cannot be read, name it on stderr and exit with 2.  For `main`s only.

    Secrets are those that we were handed, if we were, and else in the environment, too.
    """
    try:
        return kind(**_fields(kind, handed.take()))
    except pydantic.ValidationError as error:
        wrong = [f"AGENTMESH_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
        print(f"agentmesh: {'; '.join(wrong)}", file=sys.stderr)
        raise SystemExit(2) from None


def _fields(kind: type[S], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of settings by the names under which `kind` takes them."""
    names = {name: str(field.validation_alias or name) for name, field in kind.model_fields.items()}
    prefix = kind.model_config.get("env_prefix", "")
    settings_of = {name: alias if alias != name else f"{prefix}{name}".upper() for name, alias in names.items()}
    return {names[name]: settings[setting] for name, setting in settings_of.items() if setting in settings}


@contextlib.asynccontextmanager
async def authenticated(
    settings: Settings,
    service: str,
    credentials: Callable[[str], Credentials] = lambda method: MESH,
    finder: Callable[[str], Finder | None] = lambda method: None,
    is_local: Callable[[Mapping[str, str]], bool] = lambda metadata: False,
    patience_s: float = 0.0,
) -> AsyncIterator[Auth]:
    """Verify tokens with the auth service's keys and follow its revocations for the length of the block.

    `credentials`, `finder` and `is_local` are as in `Auth`.  Who has no database hears from the auth service what time
    it is: for up to `patience_s` the block waits to begin until it was heard, lest its first badges are those of a
    wrong clock.  Raises `OSError` if our certificate does not hold.
    """
    if (ours := settings.wires.tls) is not None:
        ours.check(service)
    revocations = Revocations(complete=False)
    async with contextlib.AsyncExitStack() as stack:
        who = identity.ServiceIdentity(settings.secret, service)
        channel = await stack.enter_async_context(client.connect(settings.peer("auth"), who))
        stub = auth_pb2_grpc.AuthServiceStub(channel)

        async def fetch_jwks() -> str:
            with from_rpc(), unbound():  # for every caller who waits, not for the one who came first
                return str((await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=5, wait_for_ready=True)).jwks_json)

        hears = not isinstance(settings.database, databases.PostgresDatabase)
        heard = asyncio.Event()
        follow = follow_revocations(stub, revocations, heard if hears else None)
        await stack.enter_async_context(background(follow, "follow-revocations"))
        if hears and patience_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await heard.wait()
        verifier = TokenVerifier(fetch_jwks, revocations)
        more = (credentials, finder, is_local, settings.streams_per_owner)
        yield Auth(verifier, settings.secret, service, *more, named=settings.wires.tls is not None)


async def follow_revocations(
    stub: auth_pb2_grpc.AuthServiceStub, revocations: Revocations, heard: asyncio.Event | None = None
) -> None:
    """Keep `revocations` as the auth service has them; reconnect for ever.

    With `heard`, which is set then, it is asked before what time it is, or our badge might have expired; and with each
    heartbeat.
    """
    is_shared, beside = False, Tasks()
    try:
        while True:
            try:
                if heard is not None:
                    is_shared = await _hear_time(stub)
                    heard.set()
                async for message in stub.WatchRevocations(auth_pb2.WatchRevocationsRequest(), wait_for_ready=True):
                    _take_in(message, revocations)
                    if is_shared and not beside:  # nobody's revocation waits for it
                        beside.spawn(_hear_again(stub), "hear-time")
            except grpc.aio.AioRpcError as error:
                log.debug("revocations interrupted", code=error.code().name)
            # It restarts, having ended the stream or not; the snapshot on the next connection has what we missed.
            await asyncio.sleep(_RECONNECT_S)
    finally:
        await beside.close(0)


def _take_in(message: auth_pb2.WatchRevocationsResponse, revocations: Revocations) -> None:
    for item in message.revocations:
        expires_at = seconds_of(item.expire_time)
        if item.WhichOneof("target") == "jti":
            revocations.add_token(item.jti, expires_at)
        else:
            revocations.add_user(item.user, seconds_of(item.issue_time), expires_at)
    revocations.completed()


async def _hear_again(stub: auth_pb2_grpc.AuthServiceStub) -> None:
    """Hear the time if it is told soon; the next heartbeat asks again."""
    try:
        await _hear_time(stub, timeout_s=_HEAR_S)
    except grpc.aio.AioRpcError as error:
        log.debug("the time was not heard", code=error.code().name)


async def _hear_time(stub: auth_pb2_grpc.AuthServiceStub, timeout_s: float | None = None) -> bool:
    """Go by the time that the auth service tells; return whether it tells one that is not only its machine's."""
    asked_at = clock.ticks()
    answer = await stub.GetJwks(auth_pb2.GetJwksRequest(), wait_for_ready=True, timeout=timeout_s)
    is_shared = bool(answer.HasField("time"))
    if is_shared:
        clock.now.hear(seconds_of(answer.time), asked_at, clock.ticks())
    return is_shared
