"""What the payment service's bodies look like, for its reference.

The names and their case are the original's.  Bodies are read by `schema.Schema`, which complains in the original's
words; the models here say the same to people and to generators of clients.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

import pydantic
from pydantic import Field

from gateway.http.shapes import Body, Reference, Shape, json

Network = Literal["Preprod", "Mainnet"]
Text = Annotated[str, Field(max_length=8000)]
Short = Annotated[str, Field(max_length=250)]
Iso = Annotated[str, Field(description="ISO 8601, in UTC: `2026-07-20T12:00:00.000Z`.")]
Millis = Annotated[str, Field(description="Milliseconds since 1970.", pattern=r"^[0-9]{1,15}$")]
AgentIdentifier = Annotated[str, Field(min_length=57, max_length=250)]
Purchaser = Annotated[str, Field(min_length=14, max_length=26)]
T = TypeVar("T")


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_attribute_docstrings=True)


class Success(pydantic.BaseModel, Generic[T]):
    """An answer."""

    status: Literal["success"]
    data: T


class Message(_Model):
    """What went wrong."""

    message: str


class Error(_Model):
    """What went wrong, and what to do."""

    status: Literal["error"]
    error: Message


class Funds(_Model):
    """An amount of one currency."""

    amount: Annotated[str, Field(max_length=25, pattern=r"^[0-9]{1,25}$")]
    """In the smallest unit."""
    unit: Annotated[str, Field(max_length=150)]
    """Empty or `lovelace`, or policy id and asset name in hex."""


_SomeFunds = Annotated[list[Funds], Field(max_length=7)]

# -- what is sent ------------------------------------------------------------------------------------------------------


class OneRecord(_Model):
    """Names a record."""

    blockchainIdentifier: Text
    network: Network


class Resolve(OneRecord):
    """Asks for a record."""

    includeHistory: bool | None = None


class SubmittedResult(OneRecord):
    """A result's hash."""

    submitResultHash: Short


class Recover(OneRecord):
    """Lets a record go on."""

    updatedAt: Iso
    """As the record was read."""
    retryPreviousAction: bool | None = None


class NewPayment(_Model):
    """A request to be paid."""

    inputHash: Short
    network: Network
    agentIdentifier: AgentIdentifier
    identifierFromPurchaser: Purchaser
    payByTime: Iso | None = None
    submitResultTime: Iso | None = None
    unlockTime: Iso | None = None
    externalDisputeUnlockTime: Iso | None = None
    RequestedFunds: _SomeFunds | None = None
    metadata: Text | None = None
    sellerReturnAddress: Short | None = None
    paymentSourceType: Annotated[str, Field(max_length=100)] | None = None
    supportedPaymentSourceIndex: Annotated[float, Field(ge=0, le=24)] | None = None


class NewPurchase(OneRecord):
    """Pays for what a seller has signed."""

    inputHash: Short
    sellerVkey: Short
    agentIdentifier: AgentIdentifier
    identifierFromPurchaser: Purchaser
    payByTime: Millis
    submitResultTime: Millis
    unlockTime: Millis
    externalDisputeUnlockTime: Millis
    Amounts: _SomeFunds | None = None
    metadata: Text | None = None
    buyerReturnAddress: Short | None = None
    paymentSourceType: Annotated[str, Field(max_length=100)] | None = None
    supportedPaymentSourceIndex: Annotated[float, Field(ge=0, le=24)] | None = None


class Pricing(_Model):
    """What an agent's jobs cost."""

    pricingType: Literal["Fixed", "Free", "Dynamic"]
    Pricing: Annotated[list[Funds], Field(max_length=5)] | None = None
    """For `Fixed`."""


class NewAgent(_Model):
    """An agent to register; what is said beyond name and price is kept as it is."""

    network: Network
    sellingWalletVkey: Short
    name: Annotated[str, Field(min_length=1, max_length=250)]
    AgentPricing: Pricing
    description: Any = None
    apiBaseUrl: Any = None
    Tags: Any = None
    ExampleOutputs: Any = None
    Capability: Any = None
    Author: Any = None
    Legal: Any = None


class AgentId(_Model):
    """Names an entry of the registry."""

    id: Annotated[str, Field(max_length=100)]


