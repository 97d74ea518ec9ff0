"""What requests say, as the ledger's own."""

import pytest
from agentmesh_protos.payments.v1 import payments_pb2

from services.ledger import wire
from services.ledger.domain.errors import BadRequest


@pytest.mark.parametrize("amount", ["-5", "+5", "", " 5", "1e3", "0x1", "5.0", "٣", "9" * 26])
def test_money_is_a_number_of_digits(amount: str) -> None:
    """Nobody pays less than nothing: a deal of such an amount could not be settled, nor any behind it."""
    with pytest.raises(BadRequest, match="paid"):
        wire.funds_of([payments_pb2.Money(amount=amount, unit="")], "paid")


def test_money_may_be_nothing() -> None:
    """In any unit."""
    assert [(0, "usdm")] == wire.funds_of([payments_pb2.Money(amount="0", unit="usdm")], "paid")
