"""Escrows, as the payments of who is paid and the purchases of who pays: two sides, of which most is alike."""

from typing import Any, TypeAlias

from agentmesh_protos.payments.v1 import ledger_pb2
from google.api import httpbody_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.dialects.masumi import views
from gateway.dialects.masumi.errors import ObjectExists
from gateway.dialects.masumi.ledger import Ledger, money, success
from gateway.dialects.masumi.schema import Schema
from gateway.http.exchange import exchange
from meshkit.clock import stamp_ms
from meshkit.errors import AlreadyExists, from_rpc

PAYMENT, PURCHASE = ledger_pb2.LEDGER_SIDE_PAYMENT, ledger_pb2.LEDGER_SIDE_PURCHASE
PAGE, PAGE_MAX = 10, 100
SOURCE_TYPES = ("Web3CardanoV1", "Web3CardanoV2")
STATES = (
    "FundsLocked",
    "FundsOrDatumInvalid",
    "ResultSubmitted",
    "RefundRequested",
    "Disputed",
    "WithdrawAuthorized",
    "RefundAuthorized",
    "Withdrawn",
    "RefundWithdrawn",
    "DisputedWithdrawn",
)
"""Of an escrow on the chain."""
Side: TypeAlias = "ledger_pb2.LedgerSide.ValueType"
Command: TypeAlias = "ledger_pb2.LedgerCommand.ValueType"
_MANY = {PAYMENT: "Payments", PURCHASE: "Purchases"}
_ORDERS = {
    "diff": ledger_pb2.LEDGER_ORDER_CHANGED,
    "next-action": ledger_pb2.LEDGER_ORDER_ACTION_CHANGED,
    "onchain-state-or-result": ledger_pb2.LEDGER_ORDER_STATE_CHANGED,
}
_NOON_1970 = 43_200_000  # the original's default of two times: leaving them out always ends in 400