class OneAgent(_Model):
    """Names an agent."""

    network: Network
    agentIdentifier: AgentIdentifier


class ClockChange(_Model):
    """Sets the ledger's clock."""

    time: Iso | None = None
    advanceSeconds: Annotated[float, Field(ge=0)] | None = None
    scale: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """How many of its seconds pass in one; 0 stands still."""


class NewFault(_Model):
    """Lets a call go wrong."""

    call: Annotated[str, Field(min_length=1, max_length=100)]
    """Such as `payment/submit-result`; `*` for any."""
    kind: Literal["lost", "timeout", "error"]
    count: Annotated[float, Field(ge=1, le=10_000)] | None = None
    delaySeconds: Annotated[float, Field(ge=0, le=20)] | None = None
    status: Annotated[float, Field(ge=500, le=599)] | None = None


class Tampering(_Model):
    """Does something to an escrow that no caller of the real service could."""

    blockchainIdentifier: Text
    side: Literal["payment", "purchase"] | None = None
    stuck: Annotated[str, Field(max_length=500)] | None = None
    invalidDatum: Annotated[str, Field(max_length=500)] | None = None
    datumInputHash: Short | None = None
    paid: _SomeFunds | None = None
    forceState: Annotated[str, Field(max_length=50)] | None = None
    forceAction: Annotated[str, Field(max_length=50)] | None = None
    rollBack: bool | None = None


class Settlement(_Model):
    """Ends a dispute."""

    blockchainIdentifier: Text
    seller: _SomeFunds | None = None
    """What the seller gets; the buyer gets the rest."""


class WalletFunds(_Model):
    """Money for a wallet."""

    walletVkey: Short
    funds: _SomeFunds | None = None


class MovedAgent(OneAgent):
    """Names the wallet that shall hold an agent."""

    walletVkey: Short


# -- what is answered --------------------------------------------------------------------------------------------------


class Ok(_Model):
    """The service is there."""

    status: Literal["ok"]


class Key(_Model):
    """What an API key may do."""

    id: str
    permission: Literal["Read", "ReadAndPay", "Admin"]
    canRead: bool
    canPay: bool
    canAdmin: bool
    usageLimited: bool
    NetworkLimit: list[str]
    RemainingUsageCredits: list[Funds]
    status: Literal["Active", "Revoked"]


class Source(_Model):
    """A network."""

    id: str
    network: Network
    paymentSourceType: str
    smartContractAddress: str
    policyId: str


class Wallet(_Model):
    """A wallet, by the hash of its key."""

    id: str
    walletVkey: str


class WalletWithAddress(Wallet):
    """A wallet and its address."""

    walletAddress: str


class HeldWallet(WalletWithAddress):
    """A wallet and what it holds."""

    balances: list[Funds]


class PaymentSource(Source):
    """A network with the caller's wallets."""

    feeRatePermille: int
    SellingWallets: list[HeldWallet]
    PurchasingWallets: list[HeldWallet]


class PaymentSources(_Model):
    """The networks."""

    PaymentSources: list[PaymentSource]


class Transaction(_Model):
    """A transaction on the chain."""

    id: str
    createdAt: Iso
    updatedAt: Iso
    txHash: str
    status: str
    fees: str | None
    blockHeight: int | None
    blockTime: int | None
    confirmations: int
    previousOnChainState: str | None
    newOnChainState: str | None


class Action(_Model):
    """What the service does next, and what kept it from that."""

    requestedAction: str
    errorType: str | None
    errorNote: str | None


class SellerAction(Action):
    """What the seller's service does next."""

    resultHash: str | None


class PastAction(_Model):
    """What the service was about to do from some time on."""

    createdAt: Iso
    requestedAction: str


