"""The Masumi payment service's API: escrows of the embedded ledger, in the words of the original.

The ledger authenticates the header `token` and words its refusals; here bodies are read and records shown.  An answer
always has 200, also for what was created.
"""

from typing import Any, TypeAlias

from google.api import httpbody_pb2
from google.protobuf import struct_pb2, timestamp_pb2
from mesh.dialects.masumi.v1 import masumi_pb2 as pb
from mesh.dialects.masumi.v1 import masumi_pb2_grpc as pb_grpc
from mesh.payments.v1 import ledger_pb2, payments_pb2

from gateway.core.peers import Peers
from gateway.dialects.masumi import views
from gateway.dialects.masumi.schema import Schema, dumps
from gateway.http.dialect import ObjectExists
from gateway.http.exchange import exchange
from gateway.http.table import Service
from meshkit.errors import AlreadyExists, Invalid, from_rpc

PAYMENT, PURCHASE = ledger_pb2.LEDGER_SIDE_PAYMENT, ledger_pb2.LEDGER_SIDE_PURCHASE
Side: TypeAlias = "ledger_pb2.LedgerSide.ValueType"
_MANY = {PAYMENT: "Payments", PURCHASE: "Purchases"}
_ORDERS = {
    "diff": ledger_pb2.LEDGER_ORDER_CHANGED,
    "next-action": ledger_pb2.LEDGER_ORDER_ACTION_CHANGED,
    "onchain-state-or-result": ledger_pb2.LEDGER_ORDER_STATE_CHANGED,
}
_NOON_1970 = 43_200_000  # the original's default of two times: leaving them out always ends in 400
_PAGE, _PAGE_MAX = 10, 100
_STATES = {"Registered": "RegistrationConfirmed", "Deregistered": "DeregistrationConfirmed"}


def success(data: Any) -> httpbody_pb2.HttpBody:
    """Return an answer."""
    return httpbody_pb2.HttpBody(content_type="application/json", data=dumps({"status": "success", "data": data}))


def moment(ms: int) -> timestamp_pb2.Timestamp:
    """Return a time that is given in ms since 1970."""
    message = timestamp_pb2.Timestamp()
    message.FromMilliseconds(min(ms, 253_402_300_799_999))
    return message


def money(items: list[tuple[str, str]] | None) -> list[payments_pb2.Money]:
    """Return amounts as messages."""
    return [payments_pb2.Money(amount=amount, unit=unit) for amount, unit in items or []]


