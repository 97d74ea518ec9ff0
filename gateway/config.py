"""What the gateway and its Envoy read from the environment; the prefix is `AGENTMESH_`."""

import ipaddress
import re
from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from meshkit.net import endpoints
from meshkit.service import Addresses, Settings, socket_of

Tier = Literal["enterprise", "pro", "free", "sandbox", "nobody"]
"""What a user pays for, as the token's claim `tier` says; `nobody` are callers without a token that holds."""
RATES: dict[Tier, int] = {"enterprise": 5_000, "pro": 2_000, "free": 1_000, "sandbox": 200, "nobody": 1_000}
"""Requests a second, by tier: of a user, or of an address without a token."""

EVERY_DIALECT = "*"
"""In the place of a dialect's name: all of them, our own API included."""
_LABEL = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_ORIGIN = re.compile(
    rf"(https?://({_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])|https://\*(\.{_LABEL}){{2,}})(:[0-9]{{1,5}})?", re.ASCII
)
"""As browsers send it (RFC 6454); a wildcard is all names below one that somebody can own."""


class Config(Settings):
    """Of the gateway process.  Every field has a default that works on a laptop."""

    model_config = SettingsConfigDict(populate_by_name=True)  # beside the names that Koda's documentation gives

    gateway_address: Addresses = socket_of("gateway")
    """Where the dialects' gRPC services listen."""

    web_address: Addresses = socket_of("web")
    """Where the web app listens: pages, /health, and the answer to unknown paths."""

    hashes: Literal["", "kodosumi"] = ""
    """How inputs of locks are hashed: empty for MIP-004, `kodosumi` for what the seed notebook prints."""

    runtime_local_ui_token: SecretStr = Field(default=SecretStr(""), validation_alias="RUNTIME_LOCAL_UI_TOKEN")
    """What a dashboard on another origin sends as `X-Runtime-Token` (Koda); empty: nothing is taken."""

    control_plane_api_token: SecretStr = Field(default=SecretStr(""), validation_alias="CONTROL_PLANE_API_TOKEN")
    """What tools may send as `Authorization: Bearer` in place of an operator's token (Koda); several with commas."""

    control_plane_operator: str = "admin"
    """Whom those two stand for: the login of an operator."""

    local_access: Literal["allow", "refuse"] = "allow"
    """Whether programs of this machine need no token where an API was documented without (Codex), while `host` is
    loopback; from elsewhere, and with `refuse`, they do."""

    origins: dict[str, list[str]] = Field(default_factory=dict)
    """Pages of other sites that may call the mesh without cookies (CORS): JSON, a list such as
    `["https://app.example.com", "https://*.example.org"]`, or lists by dialect, `{"codex": ["https://app.example.com"]}`."""

    app_pages: Literal["sandbox", "trust"] = "sandbox"
    """What pages that apps serve may do in a browser: `trust` lets them act as whoever looks at them, as pages of the
    mesh do, so every app may do all that its readers may."""

    live_pages_per_owner: int = Field(default=32, ge=0)
    """Pages of the panel that change by themselves which one user may have open at each gateway: each asks the services
    once a second.  More are refused, and 0 takes any number."""

    @pydantic.field_validator("origins", mode="before")
    @classmethod
    def _of_every_dialect(cls, origins: object) -> object:
        return {EVERY_DIALECT: origins} if isinstance(origins, list) else origins

    @pydantic.field_validator("origins")
    @classmethod
    def _origins_only(cls, origins: dict[str, list[str]]) -> dict[str, list[str]]:
        found = {name: [origin.lower() for origin in each] for name, each in origins.items()}
        for origin in (origin for each in found.values() for origin in each):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin: write it as https://app.example.com, with its port if it has one and"
                    " nothing behind, or https://*.example.org for every name below; there is none for all pages"
                )
        return found

    @property
    def is_open(self) -> bool:
        """Whether programs of this machine need no token where an API was documented without."""
        return self.loopback and self.local_access == "allow"


