"""The ledger's own controls in development mode."""

from typing import Annotated, Literal

from pydantic import Field

from gateway.dialects.masumi.shapes.agents import Agent, OneAgent
from gateway.dialects.masumi.shapes.common import Iso, Millis, Model, Short, SomeFunds, Text, call, ok
from gateway.dialects.masumi.shapes.escrows import Payment, Purchase
from gateway.http.shapes import Shape


class ClockChange(Model):
    """Sets the ledger's clock."""

    time: Iso | None = None
    advanceSeconds: Annotated[float, Field(ge=0)] | None = None
    scale: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """How many of its seconds pass in one; 0 stands still."""


class NewFault(Model):
    """Lets a call go wrong."""

    call: Annotated[str, Field(min_length=1, max_length=100)]
    """Such as `payment/submit-result`; `*` for any."""
    kind: Literal["lost", "timeout", "error"]
    count: Annotated[float, Field(ge=1, le=10_000)] | None = None
    delaySeconds: Annotated[float, Field(ge=0, le=20)] | None = None
    status: Annotated[float, Field(ge=500, le=599)] | None = None


class Tampering(Model):
    """Does something to an escrow that no caller of the real service could."""

    blockchainIdentifier: Text
    side: Literal["payment", "purchase"] | None = None
    stuck: Annotated[str, Field(max_length=500)] | None = None
    invalidDatum: Annotated[str, Field(max_length=500)] | None = None
    datumInputHash: Short | None = None
    paid: SomeFunds | None = None
    forceState: Annotated[str, Field(max_length=50)] | None = None
    forceAction: Annotated[str, Field(max_length=50)] | None = None
    rollBack: bool | None = None


class Settlement(Model):
    """Ends a dispute."""

    blockchainIdentifier: Text
    seller: SomeFunds | None = None
    """What the seller gets; the buyer gets the rest."""


class WalletFunds(Model):
    """Money for a wallet."""

    walletVkey: Short
    funds: SomeFunds | None = None


class MovedAgent(OneAgent):
    """Names the wallet that shall hold an agent."""

    walletVkey: Short


class Clock(Model):
    """The ledger's time."""

    time: Iso
    timeMs: Millis
    scale: float


class Fault(Model):
    """What waits to go wrong."""

    call: str
    kind: Literal["lost", "timeout", "error"]
    count: int
    delaySeconds: float
    status: int


class Faults(Model):
    """What waits to go wrong."""

    Faults: list[Fault]


class Balance(Model):
    """What an account holds of one unit."""

    account: str
    amount: str
    unit: str


class Balances(Model):
    """Every account that is not empty."""

    Balances: list[Balance]


SHAPES = {
    "MasumiDevService.GetClock": Shape(answers=ok(Clock)),
    "MasumiDevService.SetClock": call(ClockChange, Clock),
    "MasumiDevService.ListFaults": Shape(answers=ok(Faults)),
    "MasumiDevService.InjectFault": call(NewFault, Faults),
    "MasumiDevService.ClearFaults": Shape(answers=ok(Faults)),
    "MasumiDevService.TamperRecord": call(Tampering, Payment | Purchase),
    "MasumiDevService.SettleDispute": call(Settlement, Payment | Purchase),
    "MasumiDevService.ListBalances": Shape(answers=ok(Balances)),
    "MasumiDevService.FundWallet": call(WalletFunds, Balances),
    "MasumiDevService.MoveAgent": call(MovedAgent, Agent),
}