class _Record(_Model):
    id: str
    createdAt: Iso
    updatedAt: Iso
    blockchainIdentifier: str
    agentIdentifier: str
    agentName: str
    pricingType: str
    lastCheckedAt: Iso
    payByTime: Millis
    submitResultTime: Millis
    unlockTime: Millis
    externalDisputeUnlockTime: Millis
    collateralReturnLovelace: str | None
    buyerReturnAddress: str | None
    sellerReturnAddress: str | None
    requestedById: str
    inputHash: str
    resultHash: str
    onChainState: str | None
    CurrentTransaction: Transaction | None
    WithdrawnForSeller: list[Funds]
    WithdrawnForBuyer: list[Funds]
    PaymentSource: Source
    metadata: str | None
    totalBuyerCardanoFees: float
    totalSellerCardanoFees: float
    cooldownTime: int
    cooldownTimeOtherParty: int
    nextActionLastChangedAt: Iso
    onChainStateOrResultLastChangedAt: Iso
    nextActionOrOnChainStateOrResultLastChangedAt: Iso


class Payment(_Record):
    """The seller's side of an escrow."""

    NextAction: SellerAction
    RequestedFunds: list[Funds]
    BuyerWallet: Wallet | None
    SmartContractWallet: WalletWithAddress


class Purchase(_Record):
    """The buyer's side of an escrow."""

    NextAction: Action
    PaidFunds: list[Funds]
    SellerWallet: Wallet
    SmartContractWallet: WalletWithAddress | None


class PaymentWithHistory(Payment):
    """The seller's side of an escrow; the histories are null unless they were asked for."""

    ActionHistory: list[PastAction] | None
    TransactionHistory: list[Transaction] | None


class PurchaseWithHistory(Purchase):
    """The buyer's side of an escrow; the histories are null unless they were asked for."""

    ActionHistory: list[PastAction] | None
    TransactionHistory: list[Transaction] | None


class Payments(_Model):
    """A page of payments."""

    Payments: list[PaymentWithHistory]


class Purchases(_Model):
    """A page of purchases."""

    Purchases: list[PurchaseWithHistory]


class PurchaseExists(Error):
    """It is paid for, by the purchase that is shown."""

    id: str
    object: Purchase


class Count(_Model):
    """How many there are."""

    total: int


class AgentPrice(_Model):
    """What an agent's jobs cost; without amounts unless it is `Fixed`."""

    pricingType: str
    Pricing: list[Funds] = Field(default_factory=list)


class AgentWallet(_Model):
    """Who holds an agent."""

    walletVkey: str
    walletAddress: str


class Agent(_Model):
    """An entry of the registry."""

    id: str
    name: str
    description: Any
    apiBaseUrl: Any
    Capability: Any
    Author: Any
    Legal: Any
    state: str
    Tags: Any
    ExampleOutputs: Any
    createdAt: Iso
    updatedAt: Iso
    agentIdentifier: str | None
    AgentPricing: AgentPrice
    SmartContractWallet: AgentWallet
    PaymentSource: Source


class Agents(_Model):
    """A page of the registry."""

    Assets: list[Agent]


class AgentMetadata(_Model):
    """What an agent is registered with."""

    name: str
    description: Any
    apiBaseUrl: Any
    ExampleOutputs: Any
    Tags: Any
    Capability: Any
    Author: Any
    Legal: Any
    AgentPricing: AgentPrice
    image: Any
    metadataVersion: int
    supportedPaymentSources: None
    verifications: None


class ChainAgent(_Model):
    """An agent as the chain shows it."""

    policyId: str
    assetName: str
    agentIdentifier: str
    Metadata: AgentMetadata


class ChainAgents(_Model):
    """The agents that a wallet holds."""

    Assets: list[ChainAgent]


class Clock(_Model):
    """The ledger's time."""

    time: Iso
    timeMs: Millis
    scale: float


class Fault(_Model):
    """What waits to go wrong."""

    call: str
    kind: Literal["lost", "timeout", "error"]
    count: int
    delaySeconds: float
    status: int


class Faults(_Model):
    """What waits to go wrong."""

    Faults: list[Fault]


class Balance(_Model):
    """What an account holds of one unit."""

    account: str
    amount: str
    unit: str


class Balances(_Model):
    """Every account that is not empty."""

    Balances: list[Balance]


def _ok(model: Any) -> Body:
    return (json(Success[model]),)


def _call(takes: Any, answers: Any, example: Any = None) -> Shape:
    return Shape(takes=(json(takes, example),), answers=_ok(answers))