class EdgeConfig(Config):
    """Of Envoy, the one port that people use."""

    host: str = "127.0.0.1"
    """Where Envoy listens: an IP address, or localhost."""

    port: int = Field(default=3370, ge=1, le=65535)
    """The port Envoy listens on."""

    native_ports: dict[str, Annotated[int, Field(ge=1, le=65535)]] = Field(default_factory=dict)
    """Ports that Envoy listens on, too, by the dialect whose documents name them; JSON, such as `{"koda": 8090}`."""

    edge_tls_cert: str = ""
    """PEM of the certificate that clients see, with what lies between it and its CA; with the key below the port speaks
    TLS.  Both files are read anew when renewed ones are moved into their place."""

    edge_tls_key: str = ""
    """PEM of its key."""

    concurrency: int = Field(default=1, ge=1, le=128)
    """Envoy's worker threads; each costs some memory."""

    rate_limit_rps: int = Field(default=5_000, ge=0)
    """Requests a second that one user, or one address without a token, may send at most, whatever the tier; 0 switches
    all limits off."""

    rate_limits: dict[Tier, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Requests a second of a tier, where they are not `RATES`; JSON, such as `{"free": 50, "sandbox": 5}`."""

    control_plane_rate_limit: int = Field(default=120, ge=1, validation_alias="CONTROL_PLANE_RATE_LIMIT")
    """Requests a minute that one user, or one address without a token, may send to the paths of Koda."""

    edges: int = Field(default=1, ge=1, le=1_000)
    """How many Envoys stand side by side in front of the mesh: each lets that part of every rate through."""

    sign_ins_per_minute: int = Field(default=300, ge=0)
    """How often one address may try to sign in, whatever comes of it; 0 for no limit, as has `rate_limit_rps` of 0."""

    headers_timeout_s: float = Field(default=15.0, gt=0)
    """How long the head of a request may take to arrive."""

    request_timeout_s: float = Field(default=60.0, gt=0)
    """How long a request may take to arrive, unless its answer has begun."""

    idle_timeout_s: float = Field(default=300.0, gt=0)
    """How long a connection may be open without a request."""

    streams_per_connection: int = Field(default=1_000, ge=1)
    """Requests and streams that one connection of HTTP/2 may have at once; clients wait with more."""

    edge_memory_mb: int = Field(default=1_024, ge=128)
    """What Envoy may have in memory, in MiB: near it requests are refused, and those that hold most are ended."""

    connections_max: int = Field(default=10_000, ge=1)
    """Open client connections; more are refused."""

    access_log: bool = False
    """Write a line per failed request (5xx) to stderr.  Queries are left out: they may hold a password."""

    admin_port: int = Field(default=0, ge=0, le=65535)
    """A loopback port for Envoy's own statistics and controls, by which any user of this machine can stop the front
    door; 0 for none."""

    admin_address: str = ""
    """A socket for the same, `unix:PATH`, which is our user's alone; empty for none."""

    @property
    def admin_socket(self) -> str:
        """The socket that Envoy has for its statistics and controls; empty for none."""
        if self.admin_address or self.admin_port or self.metrics == "off":
            return self.admin_address
        return endpoints.unix(self.statistics)

    @pydantic.field_validator("admin_address")
    @classmethod
    def _a_socket(cls, address: str) -> str:
        if address and not endpoints.parse(address).private:
            raise ValueError("must be unix:PATH; AGENTMESH_ADMIN_PORT names a port")
        return address

    @pydantic.model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if bool(self.edge_tls_cert) != bool(self.edge_tls_key):
            raise ValueError("AGENTMESH_EDGE_TLS_CERT and AGENTMESH_EDGE_TLS_KEY belong together: set both")
        return self

    @pydantic.field_validator("host")
    @classmethod
    def _ip_only(cls, host: str) -> str:
        # Envoy binds to addresses only.
        host = "127.0.0.1" if host.lower() == "localhost" else host.strip("[]")
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError("must be an IP address to listen on, such as 127.0.0.1 or 0.0.0.0") from None
