"""What the embedded ledger reads from the environment; the payments service's `Config` is one of these."""

from pydantic import Field

from meshkit.service import Settings
from services.payments.ledger.options import DEMO_VKEY, Options
from services.payments.ledger.steps import Pace


class LedgerConfig(Settings):
    """Every field has a default that works on a laptop; the prefix is `AGENTMESH_`."""

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

    @property
    def ledger_options(self) -> Options:
        """The same for the ledger; while only this machine can reach the mesh, it is in development mode."""
        return Options(
            development=self.loopback,
            vkey_alias=self.ledger_vkey_alias if self.loopback else "",
            pace=Pace(
                worker_delay_ms=round(self.ledger_worker_delay_s * 1000),
                confirm_delay_ms=round(self.ledger_confirm_delay_s * 1000),
                strict_datum=self.ledger_strict_datum,
                fill_withdrawn=self.ledger_fill_withdrawn,
            ),
        )
