"""How the ledger's records look in the masumi dialect: every key of the original, and none more."""

import hashlib
from collections.abc import Iterable
from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2, payments_pb2
from google.protobuf import json_format, timestamp_pb2

from meshkit.clock import millis_of, moment_of

SOURCE_TYPE = "Web3CardanoV1"
POLICY_CHARS = 56
_CONTRACTS = {
    "Preprod": "addr_test1wz7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsqukgwfm",
    "Mainnet": "addr1wx7j4kmg2cs7yf92uat3ed4a3u97kr7axxr4avaz0lhwdsq87ujx7",
}


_ALWAYS = "2025-01-01T00:00:00.000Z"
"""Since when there are networks: they were never made."""
_AUTHOR = ("name", "contactEmail", "contactOther", "organization")
_LEGAL = ("privacyPolicy", "terms", "other")


def stable_id(*parts: str) -> str:
    """Return an id of the original's kind for something that the ledger does not number."""
    return "c" + hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def iso(moment: timestamp_pb2.Timestamp) -> str:
    """Return a time as JavaScript writes it."""
    return moment_of(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def funds(items: Iterable[payments_pb2.Money]) -> list[dict[str, str]]:
    """Return amounts."""
    return [{"amount": item.amount, "unit": item.unit} for item in items]


def source(network: str, policy_id: str) -> dict[str, Any]:
    """Return what a record says of its network."""
    return {
        "id": stable_id("source", network),
        "network": network,
        "paymentSourceType": SOURCE_TYPE,
        "smartContractAddress": _CONTRACTS.get(network, ""),
        "policyId": policy_id,
    }


def record(item: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    """Return a Payment or a Purchase, by its side."""
    return payment(item) if item.side == ledger_pb2.LEDGER_SIDE_PAYMENT else purchase(item)


def payment(item: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    """Return a Payment."""
    wallet = {
        "id": stable_id("wallet", item.seller_vkey),
        "walletVkey": item.seller_vkey,
        "walletAddress": item.seller_address,
    }
    return {
        **_common(item),
        "NextAction": {**_next(item), "resultHash": item.action_result_hash or None},
        "RequestedFunds": funds(item.funds),
        "BuyerWallet": _wallet(item.buyer_vkey) if item.buyer_vkey else None,
        "SmartContractWallet": wallet,
    }


def purchase(item: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    """Return a Purchase."""
    locked = item.HasField("transaction")
    wallet = {**_wallet(item.buyer_vkey), "walletAddress": ""} if locked else None
    return {
        **_common(item),
        "NextAction": _next(item),
        "PaidFunds": funds(item.funds),
        "SellerWallet": _wallet(item.seller_vkey),
        "SmartContractWallet": wallet,
    }


def _wallet(vkey: str) -> dict[str, Any]:
    return {"id": stable_id("wallet", vkey), "walletVkey": vkey}


def _next(item: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    return {
        "requestedAction": item.action,
        "errorType": item.error_type or None,
        "errorNote": item.error_note or None,
    }


def _common(item: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    either = max(millis_of(item.action_change_time), millis_of(item.state_change_time))
    changed = item.action_change_time if either == millis_of(item.action_change_time) else item.state_change_time
    return {
        "id": item.id,
        "createdAt": iso(item.create_time),
        "updatedAt": iso(item.update_time),
        "blockchainIdentifier": item.blockchain_identifier,
        "agentIdentifier": item.agent_identifier,
        "agentName": item.agent_name,
        "pricingType": item.pricing_type,
        "lastCheckedAt": iso(item.update_time),
        "payByTime": str(millis_of(item.pay_by_time)),
        "submitResultTime": str(millis_of(item.submit_result_time)),
        "unlockTime": str(millis_of(item.unlock_time)),
        "externalDisputeUnlockTime": str(millis_of(item.external_dispute_unlock_time)),
        "collateralReturnLovelace": str(item.collateral) if item.state else None,
        "buyerReturnAddress": _given(item, "buyer_return_address"),
        "sellerReturnAddress": _given(item, "seller_return_address"),
        "requestedById": item.requested_by,
        "inputHash": item.input_hash,
        "resultHash": item.result_hash,
        "onChainState": item.state or None,
        "CurrentTransaction": _transaction(item.transaction) if item.HasField("transaction") else None,
        "WithdrawnForSeller": funds(item.withdrawn_for_seller),
        "WithdrawnForBuyer": funds(item.withdrawn_for_buyer),
        "PaymentSource": source(item.network, item.agent_identifier[:POLICY_CHARS]),
        "metadata": _given(item, "metadata"),
        "totalBuyerCardanoFees": 0,
        "totalSellerCardanoFees": 0,
        "cooldownTime": millis_of(item.cooldown_time),
        "cooldownTimeOtherParty": millis_of(item.other_cooldown_time),
        "nextActionLastChangedAt": iso(item.action_change_time),
        "onChainStateOrResultLastChangedAt": iso(item.state_change_time),
        "nextActionOrOnChainStateOrResultLastChangedAt": iso(changed),
    }


def _given(item: ledger_pb2.LedgerRecord, field: str) -> str | None:
    return str(getattr(item, field)) if item.HasField(field) else None  # type: ignore[arg-type] # names of ours


def with_history(item: ledger_pb2.LedgerRecord, *, shown: bool) -> dict[str, Any]:
    """Return a record with its two histories, which are null unless they were asked for."""
    past = [_transaction(tx) for tx in item.history] if shown else None
    return {**record(item), "ActionHistory": _past_actions(item) if shown else None, "TransactionHistory": past}


def _past_actions(item: ledger_pb2.LedgerRecord) -> list[dict[str, Any]]:
    """Return what was asked for so far; the ledger does not keep which transaction came of it."""
    result = {"resultHash": None} if item.side == ledger_pb2.LEDGER_SIDE_PAYMENT else {}
    until = [change.time for change in item.actions[1:]] + [item.update_time]
    return [
        {
            "id": stable_id("action", item.id, str(number)),
            "createdAt": iso(change.time),
            "updatedAt": iso(ended),
            "submittedTxHash": None,
            "requestedAction": change.action,
            "errorType": None,
            "errorNote": None,
            **result,
        }
        for number, (change, ended) in enumerate(zip(item.actions, until, strict=False))
    ]


def _transaction(tx: ledger_pb2.LedgerTransaction) -> dict[str, Any]:
    confirmed = tx.HasField("block_time")
    return {
        "id": tx.id,
        "createdAt": iso(tx.send_time),
        "updatedAt": iso(tx.block_time if confirmed else tx.send_time),
        "txHash": tx.tx_hash,
        "status": tx.status,
        "fees": "0" if confirmed else None,
        "blockHeight": None,
        "blockTime": millis_of(tx.block_time) // 1000 if confirmed else None,
        "confirmations": 1 if confirmed else 0,
        "previousOnChainState": tx.previous_state or None,
        "newOnChainState": tx.new_state or None,
    }


# -- keys, sources, agents -------------------------------------------------------------------------------------------


def key(item: ledger_pb2.LedgerKey, token: str) -> dict[str, Any]:
    """Return an API key; `token` is what its holder has sent."""
    permission = "Admin" if item.can_admin else "ReadAndPay" if item.can_pay else "Read"
    return {
        "id": item.id,
        "token": token,
        "permission": permission,
        "canRead": item.can_read,
        "canPay": item.can_pay,
        "canAdmin": item.can_admin,
        "usageLimited": item.usage_limited,
        "NetworkLimit": list(item.networks),
        "RemainingUsageCredits": funds(item.credits),
        "status": "Revoked" if item.revoked else "Active",
        "walletScopeEnabled": False,
        "WalletScopes": [],
    }


def payment_source(item: ledger_pb2.LedgerSource) -> dict[str, Any]:
    """Return a network with the caller's wallets."""
    return {
        **source(item.network, item.policy_id),
        "createdAt": _ALWAYS,
        "updatedAt": _ALWAYS,
        "lastIdentifierChecked": None,
        "lastCheckedAt": None,
        "AdminWallets": [],
        "FeeReceiverNetworkWallet": {"walletAddress": _CONTRACTS.get(item.network, "")},
        "feeRatePermille": 50,
        "SellingWallets": [_held(wallet) for wallet in item.selling_wallets],
        "PurchasingWallets": [_held(wallet) for wallet in item.purchasing_wallets],
    }


def _held(wallet: ledger_pb2.LedgerWallet) -> dict[str, Any]:
    return {
        **_wallet(wallet.vkey),
        "walletAddress": wallet.address,
        "collectionAddress": None,
        "note": None,
        "balances": funds(wallet.balances),
    }


def _pricing(item: ledger_pb2.LedgerAgent) -> dict[str, Any]:
    if item.pricing_type != "Fixed":
        return {"pricingType": item.pricing_type}
    return {"pricingType": "Fixed", "Pricing": [{"unit": money.unit, "amount": money.amount} for money in item.pricing]}


def agent(item: ledger_pb2.LedgerAgent) -> dict[str, Any]:
    """Return an entry of the registry."""
    given = json_format.MessageToDict(item.metadata)
    return {
        "error": None,
        "id": item.id,
        "name": item.display_name,
        "description": given.get("description"),
        "type": "Standard",
        "apiBaseUrl": given.get("apiBaseUrl", ""),
        "openApiSpecUrl": None,
        "x402ResourcesUrl": None,
        "a2aAgentCardUrl": None,
        "a2aProtocolVersions": [],
        "paymentSourceType": SOURCE_TYPE,
        "Capability": _told(given.get("Capability"), ("name", "version")),
        "Author": {**_told(given.get("Author"), _AUTHOR), "name": _told(given.get("Author"), _AUTHOR)["name"] or ""},
        "Legal": _told(given.get("Legal"), _LEGAL),
        "state": item.state,
        "Tags": given.get("Tags", []),
        "ExampleOutputs": given.get("ExampleOutputs", []),
        "createdAt": iso(item.create_time),
        "updatedAt": iso(item.update_time),
        "lastCheckedAt": iso(item.update_time),
        "agentIdentifier": item.agent_identifier or None,
        "AgentPricing": _pricing(item),
        "sendFundingLovelace": None,
        "supportedPaymentSources": None,
        "verifications": None,
        "SmartContractWallet": {
            "walletVkey": item.holder_vkey,
            "walletAddress": item.holder_address,
        },
        "RecipientWallet": None,
        "CurrentTransaction": None,
        "PaymentSource": source(item.network, item.agent_identifier[:POLICY_CHARS]),
    }


def _told(given: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return an object with all of its keys, null where nothing was said, and what else was said."""
    return {**dict.fromkeys(keys), **(given if isinstance(given, dict) else {})}


def agent_on_chain(item: ledger_pb2.LedgerAgent) -> dict[str, Any]:
    """Return an agent as `/registry/agent-identifier` does."""
    given = json_format.MessageToDict(item.metadata)
    return {
        "policyId": item.agent_identifier[:POLICY_CHARS],
        "assetName": item.agent_identifier[POLICY_CHARS:],
        "agentIdentifier": item.agent_identifier,
        "Metadata": {
            "name": item.display_name,
            "description": given.get("description"),
            "apiBaseUrl": given.get("apiBaseUrl", ""),
            "ExampleOutputs": given.get("ExampleOutputs", []),
            "Tags": given.get("Tags", []),
            "Capability": given.get("Capability"),
            "Author": given.get("Author", {"name": ""}),
            "Legal": given.get("Legal"),
            "AgentPricing": _pricing(item),
            "image": given.get("image", ""),
            "metadataVersion": 1,
            "supportedPaymentSources": None,
            "verifications": None,
        },
    }
