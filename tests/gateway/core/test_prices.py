"""Prices as people read them."""

import pytest
from agentmesh_protos.payments.v1 import payments_pb2
from agentmesh_protos.registry.v1 import registry_pb2

from gateway.core import prices

TOKEN = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("amounts", "shown"),
    [
        ([], ""),
        ([("10000000", "")], "10 ADA"),
        ([("1500000", "")], "1.5 ADA"),
        ([("1", "lovelace")], "0.000001 ADA"),
        ([("7", "short")], "7 short"),
        ([("1000000", ""), ("7", TOKEN)], "1 ADA + 7 01234567…cdef"),
    ],
)
def test_amounts(amounts: list[tuple[str, str]], shown: str) -> None:
    """In ADA, or in a token's smallest unit with its name cut."""
    assert shown == prices.shown(payments_pb2.Money(amount=amount, unit=unit) for amount, unit in amounts)


@pytest.mark.parametrize(
    ("amounts", "shown"), [([("10000000", "lovelace")], "10 ADA (Preprod)"), ([], "what its seller asks (Preprod)")]
)
def test_what_a_flow_offers(amounts: list[tuple[str, str]], shown: str) -> None:
    """With its network; an operator need not say how much."""
    priced = registry_pb2.Flow()
    priced.pricing.network = "Preprod"
    for amount, unit in amounts:
        priced.pricing.amounts.add(amount=amount, unit=unit)

    assert shown == prices.offered(priced)
    assert "" == prices.offered(registry_pb2.Flow()) == prices.offered(None)
