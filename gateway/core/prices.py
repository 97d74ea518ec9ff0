"""What a job costs, as people read it."""

from collections.abc import Iterable

from mesh.payments.v1 import payments_pb2
from mesh.runner.v1 import job_pb2

from gateway.core.peers import Peers
from meshkit.errors import DeadlineExceeded, NotFound, Unavailable, from_rpc

_LOVELACE_PER_ADA = 1_000_000
_TIMEOUT_S = 5.0


class Prices:
    """What jobs of the current caller wait to be paid with."""

    def __init__(self, peers: Peers) -> None:
        self._payments = peers.payments

    async def asked(self, job: job_pb2.Job) -> str:
        """Return what must be paid before a job runs: `10 ADA (Preprod)`; empty if nothing is asked.

        While it is being found out, or the service of payments is away, it says that there is a price.
        """
        if job.state != job_pb2.JOB_STATE_AWAITING_PAYMENT:
            return ""
        try:
            with from_rpc():
                payment: payments_pb2.Payment = await self._payments.GetPayment(
                    payments_pb2.GetPaymentRequest(name=job.payment), timeout=_TIMEOUT_S
                )
        except (NotFound, Unavailable, DeadlineExceeded):  # it is about to be made, or its service is
            return "a price that is about to be known"
        return f"{shown(payment.amounts) or 'a price of its seller'} ({payment.network})"


def shown(amounts: Iterable[payments_pb2.Money]) -> str:
    """Return amounts in ADA, or in a token's smallest unit, joined by `+`."""
    return " + ".join(_ada(amount.amount) if not amount.unit else _token(amount) for amount in amounts)


def _ada(lovelace: str) -> str:
    whole, rest = divmod(int(lovelace or 0), _LOVELACE_PER_ADA)
    return f"{whole}{f'.{rest:06}'.rstrip('0') if rest else ''} ADA"


def _token(amount: payments_pb2.Money) -> str:
    unit = amount.unit
    return f"{amount.amount} {unit if len(unit) <= 16 else f'{unit[:8]}…{unit[-4:]}'}"
