"""Prices as people read them."""

import pytest
from mesh.payments.v1 import payments_pb2

from gateway.core import prices

TOKEN = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("amounts", "shown"),
    [
        ([], ""),
        ([("10000000", "")], "10 ADA"),
        ([("1500000", "")], "1.5 ADA"),
        ([("1", "")], "0.000001 ADA"),
        ([("7", "short")], "7 short"),
        ([("1000000", ""), ("7", TOKEN)], "1 ADA + 7 01234567…cdef"),
    ],
)
def test_amounts(amounts: list[tuple[str, str]], shown: str) -> None:
    """In ADA, or in a token's smallest unit with its name cut."""
    assert shown == prices.shown(payments_pb2.Money(amount=amount, unit=unit) for amount, unit in amounts)
