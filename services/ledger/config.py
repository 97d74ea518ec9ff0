"""What the embedded ledger reads from the environment."""

import json
import secrets
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from meshkit.secrets import write_once
from meshkit.service import Settings
from services.ledger.domain.options import DEMO_VKEY, Options
from services.ledger.domain.steps import Pace


class Config(Settings):
    """Every field has a default that works on a laptop; the prefix is `AGENTMESH_`."""

    payments: Annotated[dict[str, dict[str, Any]] | None, NoDecode] = None
    """Who keeps the escrows, by network, as JSON (the payments service reads it in full): the ledger is open if it
    keeps those of one, or if nothing is said and only this machine can reach the mesh."""

    ledger_worker_delay_s: float = Field(default=0.5, ge=0, le=3600)
    """From a request until its transaction is sent, in seconds of the ledger's clock."""

    ledger_confirm_delay_s: float = Field(default=1.5, ge=0, le=3600)
    """From then until it is confirmed.  A real chain takes 90 to 160 s altogether."""

    ledger_strict_datum: bool = False
    """Whether the seller's side also checks the input hash of a lock; a real service does not."""

    ledger_fill_withdrawn: bool = True
    """Whether WithdrawnForSeller and -Buyer are filled; a real service does it after disputes only."""

    ledger_vkey_alias: str = DEMO_VKEY
    """Development: `POST /purchase` takes this seller's key for the development wallet; empty takes none."""

    @field_validator("payments", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value.strip() else None
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None

    @property
    def serves(self) -> bool:
        """Whether any network is on the ledger."""
        if self.payments is None:
            return self.loopback
        return any(network.get("provider") == "ledger" for network in self.payments.values())

    @property
    def development_token(self) -> str:
        """Of the buyer `dev` that a mesh on loopback has: in a file that only its owner reads, made on first use."""
        path = self.data_dir / "ledger.token"
        if not path.exists():
            write_once(path, f"dev-{secrets.token_urlsafe(24)}".encode())
        return path.read_text(encoding="ascii").strip()

    @property
    def options(self) -> Options:
        """How the ledger behaves; while only this machine can reach the mesh, it is in development mode."""
        return Options(
            development=self.loopback,
            development_token=self.development_token if self.loopback else "",
            vkey_alias=self.ledger_vkey_alias if self.loopback else "",
            pace=Pace(
                worker_delay_ms=round(self.ledger_worker_delay_s * 1000),
                confirm_delay_ms=round(self.ledger_confirm_delay_s * 1000),
                strict_datum=self.ledger_strict_datum,
                fill_withdrawn=self.ledger_fill_withdrawn,
            ),
        )
