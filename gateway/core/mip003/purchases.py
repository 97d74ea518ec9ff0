"""Paid services: what a job is paid for with, and what the purchaser needs to know to pay.

A flow is paid for if the registry says that it has a price.  Source: the "Payment Integration Demo" of the notebook;
MIP-003 (`start_job`); the payment service's rules of `identifierFromPurchaser`.
"""

import asyncio
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import grpc
import structlog
from agentmesh_protos.payments.v1 import payments_pb2
from agentmesh_protos.registry.v1 import registry_pb2
from agentmesh_protos.runner.v1 import job_pb2, payment_terms_pb2

from gateway.core import jobs
from gateway.core.hashes import input_hash
from gateway.core.peers import Peers
from meshkit.clock import millis_of
from meshkit.errors import DeadlineExceeded, Invalid, NotFound, Unavailable, from_rpc

log = structlog.get_logger()
_IDENTIFIER_CHARS = range(14, 27)
_HEX = re.compile(r"[0-9a-fA-F]*\Z")
_TIMEOUT_S = 5.0
_FIELD = "identifier_from_purchaser"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a purchaser asks for, as it goes on to the runner."""

    extra: Mapping[str, Any]
    """Kept with the job: `identifier_from_purchaser`, `input_hash`, `sumi_endpoint` and, of a paid one, the agent."""
    terms: payment_terms_pb2.PaymentTerms | None
    """How it is paid for; None if the flow is free."""


def order(flow: registry_pb2.Flow, service: str, identifier: str | None, data: Mapping[str, Any]) -> Order:
    """Return the order of a purchaser who sends `data` to a flow; `service` is what the dialect calls the flow.

    Raises `Invalid`, naming `identifier_from_purchaser`, for one that no escrow takes, and `input_data` for what cannot
    be hashed.
    """
    digest = input_hash(identifier or "", data)  # of the data as sent: buyers reckon it too
    terms = _terms(flow, identifier, digest)
    extra = {"identifier_from_purchaser": identifier, "input_hash": digest, "sumi_endpoint": service}
    if terms is not None:
        extra |= {"agentIdentifier": terms.agent_identifier, "network": terms.network}
    return Order(extra=extra, terms=terms)


def _terms(flow: registry_pb2.Flow, identifier: str | None, digest: str) -> payment_terms_pb2.PaymentTerms | None:
    if not flow.HasField("pricing"):
        return None
    if identifier is None:
        raise Invalid("request is not valid", {_FIELD: ["Field required"]})
    if (problem := _problem(identifier)) is not None:
        raise Invalid(
            "request is not valid", {_FIELD: [f"{problem}: send 14 to 26 hex digits, an even number of them"]}
        )
    return payment_terms_pb2.PaymentTerms(
        agent_identifier=flow.pricing.agent_identifier,
        network=flow.pricing.network,
        purchaser_identifier=identifier,
        input_hash=digest,
    )


def _problem(identifier: str) -> str | None:
    if not _HEX.match(identifier):
        return "is not hex"
    if len(identifier) not in _IDENTIFIER_CHARS:
        return f"has {len(identifier)} characters"
    return "has an odd number of digits" if len(identifier) % 2 else None


class Purchases:
    """What the purchasers of the current caller's jobs must know."""

    def __init__(self, peers: Peers) -> None:
        self._jobs = peers.jobs
        self._payments = peers.payments

    async def asked(self, job: job_pb2.Job, patience_s: float) -> None:
        """Wait until the purchaser of a job can be asked to pay, or the job has ended, but no longer."""
        try:
            async with asyncio.timeout(patience_s):
                stream = self._jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name))
                try:
                    async for message in stream:
                        if any(event.kind == "payment" for event in message.events):
                            return
                finally:
                    stream.cancel()
        except TimeoutError:
            return
        except grpc.aio.AioRpcError as error:  # the answer without it is still an answer
            log.warning("job cannot be watched", job=job.name, code=error.code().name)

    async def of(self, job: job_pb2.Job) -> dict[str, Any]:
        """Return the fields of a paid job's answer in the MIP-003 shape, null where there is no value yet.

        Empty for a free job.
        """
        if not job.payment:
            return {}
        try:
            with from_rpc():
                payment = await self._payments.GetPayment(
                    payments_pb2.GetPaymentRequest(name=job.payment), timeout=_TIMEOUT_S
                )
        except (NotFound, Unavailable, DeadlineExceeded):  # it is about to be made, or its service is
            payment = payments_pb2.Payment()
        extra = jobs.json_object(job.extra_json)
        return {
            "blockchainIdentifier": payment.blockchain_identifier or None,
            "payByTime": _millis(payment, "pay_by_time"),
            "submitResultTime": _millis(payment, "submit_result_time"),
            "unlockTime": _millis(payment, "unlock_time"),
            "externalDisputeUnlockTime": _millis(payment, "external_dispute_unlock_time"),
            "agentIdentifier": payment.agent_identifier or extra.get("agentIdentifier"),
            "sellerVKey": payment.seller_vkey or None,
        }


def _millis(payment: payments_pb2.Payment, field: Any) -> int | None:
    return millis_of(getattr(payment, field)) if payment.HasField(field) else None
