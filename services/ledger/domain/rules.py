"""What a request must satisfy: times, hexadecimal digits, prices.  The words are the payment service's."""

import dataclasses
import re

from services.ledger.domain.accounts import Agent
from services.ledger.domain.chain import MINUTE_MS
from services.ledger.domain.deals import Funds
from services.ledger.domain.errors import BadRequest

HOUR_MS = 60 * MINUTE_MS
IDENTIFIER_CHARS_MIN = 14
IDENTIFIER_CHARS_MAX = 26
HASH_CHARS_MAX = 250
FUNDS_MAX = 7
AGENT_CHARS_MIN = 57
AGENT_CHARS_MAX = 250
_HEX = re.compile(r"([0-9a-fA-F]{2})+")
_RESULT_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The four deadlines, in ms since 1970."""

    pay_by: int
    submit_result: int
    unlock: int
    external_dispute: int


def times(pay_by: int, submit_result: int, unlock: int | None, external_dispute: int | None) -> Times:
    """Return the deadlines, with the defaults of the last two."""
    return Times(
        pay_by=pay_by,
        submit_result=submit_result,
        unlock=submit_result + 6 * HOUR_MS if unlock is None else unlock,
        external_dispute=submit_result + 12 * HOUR_MS if external_dispute is None else external_dispute,
    )


def check_times(given: Times, now: int) -> None:
    """Raise `BadRequest` for the first rule that the deadlines break, in the order of Masumi's payment service."""
    broken = {
        "Pay by time must be before submit result time (min. 5 minutes)": given.pay_by
        > given.submit_result - 5 * MINUTE_MS,
        "Pay by time must be in the future (max. 5 minutes)": given.pay_by < now - 5 * MINUTE_MS,
        "External dispute unlock time must be after unlock time (min. 15 minutes difference)": given.external_dispute
        < given.unlock + 15 * MINUTE_MS,
        "Submit result time must be in the future (min. 15 minutes)": given.submit_result < now + 15 * MINUTE_MS,
        "Submit result time must be before unlock time with at least 15 minutes difference": given.submit_result
        > given.unlock - 15 * MINUTE_MS,
    }
    for message, is_broken in broken.items():
        if is_broken:
            raise BadRequest(message)


def check_purchaser(identifier: str) -> None:
    """Raise `BadRequest` unless it is 14 to 26 hexadecimal digits, an even number of them."""
    check_length("identifierFromPurchaser", identifier, IDENTIFIER_CHARS_MIN, IDENTIFIER_CHARS_MAX)
    if not _HEX.fullmatch(identifier):
        raise BadRequest("Purchaser identifier is not a valid hex string")


def check_length(field: str, text: str, least: int, most: int) -> None:
    """Raise `BadRequest`, in the words of the service's schema, for a text that is too short or too long."""
    if len(text) < least:
        raise BadRequest(f"{field}: Too small: expected string to have >={least} characters")
    if len(text) > most:
        raise BadRequest(f"{field}: Too big: expected string to have <={most} characters")


def check_input_hash(input_hash: str) -> None:
    """Raise `BadRequest` unless it is hexadecimal, an even number of digits (any: it need not be a SHA-256)."""
    check_length("inputHash", input_hash, 0, HASH_CHARS_MAX)
    if not _HEX.fullmatch(input_hash):
        raise BadRequest("Input hash is not a valid hex string")


def check_result_hash(result_hash: str) -> None:
    """Raise `BadRequest` unless it is 64 hexadecimal digits."""
    if not _RESULT_HASH.fullmatch(result_hash):
        raise BadRequest("submitResultHash: Invalid string: must match pattern /^[0-9a-fA-F]{64}$/")


def payment_price(agent: Agent, funds: Funds | None) -> Funds:
    """Return what a payment costs.  Raises `BadRequest` if the seller may not ask for `funds`."""
    _check_count(funds, "RequestedFunds")
    if agent.pricing_type == "Fixed":
        if funds:
            raise BadRequest("For fixed pricing, RequestedFunds must be null")
        return list(agent.pricing)
    if agent.pricing_type != "Dynamic":
        raise BadRequest("Pricing type not supported for payments")
    if not funds:
        raise BadRequest("For dynamic pricing, RequestedFunds must be provided")
    if any(amount <= 0 for amount, _ in funds):
        raise BadRequest("RequestedFunds amounts must be positive")
    return list(funds)


def purchase_price(agent: Agent, funds: Funds | None) -> Funds:
    """Return what a purchase pays.  Raises `BadRequest` if the buyer's `funds` are not what the agent costs."""
    _check_count(funds, "Amounts")
    if agent.pricing_type == "Fixed":
        if funds and sorted(funds) != sorted(agent.pricing):
            raise BadRequest("Provided Amounts do not match the fixed pricing of the agent")
        return list(agent.pricing)
    if agent.pricing_type != "Dynamic":
        raise BadRequest("Pricing type not supported for payments")
    if not funds:
        raise BadRequest("For dynamic pricing, Amounts must be provided")
    if any(amount <= 0 for amount, _ in funds):
        raise BadRequest("Amounts must be positive")
    return list(funds)


def _check_count(funds: Funds | None, field: str) -> None:
    if funds and len(funds) > FUNDS_MAX:
        raise BadRequest(f"{field}: Too big: expected array to have <={FUNDS_MAX} items")
