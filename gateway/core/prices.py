"""What a job costs, as people read it."""

from collections.abc import Iterable

from agentmesh_protos.payments.v1 import payments_pb2
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2

from gateway.core.peers import Peers
from meshkit.errors import DeadlineExceeded, NotFound, Unavailable, from_rpc

_LOVELACE = ("", "lovelace")
_PER_ADA = 1_000_000
_UNSAID = "what its seller asks"
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
        return f"{shown(payment.amounts) or _UNSAID} ({payment.network})"


def offered(flow: registry_pb2.Flow | None) -> str:
    """Return what a job of a flow costs, as its operator says: `10 ADA (Preprod)`; empty for a free flow."""
    if flow is None or not flow.HasField("pricing"):
        return ""
    return f"{shown(flow.pricing.amounts) or _UNSAID} ({flow.pricing.network})"


def shown(amounts: Iterable[payments_pb2.Money | registry_pb2.Pricing.Amount]) -> str:
    """Return amounts in ADA, or in a token's smallest unit, joined by `+`."""
    return " + ".join(_amount(item.amount, item.unit) for item in amounts)


def _amount(amount: str, unit: str) -> str:
    return _ada(amount) if unit in _LOVELACE else _token(amount, unit)


def _ada(lovelace: str) -> str:
    whole, rest = divmod(int(lovelace or 0), _PER_ADA)
    return f"{whole}{f'.{rest:06}'.rstrip('0') if rest else ''} ADA"


def _token(amount: str, unit: str) -> str:
    return f"{amount} {unit if len(unit) <= 16 else f'{unit[:8]}…{unit[-4:]}'}"
