"""The Masumi payment service's JSON, as far as a seller needs it: read strictly, written exactly.

Times go out as ISO text ending in `Z`, because that is all `POST /payment` takes, and come back as epoch milliseconds
in text.  What cannot be read raises `Unreadable`: a guess about money would be worse.
"""

import datetime
from collections.abc import Mapping
from typing import Any

from services.payments.domain import Amount, Escrow, Terms

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MS = datetime.timedelta(milliseconds=1)
_MS_MAX = 253_402_300_799_999  # the end of the year 9999
_TEXT_MAX = 8000
_NOTE_MAX = 1000


class Unreadable(Exception):
    """The answer is not what the API's documentation promises."""


def iso(ms: int) -> str:
    """Return epoch milliseconds as `2026-01-02T03:04:05.678Z`: an offset of `+00:00` is refused by the service."""
    return (_EPOCH + ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def request_body(terms: Terms) -> dict[str, Any]:
    """Return the body of `POST /payment`."""
    body: dict[str, Any] = {
        "inputHash": terms.input_hash,
        "network": terms.network,
        "agentIdentifier": terms.agent_identifier,
        "identifierFromPurchaser": terms.purchaser_identifier,
        "payByTime": iso(terms.pay_by_time),
        "submitResultTime": iso(terms.submit_result_time),
        "metadata": terms.job_id,
    }
    if terms.unlock_time:
        body["unlockTime"] = iso(terms.unlock_time)
    if terms.external_dispute_unlock_time:
        body["externalDisputeUnlockTime"] = iso(terms.external_dispute_unlock_time)
    if terms.amounts:  # for fixed pricing the key must be absent
        body["RequestedFunds"] = [{"amount": str(amount), "unit": unit} for amount, unit in terms.amounts]
    return body


def escrow(data: Any) -> Escrow:
    """Read a `Payment` object."""
    fields = mapping(data, "payment")
    action = mapping(fields.get("NextAction"), "NextAction")
    wallet = fields.get("SmartContractWallet")
    updated_at = _moment(fields, "updatedAt")
    return Escrow(
        id=text(fields, "id"),
        blockchain_identifier=text(fields, "blockchainIdentifier"),
        agent_identifier=text(fields, "agentIdentifier"),
        input_hash=text(fields, "inputHash"),
        result_hash=_optional(fields, "resultHash"),
        on_chain_state=_optional(fields, "onChainState") or None,
        next_action=text(action, "requestedAction"),
        error_type=_optional(action, "errorType"),
        error_note=_optional(action, "errorNote")[:_NOTE_MAX],
        pay_by_time=_ms(fields, "payByTime"),
        submit_result_time=_ms(fields, "submitResultTime"),
        unlock_time=_ms(fields, "unlockTime"),
        external_dispute_unlock_time=_ms(fields, "externalDisputeUnlockTime"),
        amounts=amounts(fields.get("RequestedFunds")),
        seller_vkey=_optional(mapping(wallet, "SmartContractWallet"), "walletVkey") if wallet is not None else "",
        job_id=_optional(fields, "metadata"),
        changed_at=_moment(fields, "nextActionOrOnChainStateOrResultLastChangedAt", updated_at),
        updated_at=updated_at,
    )


def created_at(data: Any) -> int:
    """Return when a record was made, in epoch milliseconds."""
    return _moment(mapping(data, "payment"), "createdAt")


def amounts(data: Any) -> tuple[Amount, ...]:
    """Read `[{amount, unit}]`; lovelace has the empty unit, whatever its spelling."""
    found = []
    for item in items(data or [], "amounts"):
        fields = mapping(item, "amount")
        amount, unit = _optional(fields, "amount"), _optional(fields, "unit")
        if not (amount.isascii() and amount.isdigit() and len(amount) <= 25):
            raise Unreadable("an amount is not a number")
        found.append((int(amount), "" if unit.lower() == "lovelace" else unit))
    return tuple(found)


def mapping(data: Any, what: str) -> Mapping[str, Any]:
    """Return a JSON object, or raise."""
    if not isinstance(data, Mapping):
        raise Unreadable(f"{what} is not an object")
    return data


def items(data: Any, what: str) -> list[Any]:
    """Return a JSON array, or raise."""
    if not isinstance(data, list):
        raise Unreadable(f"{what} is not a list")
    return data


def text(fields: Mapping[str, Any], key: str) -> str:
    """Return a text that must be there."""
    value = fields.get(key)
    if not isinstance(value, str) or not value or len(value) > _TEXT_MAX:
        raise Unreadable(f"{key} is missing or not a text")
    return value


def _optional(fields: Mapping[str, Any], key: str) -> str:
    return text(fields, key) if fields.get(key) not in (None, "") else ""


def _ms(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()) or int(value[:20]) > _MS_MAX:
        raise Unreadable(f"{key} is not a time in milliseconds")
    return int(value)


def _moment(fields: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = fields.get(key)
    if value is None and default is not None:
        return default
    try:
        moment = datetime.datetime.fromisoformat(str(value))
    except ValueError:
        raise Unreadable(f"{key} is not a time") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // _MS
