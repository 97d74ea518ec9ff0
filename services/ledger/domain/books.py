"""Double entry: money moves from one account to another, and nothing else ever changes a balance.

Accounts are texts: `wallet:{vkey}`, `flight:{deal}` (in a transaction that is not confirmed), `escrow:{deal}`,
`fees:{network}`, and `genesis:{network}`, which owes what was handed out.  Amounts are integers of the unit's smallest
denomination, so the sum over all accounts of a unit is zero at any time, exactly.
"""

from collections.abc import Iterable
from typing import Protocol


class Books(Protocol):
    """Keeps balances."""

    def balance(self, account: str, unit: str) -> int:
        """Return what an account holds."""

    def move(self, source: str, target: str, unit: str, amount: int, why: str) -> None:
        """Move money.  Raises `ValueError` for a negative amount, or if `source` may not owe it."""


def check_move(source: str, amount: int, balance: int) -> None:
    """Raise `ValueError` unless `source` may give `amount`."""
    if amount < 0:
        raise ValueError(f"{amount} is negative")
    if not source.startswith("genesis:") and balance < amount:
        raise ValueError(f"{source} holds {balance}, less than {amount}")


def move_all(books: Books, source: str, target: str, funds: Iterable[tuple[int, str]], why: str) -> None:
    """Move several units at once."""
    for amount, unit in funds:
        if amount:
            books.move(source, target, unit, amount, why)


def wallet(vkey: str) -> str:
    """Return the account of a wallet."""
    return f"wallet:{vkey}"


def fee(amount: int, permille: int) -> int:
    """Return the protocol's share: `floor(amount · permille / 1000)`."""
    return amount * permille // 1000


def total(funds: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Return the sum of each unit."""
    sums: dict[str, int] = {}
    for amount, unit in funds:
        sums[unit] = sums.get(unit, 0) + amount
    return sums
