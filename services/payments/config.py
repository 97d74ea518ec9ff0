"""What the payments service reads from the environment: who keeps the escrows of each network."""

import json
import urllib.parse
from typing import Annotated, Any, Literal

import pydantic
from pydantic_settings import NoDecode, SettingsConfigDict

from meshkit.net.hosts import is_loopback
from meshkit.service import Settings
from services.payments.domain import NETWORKS


class LedgerNetwork(pydantic.BaseModel):
    """The mesh's own ledger: genuine identifiers, no chain, no money of anybody's."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    provider: Literal["ledger"]


class MasumiNetwork(pydantic.BaseModel):
    """A Masumi payment service."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: Literal["masumi"]
    url: str
    """Such as `https://payment.example.com/api/v1`; `/api/v1` is added to a URL without a path."""
    token: pydantic.SecretStr
    """The service's API key; it must be allowed to pay."""
    agents: tuple[str, ...] = ()
    """Agent identifiers to check for a registry entry and a price at start-up; others are checked when first used."""
    timeout_s: float = pydantic.Field(default=30.0, gt=0, le=300)
    """How long the service may take to answer a call."""
    poll_s: float = pydantic.Field(default=5.0, ge=0.05, le=600)
    """How often to ask for changes while a purchaser or the chain is waited for."""
    idle_poll_s: float = pydantic.Field(default=60.0, ge=0.05, le=3600)
    """How often to ask while the open payments only wait for their unlock times."""

    @pydantic.field_validator("url")
    @classmethod
    def _guard(cls, url: str) -> str:
        """The token goes there with every call: so TLS, unless it stays on this machine."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("must look like https://host/api/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have no user, password, query or fragment: the key goes into `token`")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https, unless the host is this machine: the token would go in the clear")
        path = parts.path.rstrip("/") or "/api/v1"
        return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    @pydantic.field_validator("token")
    @classmethod
    def _printable(cls, token: pydantic.SecretStr) -> pydantic.SecretStr:
        text = token.get_secret_value()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("must be the API key: printable ASCII without spaces, not empty")
        return token


NetworkConfig = Annotated[LedgerNetwork | MasumiNetwork, pydantic.Field(discriminator="provider")]


class Config(Settings):
    """The shared settings, and who keeps the escrows."""

    model_config = SettingsConfigDict(env_prefix="AGENTMESH_", frozen=True, extra="ignore", hide_input_in_errors=True)

    payments: Annotated[dict[Literal["Preprod", "Mainnet"], NetworkConfig] | None, NoDecode] = None
    """Who keeps the escrows, by network, as JSON: `{"Mainnet": {"provider": "masumi", "url": "…", "token": "…"}}`.

    Unset, both networks are on the ledger while AGENTMESH_HOST is loopback, and none are anywhere else.
    """

    pay_window_s: int = pydantic.Field(default=1200, ge=60, le=30 * 86_400)
    """How long a purchaser may take to pay."""

    submit_window_s: int = pydantic.Field(default=3600, ge=1200, le=90 * 86_400)
    """How long after its start a job's result must be on the chain: its run, and every wait for a human."""

    ask_wait_s: float = pydantic.Field(default=10.0, ge=0, le=30)
    """How long `CreatePayment` waits for the provider's answer before it returns the payment without it."""

    heartbeat_s: float = pydantic.Field(default=10.0, gt=0)
    """How often a stream with nothing to say says so."""

    @pydantic.field_validator("payments", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None

    @pydantic.model_validator(mode="after")
    def _windows_fit(self) -> "Config":
        if self.pay_window_s > self.submit_window_s - 300:
            raise ValueError("AGENTMESH_PAY_WINDOW_S must be at least 300 less than AGENTMESH_SUBMIT_WINDOW_S")
        return self

    @property
    def networks(self) -> dict[str, LedgerNetwork | MasumiNetwork]:
        """Who keeps the escrows of each network that has somebody."""
        if self.payments is not None:
            return {str(network): config for network, config in self.payments.items()}
        if self.loopback:
            return {network: LedgerNetwork(provider="ledger") for network in NETWORKS}
        return {}