_PAID = {
    "identifierFromPurchaser": "9a74866033f0e778c8ee734e12",
    "network": "Preprod",
    "sellerVkey": "2a581594ee277e1625a4e999b1b2d788f54217c35bd7f50ea9aecd64",
    "blockchainIdentifier": "2707604c01c0cc08c306605300315e04",
    "payByTime": "1765351455000",
    "submitResultTime": "1765353855000",
    "unlockTime": "1765375455000",
    "externalDisputeUnlockTime": "1765397055000",
    "agentIdentifier": "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
    "ee8e013e3f92bbd2aa41065577ac087a0d55ff96430087324c023b021267ca37",
    "inputHash": "7c9ab94cd55e9c49dcbf65122f7446df2464d3945778624b1f67313f6aa749ec",
}
SHAPES = {
    "MasumiService.GetHealth": Shape(answers=_ok(Ok)),
    "MasumiService.GetApiKeyStatus": Shape(answers=_ok(Key)),
    "MasumiService.ListPayments": Shape(answers=_ok(Payments)),
    "MasumiService.CreatePayment": _call(NewPayment, Payment),
    "MasumiService.ResolvePayment": _call(Resolve, PaymentWithHistory),
    "MasumiService.SubmitResult": _call(SubmittedResult, Payment),
    "MasumiService.AuthorizeRefund": _call(OneRecord, Payment),
    "MasumiService.RecoverPayment": _call(Recover, Payment),
    "MasumiService.DiffPayments": Shape(answers=_ok(Payments)),
    "MasumiService.CountPayments": Shape(answers=_ok(Count)),
    "MasumiService.ListPurchases": Shape(answers=_ok(Purchases)),
    "MasumiService.CreatePurchase": Shape(
        takes=(json(NewPurchase, _PAID),), answers=_ok(Purchase), also={409: (json(PurchaseExists),)}
    ),
    "MasumiService.ResolvePurchase": _call(Resolve, PurchaseWithHistory),
    "MasumiService.RequestRefund": _call(OneRecord, Purchase),
    "MasumiService.CancelRefundRequest": _call(OneRecord, Purchase),
    "MasumiService.RecoverPurchase": _call(Recover, Purchase),
    "MasumiService.DiffPurchases": Shape(answers=_ok(Purchases)),
    "MasumiService.CountPurchases": Shape(answers=_ok(Count)),
    "MasumiService.ListPaymentSources": Shape(answers=_ok(PaymentSources)),
    "MasumiService.ListRegistry": Shape(answers=_ok(Agents)),
    "MasumiService.RegisterAgent": _call(NewAgent, Agent),
    "MasumiService.DeleteRegistration": _call(AgentId, Agent),
    "MasumiService.DeregisterAgent": _call(OneAgent, Agent),
    "MasumiService.GetAgent": Shape(answers=_ok(ChainAgent)),
    "MasumiService.ListWalletAgents": Shape(answers=_ok(ChainAgents)),
    "MasumiDevService.GetClock": Shape(answers=_ok(Clock)),
    "MasumiDevService.SetClock": _call(ClockChange, Clock),
    "MasumiDevService.ListFaults": Shape(answers=_ok(Faults)),
    "MasumiDevService.InjectFault": _call(NewFault, Faults),
    "MasumiDevService.ClearFaults": Shape(answers=_ok(Faults)),
    "MasumiDevService.TamperRecord": _call(Tampering, Payment | Purchase),
    "MasumiDevService.SettleDispute": _call(Settlement, Payment | Purchase),
    "MasumiDevService.ListBalances": Shape(answers=_ok(Balances)),
    "MasumiDevService.FundWallet": _call(WalletFunds, Balances),
    "MasumiDevService.MoveAgent": _call(MovedAgent, Agent),
}

REFERENCE = Reference(
    title="Masumi payment service API",
    description="The API of the Masumi payment service, answered by the embedded ledger: payments of sellers, "
    "purchases of buyers, and the registry of agents.\n\n"
    "Callers name themselves by an API key in the header `token`.  The calls under `/api/v1/dev` are the ledger's own, "
    "in development mode only, and ask for a token of the mesh.",
    error=Error,
    shapes=SHAPES,
    errors=(400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504),
    keys={"token": "An API key of the ledger; in development `dev` is one."},
)
