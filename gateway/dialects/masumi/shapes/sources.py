"""The service itself, what a key may do, and the networks with their wallets."""

from typing import Any, Literal

from gateway.dialects.masumi.shapes.common import Funds, Iso, Model, Network, ok
from gateway.http.shapes import Shape


class Ok(Model):
    """The service is there."""

    status: Literal["ok"]


class Key(Model):
    """What an API key may do."""

    id: str
    token: str
    permission: Literal["Read", "ReadAndPay", "Admin"]
    canRead: bool
    canPay: bool
    canAdmin: bool
    usageLimited: bool
    NetworkLimit: list[str]
    RemainingUsageCredits: list[Funds]
    status: Literal["Active", "Revoked"]
    walletScopeEnabled: bool
    WalletScopes: list[Any]


class Source(Model):
    """A network."""

    id: str
    network: Network
    paymentSourceType: str
    smartContractAddress: str
    policyId: str


class Wallet(Model):
    """A wallet, by the hash of its key."""

    id: str
    walletVkey: str


class WalletWithAddress(Wallet):
    """A wallet and its address."""

    walletAddress: str


class HeldWallet(WalletWithAddress):
    """A wallet and what it holds."""

    collectionAddress: None
    note: None
    balances: list[Funds]


class WalletAddress(Model):
    """Where a wallet is."""

    walletAddress: str


class PaymentSource(Source):
    """A network with the caller's wallets."""

    createdAt: Iso
    updatedAt: Iso
    lastIdentifierChecked: None
    lastCheckedAt: None
    AdminWallets: list[Any]
    FeeReceiverNetworkWallet: WalletAddress
    feeRatePermille: int
    SellingWallets: list[HeldWallet]
    PurchasingWallets: list[HeldWallet]


class PaymentSources(Model):
    """The networks."""

    PaymentSources: list[PaymentSource]


SHAPES = {
    "MasumiService.GetHealth": Shape(answers=ok(Ok)),
    "MasumiService.GetApiKeyStatus": Shape(answers=ok(Key)),
    "MasumiService.ListPaymentSources": Shape(answers=ok(PaymentSources)),
}