class Records:
    """What both sides can ask for."""

    def __init__(self, ledger: Ledger, side: Side) -> None:
        self._ledger = ledger
        self._side = side

    async def list(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return a page of records, newest first."""
        schema = await self._ledger.read(request)
        asked = self._listed(request, schema)
        if request.filterOnChainState:
            asked.state = schema.choice("filterOnChainState", STATES)
        asked.needs_manual_action = schema.boolean("filterNeedsManualAction")
        asked.query = request.searchQuery
        return await self._records(asked, schema, ours=self._is_ours(request, schema))

    async def diff(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return a page of what changed, oldest first; the path says which change counts."""
        schema = await self._ledger.read(request)
        since = stamp_ms(schema.iso("lastUpdate", 0) or 0)
        asked = self._listed(request, schema)
        asked.since_time.CopyFrom(since)
        asked.order = _ORDERS.get(exchange().path.rstrip("/").rpartition("/")[2], ledger_pb2.LEDGER_ORDER_CHANGED)
        return await self._records(asked, schema)

    def _listed(self, request: Any, schema: Schema) -> ledger_pb2.ListRecordsRequest:
        return ledger_pb2.ListRecordsRequest(
            token=self._ledger.token,
            network=schema.network(),
            side=self._side,
            page_size=int(schema.number("limit", 1, PAGE_MAX, PAGE)),
            cursor=request.cursorId,
        )

    def _is_ours(self, request: Any, schema: Schema) -> bool:
        """Return whether the one contract of the network is among those that are asked for."""
        ours = views.source(request.network, "")
        kind = schema.choice("filterPaymentSourceType", SOURCE_TYPES, ours["paymentSourceType"])
        address = request.filterSmartContractAddress
        return kind == ours["paymentSourceType"] and address in ("", ours["smartContractAddress"])

    async def _records(
        self, asked: ledger_pb2.ListRecordsRequest, schema: Schema, *, ours: bool = True
    ) -> httpbody_pb2.HttpBody:
        history = schema.boolean("includeHistory")
        schema.check()
        if not ours:
            return success({_MANY[self._side]: []})
        with from_rpc():
            found = (await self._ledger.stub.ListRecords(asked)).records
        return success({_MANY[self._side]: [views.with_history(item, shown=history) for item in found]})

    async def count(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return how many records there are."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.CountRecordsRequest(token=self._ledger.token, network=schema.network(), side=self._side)
        schema.check()
        with from_rpc():
            return success({"total": (await self._ledger.stub.CountRecords(asked)).total})

    async def resolve(self, request: Any) -> httpbody_pb2.HttpBody:
        """Return one record, by its blockchain identifier."""
        schema = await self._ledger.read(request)
        network, identifier = schema.network(), schema.text("blockchainIdentifier")
        history = schema.boolean("includeHistory")
        schema.check()
        return success(views.with_history(await self._one(network, identifier), shown=history))

    async def command(self, request: Any, command: Command) -> httpbody_pb2.HttpBody:
        """Ask for the next step of an escrow; return the record."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.CommandRecordRequest(
            token=self._ledger.token,
            network=schema.network(),
            blockchain_identifier=schema.text("blockchainIdentifier"),
            command=command,
            side=self._side,
        )
        if command == ledger_pb2.LEDGER_COMMAND_SUBMIT_RESULT:
            asked.result_hash = schema.text("submitResultHash", most=250)
        if command == ledger_pb2.LEDGER_COMMAND_RECOVER:
            asked.update_time.CopyFrom(_required(schema, "updatedAt"))
            asked.retry = schema.boolean("retryPreviousAction")
        schema.check()
        with from_rpc():
            return success(views.record(await self._ledger.stub.CommandRecord(asked)))

    async def _one(self, network: str, identifier: str) -> ledger_pb2.LedgerRecord:
        asked = ledger_pb2.ResolveRecordRequest(
            token=self._ledger.token, network=network, blockchain_identifier=identifier, side=self._side
        )
        with from_rpc():
            record: ledger_pb2.LedgerRecord = await self._ledger.stub.ResolveRecord(asked)
        return record


class Payments(Records):
    """The seller's side."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, PAYMENT)

    async def create(self, request: Any) -> httpbody_pb2.HttpBody:
        """Make a request to be paid."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.RequestFundsRequest(
            token=self._ledger.token,
            input_hash=schema.text("inputHash", most=250),
            network=schema.network(),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
            pay_by_time=stamp_ms(schema.iso("payByTime", _NOON_1970) or 0),
            submit_result_time=stamp_ms(schema.iso("submitResultTime", _NOON_1970) or 0),
            funds=money(schema.funds("RequestedFunds")),
            metadata=schema.optional("metadata"),
            seller_return_address=schema.optional("sellerReturnAddress", most=250),
            purchaser_identifier=schema.text("identifierFromPurchaser", least=14, most=26),
            source_type=schema.optional("paymentSourceType", most=100) or "",
            source_index=_index(schema),
        )
        if (unlock := schema.iso("unlockTime")) is not None:
            asked.unlock_time.CopyFrom(stamp_ms(unlock))
        if (dispute := schema.iso("externalDisputeUnlockTime")) is not None:
            asked.external_dispute_unlock_time.CopyFrom(stamp_ms(dispute))
        schema.check()
        with from_rpc():
            return success(views.payment(await self._ledger.stub.RequestFunds(asked)))


class Purchases(Records):
    """The buyer's side."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, PURCHASE)

    async def create(self, request: Any) -> httpbody_pb2.HttpBody:
        """Pay.  Raises `ObjectExists` with the purchase that there is."""
        schema = await self._ledger.read(request)
        asked = ledger_pb2.LockFundsRequest(
            token=self._ledger.token,
            blockchain_identifier=schema.text("blockchainIdentifier"),
            network=schema.network(),
            input_hash=schema.text("inputHash", most=250),
            seller_vkey=schema.text("sellerVkey", most=250),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
            funds=money(schema.funds("Amounts")),
            purchaser_identifier=schema.text("identifierFromPurchaser", least=14, most=26),
            metadata=schema.optional("metadata"),
            buyer_return_address=schema.optional("buyerReturnAddress", most=250),
            pay_by_time=stamp_ms(schema.ms("payByTime")),
            submit_result_time=stamp_ms(schema.ms("submitResultTime")),
            unlock_time=stamp_ms(schema.ms("unlockTime")),
            external_dispute_unlock_time=stamp_ms(schema.ms("externalDisputeUnlockTime")),
            source_type=schema.optional("paymentSourceType", most=100) or "",
            source_index=_index(schema),
        )
        schema.check()
        try:
            with from_rpc():
                return success(views.purchase(await self._ledger.stub.LockFunds(asked)))
        except AlreadyExists as error:
            there = await self._one(asked.network, asked.blockchain_identifier)
            raise ObjectExists(str(error), there.id, views.purchase(there)) from None


def _required(schema: Schema, name: str) -> Timestamp:
    given = schema.iso(name)
    if given is None:
        schema.refuse(name, "Invalid input")
    return stamp_ms(given or 0)


def _index(schema: Schema) -> int | None:
    index = schema.number("supportedPaymentSourceIndex", 0, 24, -1)
    return None if index < 0 else int(index)
