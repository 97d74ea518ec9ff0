"""Payments and purchases: what is sent of them, and what is answered."""

from typing import Annotated

from pydantic import Field

from gateway.dialects.masumi.shapes.common import (
    AgentIdentifier,
    Error,
    Funds,
    Iso,
    Millis,
    Model,
    Network,
    Purchaser,
    Short,
    SomeFunds,
    Text,
    call,
    ok,
)
from gateway.dialects.masumi.shapes.sources import Source, Wallet, WalletWithAddress
from gateway.http.shapes import REPEATABLE, Shape, json


class OneRecord(Model):
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


class NewPayment(Model):
    """A request to be paid."""

    inputHash: Short
    network: Network
    agentIdentifier: AgentIdentifier
    identifierFromPurchaser: Purchaser
    payByTime: Iso | None = None
    submitResultTime: Iso | None = None
    unlockTime: Iso | None = None
    externalDisputeUnlockTime: Iso | None = None
    RequestedFunds: SomeFunds | None = None
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
    Amounts: SomeFunds | None = None
    metadata: Text | None = None
    buyerReturnAddress: Short | None = None
    paymentSourceType: Annotated[str, Field(max_length=100)] | None = None
    supportedPaymentSourceIndex: Annotated[float, Field(ge=0, le=24)] | None = None


class Transaction(Model):
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


class Action(Model):
    """What the service does next, and what kept it from that."""

    requestedAction: str
    errorType: str | None
    errorNote: str | None


class SellerAction(Action):
    """What the seller's service does next."""

    resultHash: str | None


class PastAction(Model):
    """What the service was about to do from some time on."""

    id: str
    createdAt: Iso
    updatedAt: Iso
    submittedTxHash: str | None
    requestedAction: str
    errorType: str | None
    errorNote: str | None


class SellersPastAction(PastAction):
    """What was asked for in a payment, once."""

    resultHash: str | None


class _Record(Model):
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

    ActionHistory: list[SellersPastAction] | None
    TransactionHistory: list[Transaction] | None


class PurchaseWithHistory(Purchase):
    """The buyer's side of an escrow; the histories are null unless they were asked for."""

    ActionHistory: list[PastAction] | None
    TransactionHistory: list[Transaction] | None


class Payments(Model):
    """A page of payments."""

    Payments: list[PaymentWithHistory]


class Purchases(Model):
    """A page of purchases."""

    Purchases: list[PurchaseWithHistory]


class PurchaseExists(Error):
    """It is paid for, by the purchase that is shown."""

    id: str
    object: Purchase


class Count(Model):
    """How many there are."""

    total: int


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
    "MasumiService.ListPayments": Shape(answers=ok(Payments)),
    "MasumiService.CreatePayment": call(NewPayment, Payment, REPEATABLE),
    "MasumiService.ResolvePayment": call(Resolve, PaymentWithHistory),
    "MasumiService.SubmitResult": call(SubmittedResult, Payment),
    "MasumiService.AuthorizeRefund": call(OneRecord, Payment),
    "MasumiService.RecoverPayment": call(Recover, Payment),
    "MasumiService.DiffPayments": Shape(answers=ok(Payments)),
    "MasumiService.CountPayments": Shape(answers=ok(Count)),
    "MasumiService.ListPurchases": Shape(answers=ok(Purchases)),
    "MasumiService.CreatePurchase": Shape(
        takes=(json(NewPurchase, _PAID),),
        answers=ok(Purchase),
        also={409: (json(PurchaseExists),)},
        headers=REPEATABLE,
    ),
    "MasumiService.ResolvePurchase": call(Resolve, PurchaseWithHistory),
    "MasumiService.RequestRefund": call(OneRecord, Purchase),
    "MasumiService.CancelRefundRequest": call(OneRecord, Purchase),
    "MasumiService.RecoverPurchase": call(Recover, Purchase),
    "MasumiService.DiffPurchases": Shape(answers=ok(Purchases)),
    "MasumiService.CountPurchases": Shape(answers=ok(Count)),
}
