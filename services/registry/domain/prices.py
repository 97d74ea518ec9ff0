"""What a job of a flow costs: a flow is sold if, and only if, the operator's meta names a registered agent for it."""

import dataclasses

DEFAULT_NETWORK = "Preprod"
"""Where the flows of an expose that names no network are paid for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Amount:
    """So much of one unit."""

    amount: str
    """A whole number of base units, in decimal digits."""
    unit: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What a job costs, and who sells it."""

    agent_identifier: str
    network: str
    amounts: tuple[Amount, ...]
    """Paid together; empty if the operator does not say."""


def pricing(agent_identifier: str | None, amounts: tuple[Amount, ...], network: str | None) -> Pricing | None:
    """Return the price of a flow; None for one that is free, whatever amounts are written about it."""
    if not agent_identifier:
        return None
    return Pricing(agent_identifier=agent_identifier, network=network or DEFAULT_NETWORK, amounts=amounts)


def amount(number: str | None, unit: str | None) -> Amount | None:
    """Return an amount as it is written; None for what is not a whole number of something."""
    if number is None or unit is None or not (number.isascii() and number.isdigit()):
        return None
    return Amount(number, unit)
