"""The embedded ledger, as the holder of a request's `token` sees it, and the forms that all its answers share."""

from typing import Any

from agentmesh_protos.payments.v1 import ledger_pb2, ledger_pb2_grpc, payments_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.masumi.schema import Schema
from gateway.http.answers import json_answer
from gateway.http.exchange import exchange
from meshkit.errors import from_rpc


class Ledger:
    """Reads requests and asks the ledger, which knows who holds a token and words its refusals."""

    def __init__(self, peers: Peers) -> None:
        self.stub: ledger_pb2_grpc.LedgerServiceStub = peers.ledger

    @property
    def token(self) -> str:
        """The request's header `token`."""
        return exchange().headers.get("token", "")

    async def key(self) -> ledger_pb2.LedgerKey:
        """Return the key that the token is.  Raises `Unauthenticated`."""
        with from_rpc():
            key: ledger_pb2.LedgerKey = await self.stub.GetLedgerKey(ledger_pb2.GetLedgerKeyRequest(token=self.token))
        return key

    async def read(self, request: Any) -> Schema:
        """Check the token, then return the request's body or query to be read.

        In this order, as the original does: who has no key learns nothing about the request.
        """
        await self.key()
        return read(request)


def read(request: Any) -> Schema:
    """Return a request's body, or its query if it has none, to be read."""
    if "json_body" in request.DESCRIPTOR.fields_by_name:
        return Schema.of_body(request.json_body)
    return Schema({field.name: value for field, value in request.ListFields()})


def success(data: Any) -> httpbody_pb2.HttpBody:
    """Return an answer."""
    return json_answer({"status": "success", "data": data})


def money(items: list[tuple[str, str]] | None) -> list[payments_pb2.Money]:
    """Return amounts and units as messages."""
    return [payments_pb2.Money(amount=amount, unit=unit) for amount, unit in items or []]