class MasumiServicer(pb_grpc.MasumiServiceServicer):
    """Read, call the ledger, show."""

    def __init__(self, peers: Peers) -> None:
        self._ledger = peers.ledger

    @property
    def _token(self) -> str:
        return exchange().headers.get("token", "")

    async def _check_token(self) -> None:
        # Before the body is looked at, as the original does: who has no key learns nothing about it.
        with from_rpc():
            await self._ledger.GetLedgerKey(ledger_pb2.GetLedgerKeyRequest(token=self._token))

    async def GetHealth(self, request: pb.GetHealthRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Say that the service is there."""
        return success({"status": "ok"})

    async def GetApiKeyStatus(self, request: pb.GetApiKeyStatusRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return what the token may do."""
        with from_rpc():
            key = await self._ledger.GetLedgerKey(ledger_pb2.GetLedgerKeyRequest(token=self._token))
        return success(views.key(key))

    # -- both sides

    async def _resolve(self, body: httpbody_pb2.HttpBody, side: Side) -> httpbody_pb2.HttpBody:
        await self._check_token()
        schema = Schema.of_body(body)
        asked = ledger_pb2.ResolveRecordRequest(
            token=self._token,
            network=schema.network(),
            blockchain_identifier=schema.text("blockchainIdentifier"),
            side=side,
        )
        history = schema.boolean("includeHistory")
        schema.check()
        with from_rpc():
            return success(views.with_history(await self._ledger.ResolveRecord(asked), shown=history))

    async def _list(self, request: Any, side: Side) -> httpbody_pb2.HttpBody:
        await self._check_token()
        schema = Schema(_query(request))
        asked = ledger_pb2.ListRecordsRequest(
            token=self._token,
            network=schema.network(),
            side=side,
            page_size=int(schema.number("limit", 1, _PAGE_MAX, _PAGE)),
            cursor=request.cursorId,
            state=request.filterOnChainState,
            needs_manual_action=schema.boolean("filterNeedsManualAction"),
            query=request.searchQuery,
        )
        return await self._records(asked, schema, side)

    async def _diff(self, request: Any, side: Side) -> httpbody_pb2.HttpBody:
        await self._check_token()
        schema = Schema(_query(request))
        since = schema.iso("lastUpdate", 0)
        asked = ledger_pb2.ListRecordsRequest(
            token=self._token,
            network=schema.network(),
            side=side,
            page_size=int(schema.number("limit", 1, _PAGE_MAX, _PAGE)),
            cursor=request.cursorId,
            order=_ORDERS.get(exchange().path.rstrip("/").rpartition("/")[2], ledger_pb2.LEDGER_ORDER_CHANGED),
            since_time=moment(since or 0),
        )
        return await self._records(asked, schema, side)

    async def _records(self, asked: ledger_pb2.ListRecordsRequest, schema: Schema, side: Side) -> httpbody_pb2.HttpBody:
        history = schema.boolean("includeHistory")
        schema.check()
        with from_rpc():
            found = (await self._ledger.ListRecords(asked)).records
        return success({_MANY[side]: [views.with_history(item, shown=history) for item in found]})

    async def _count(self, request: Any, side: Side) -> httpbody_pb2.HttpBody:
        await self._check_token()
        schema = Schema(_query(request))
        asked = ledger_pb2.CountRecordsRequest(token=self._token, network=schema.network(), side=side)
        schema.check()
        with from_rpc():
            return success({"total": (await self._ledger.CountRecords(asked)).total})

    async def _command(
        self, body: httpbody_pb2.HttpBody, command: ledger_pb2.LedgerCommand.ValueType, side: Side
    ) -> httpbody_pb2.HttpBody:
        await self._check_token()
        schema = Schema.of_body(body)
        asked = ledger_pb2.CommandRecordRequest(
            token=self._token,
            network=schema.network(),
            blockchain_identifier=schema.text("blockchainIdentifier"),
            command=command,
            side=side,
        )
        if command == ledger_pb2.LEDGER_COMMAND_SUBMIT_RESULT:
            asked.result_hash = schema.text("submitResultHash", most=250)
        if command == ledger_pb2.LEDGER_COMMAND_RECOVER:
            asked.update_time.CopyFrom(moment(_required(schema, "updatedAt")))
            asked.retry = schema.boolean("retryPreviousAction")
        schema.check()
        with from_rpc():
            return success(views.record(await self._ledger.CommandRecord(asked)))

    # -- the seller's

    async def ListPayments(self, request: pb.ListPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List payments, newest first."""
        return await self._list(request, PAYMENT)

    async def CreatePayment(self, request: pb.CreatePaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Make a request to be paid."""
        await self._check_token()
        schema = Schema.of_body(request.json_body)
        asked = ledger_pb2.RequestFundsRequest(
            token=self._token,
            input_hash=schema.text("inputHash", most=250),
            network=schema.network(),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
            pay_by_time=moment(schema.iso("payByTime", _NOON_1970) or 0),
            submit_result_time=moment(schema.iso("submitResultTime", _NOON_1970) or 0),
            funds=money(schema.funds("RequestedFunds")),
            metadata=schema.optional("metadata"),
            seller_return_address=schema.optional("sellerReturnAddress", most=250),
            purchaser_identifier=schema.text("identifierFromPurchaser", least=14, most=26),
            source_type=schema.optional("paymentSourceType", most=100) or "",
            source_index=_index(schema),
        )
        for name, field in (("unlockTime", asked.unlock_time), ("externalDisputeUnlockTime", None)):
            given = schema.iso(name)
            if given is not None:
                (asked.external_dispute_unlock_time if field is None else field).CopyFrom(moment(given))
        schema.check()
        with from_rpc():
            return success(views.payment(await self._ledger.RequestFunds(asked)))

    async def ResolvePayment(self, request: pb.ResolvePaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a payment."""
        return await self._resolve(request.json_body, PAYMENT)

    async def SubmitResult(self, request: pb.SubmitResultRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Ask for a hash to be put on the chain."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_SUBMIT_RESULT, PAYMENT)

    async def AuthorizeRefund(self, request: pb.AuthorizeRefundRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Give up a dispute."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_AUTHORIZE_REFUND, PAYMENT)

    async def RecoverPayment(self, request: pb.RecoverPaymentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Go on after an error."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_RECOVER, PAYMENT)

    async def DiffPayments(self, request: pb.DiffPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List what changed, oldest first."""
        return await self._diff(request, PAYMENT)

    async def CountPayments(self, request: pb.CountPaymentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Count payments."""
        return await self._count(request, PAYMENT)

    # -- the buyer's

    async def ListPurchases(self, request: pb.ListPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List purchases, newest first."""
        return await self._list(request, PURCHASE)

    async def CreatePurchase(self, request: pb.CreatePurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Pay.  Raises `ObjectExists` with the purchase that there is."""
        await self._check_token()
        schema = Schema.of_body(request.json_body)
        asked = ledger_pb2.LockFundsRequest(
            token=self._token,
            blockchain_identifier=schema.text("blockchainIdentifier"),
            network=schema.network(),
            input_hash=schema.text("inputHash", most=250),
            seller_vkey=schema.text("sellerVkey", most=250),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
            funds=money(schema.funds("Amounts")),
            purchaser_identifier=schema.text("identifierFromPurchaser", least=14, most=26),
            metadata=schema.optional("metadata"),
            buyer_return_address=schema.optional("buyerReturnAddress", most=250),
            pay_by_time=moment(schema.ms("payByTime")),
            submit_result_time=moment(schema.ms("submitResultTime")),
            unlock_time=moment(schema.ms("unlockTime")),
            external_dispute_unlock_time=moment(schema.ms("externalDisputeUnlockTime")),
            source_type=schema.optional("paymentSourceType", most=100) or "",
            source_index=_index(schema),
        )
        schema.check()
        with from_rpc():
            try:
                return success(views.purchase(await self._call_lock(asked)))
            except AlreadyExists as error:
                there = await self._ledger.ResolveRecord(
                    ledger_pb2.ResolveRecordRequest(
                        token=self._token,
                        network=asked.network,
                        blockchain_identifier=asked.blockchain_identifier,
                        side=PURCHASE,
                    )
                )
                raise ObjectExists(str(error), there.id, views.purchase(there)) from None

    async def _call_lock(self, asked: ledger_pb2.LockFundsRequest) -> ledger_pb2.LedgerRecord:
        with from_rpc():
            locked: ledger_pb2.LedgerRecord = await self._ledger.LockFunds(asked)
            return locked

    async def ResolvePurchase(self, request: pb.ResolvePurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return a purchase."""
        return await self._resolve(request.json_body, PURCHASE)

    async def RequestRefund(self, request: pb.RequestRefundRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Ask for the money back."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_REQUEST_REFUND, PURCHASE)

    async def CancelRefundRequest(self, request: pb.CancelRefundRequestRequest, context: Any) -> httpbody_pb2.HttpBody:
        """No longer ask for it."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_CANCEL_REFUND, PURCHASE)

    async def RecoverPurchase(self, request: pb.RecoverPurchaseRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Go on after an error."""
        return await self._command(request.json_body, ledger_pb2.LEDGER_COMMAND_RECOVER, PURCHASE)

    async def DiffPurchases(self, request: pb.DiffPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List what changed, oldest first."""
        return await self._diff(request, PURCHASE)

    async def CountPurchases(self, request: pb.CountPurchasesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Count purchases."""
        return await self._count(request, PURCHASE)

    # -- the registry

    async def ListPaymentSources(self, request: pb.ListPaymentSourcesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the networks with the caller's wallets."""
        with from_rpc():
            asked = ledger_pb2.ListPaymentSourcesRequest(token=self._token)
            sources = (await self._ledger.ListPaymentSources(asked)).sources
        return success({"PaymentSources": [views.payment_source(item) for item in sources]})

    async def ListRegistry(self, request: pb.ListRegistryRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List registered agents, newest first."""
        await self._check_token()
        schema = Schema(_query(request))
        asked = ledger_pb2.ListAgentsRequest(
            token=self._token,
            network=schema.network(),
            page_size=int(schema.number("limit", 1, _PAGE_MAX, _PAGE)),
            cursor=request.cursorId,
            agent_identifier=request.filterAgentIdentifier,
        )
        schema.check()
        with from_rpc():
            found = (await self._ledger.ListAgents(asked)).agents
        wanted = _STATES.get(request.filterStatus, "")
        return success({"Assets": [views.agent(item) for item in found if wanted in ("", item.state)]})

    async def RegisterAgent(self, request: pb.RegisterAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Register an agent."""
        await self._check_token()
        schema = Schema.of_body(request.json_body)
        pricing = schema.mapping("AgentPricing")
        kind = pricing.choice("pricingType", ("Fixed", "Free", "Dynamic"))
        metadata = struct_pb2.Struct()
        agent = ledger_pb2.LedgerAgent(
            network=schema.network(),
            holder_vkey=schema.text("sellingWalletVkey", most=250),
            display_name=schema.text("name", least=1, most=250),
            pricing_type=kind,
            pricing=money(pricing.funds("Pricing", items_max=5)) if kind == "Fixed" else [],
        )
        schema.join("AgentPricing", pricing)
        metadata.update(_metadata(schema))
        agent.metadata.CopyFrom(metadata)
        schema.check()
        with from_rpc():
            made = await self._ledger.RegisterAgent(ledger_pb2.RegisterAgentRequest(token=self._token, agent=agent))
        return success(views.agent(made))

    async def DeleteRegistration(self, request: pb.DeleteRegistrationRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Forget an entry that is no longer registered."""
        await self._check_token()
        schema = Schema.of_body(request.json_body)
        asked = ledger_pb2.DeleteAgentRequest(token=self._token, id=schema.text("id", most=100))
        schema.check()
        with from_rpc():
            return success(views.agent(await self._ledger.DeleteAgent(asked)))

    async def DeregisterAgent(self, request: pb.DeregisterAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Take an agent off the registry."""
        await self._check_token()
        schema = Schema.of_body(request.json_body)
        asked = ledger_pb2.DeregisterAgentRequest(
            token=self._token,
            network=schema.network(),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
        )
        schema.check()
        with from_rpc():
            return success(views.agent(await self._ledger.DeregisterAgent(asked)))

    async def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return an agent as the chain shows it."""
        found = await self._agents(request, "agentIdentifier", "agent_identifier")
        return success(views.agent_on_chain(found[0]))

    async def ListWalletAgents(self, request: pb.ListWalletAgentsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List the agents that a wallet holds."""
        found = await self._agents(request, "walletVKey", "holder_vkey")
        return success({"Assets": [views.agent_on_chain(item) for item in found]})

    async def _agents(self, request: Any, name: str, field: str) -> list[ledger_pb2.LedgerAgent]:
        await self._check_token()
        schema = Schema(_query(request))
        asked = ledger_pb2.ListAgentsRequest(token=self._token, network=schema.network())
        setattr(asked, field, schema.text(name, least=1, most=250))
        schema.check()
        with from_rpc():
            return list((await self._ledger.ListAgents(asked)).agents)


def _query(request: Any) -> dict[str, str]:
    """Return the fields of a query that were sent."""
    return {field.name: value for field, value in request.ListFields()}


def _required(schema: Schema, name: str) -> int:
    given = schema.iso(name)
    if given is None:
        schema.refuse(name, "Invalid input")
    return given or 0


def _index(schema: Schema) -> int | None:
    index = schema.number("supportedPaymentSourceIndex", 0, 24, -1)
    return None if index < 0 else int(index)


def _metadata(schema: Schema) -> dict[str, Any]:
    """Return what else is registered of an agent; its shape is the caller's affair, its size is not."""
    found = schema.values("description", "apiBaseUrl", "Tags", "ExampleOutputs", "Capability", "Author", "Legal")
    if len(dumps(found)) > 16_384:
        raise Invalid("description: Too big: expected at most 16384 bytes of metadata")
    return found


SERVICE = Service(
    name="mesh.dialects.masumi.v1.MasumiService",
    add=pb_grpc.add_MasumiServiceServicer_to_server,
    servicer=MasumiServicer,
)
