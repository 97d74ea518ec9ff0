"""The ledger on the wire: `register` adds its two services to the payments process."""

from collections.abc import Callable
from typing import TypeVar

import grpc
from mesh.payments.v1 import ledger_pb2 as pb
from mesh.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit.errors import FailedPrecondition, Invalid
from meshkit.interceptors import Context
from services.payments.ledger import accounts, buying, reading, registry, selling, wire
from services.payments.ledger.accounts import Agent, Key
from services.payments.ledger.actions import Side
from services.payments.ledger.control_servicer import ControlServicer
from services.payments.ledger.deals import Deal
from services.payments.ledger.errors import BadRequest
from services.payments.ledger.ledger import Ledger
from services.payments.ledger.options import CONTRACTS, POLICIES
from services.payments.ledger.session import PURCHASING, SELLING, Session

SERVICES = ("mesh.payments.v1.LedgerService", "mesh.payments.v1.LedgerControlService")
"""What `register` adds."""
T = TypeVar("T")
_ORDERS = {
    pb.LEDGER_ORDER_CHANGED: reading.Changed.EITHER,
    pb.LEDGER_ORDER_ACTION_CHANGED: reading.Changed.ACTION,
    pb.LEDGER_ORDER_STATE_CHANGED: reading.Changed.STATE,
}
_PATHS = {Side.PAYMENT: "payment", Side.PURCHASE: "purchase"}


def register(server: grpc.aio.Server, ledger: Ledger | None) -> None:
    """Serve the ledger; without one, every call says so."""
    pb_grpc.add_LedgerServiceServicer_to_server(LedgerServicer(ledger), server)
    pb_grpc.add_LedgerControlServiceServicer_to_server(ControlServicer(ledger), server)


class LedgerServicer(pb_grpc.LedgerServiceServicer):
    """Unpack, authenticate, call, pack."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._given = ledger

    @property
    def _ledger(self) -> Ledger:
        if self._given is None:
            raise FailedPrecondition("this mesh has no ledger: its networks are on other providers")
        return self._given

    def _key(self, token: str, need: str, network: str = "") -> Key:
        key = self._ledger.authenticate(token)
        accounts.check_may(key, need, wire.network_of(network) if network else "")
        return key

    async def _call(self, name: str, work: Callable[[Session], T], *, reads: bool = True) -> T:
        return await self._ledger.call(name, work, reads=reads)

    def _record(self, deal: Deal, side: Side) -> pb.LedgerRecord:
        return self._ledger.read(lambda session: wire.record_pb(deal, side, _address(session, deal.seller_vkey)))

    def _agent(self, agent: Agent) -> pb.LedgerAgent:
        return self._ledger.read(lambda session: wire.agent_pb(agent, _address(session, agent.holder_vkey)))

    async def GetLedgerKey(self, request: pb.GetLedgerKeyRequest, context: Context) -> pb.LedgerKey:
        """Return the key of a token."""
        key = self._key(request.token, "read")
        return await self._call("api-key-status", lambda session: wire.key_pb(key))

    async def RequestFunds(self, request: pb.RequestFundsRequest, context: Context) -> pb.LedgerRecord:
        """Make a request to be paid."""
        key = self._key(request.token, "pay", wire.network_of(request.network))
        ask = selling.PaymentAsk(
            network=request.network,
            agent_identifier=request.agent_identifier,
            purchaser_identifier=request.purchaser_identifier,
            input_hash=request.input_hash,
            pay_by_time=wire.ms(request.pay_by_time),
            submit_result_time=wire.ms(request.submit_result_time),
            unlock_time=wire.ms(request.unlock_time) if request.HasField("unlock_time") else None,
            external_dispute_unlock_time=wire.ms(request.external_dispute_unlock_time)
            if request.HasField("external_dispute_unlock_time")
            else None,
            funds=tuple(wire.funds_of(request.funds, "RequestedFunds")) or None,
            metadata=request.metadata if request.HasField("metadata") else None,
            seller_return_address=request.seller_return_address if request.HasField("seller_return_address") else None,
            source_type=request.source_type,
            source_index=request.source_index if request.HasField("source_index") else None,
        )
        return self._record(await self._ledger.create_payment(key, ask), Side.PAYMENT)

    async def LockFunds(self, request: pb.LockFundsRequest, context: Context) -> pb.LedgerRecord:
        """Pay."""
        key = self._key(request.token, "pay", wire.network_of(request.network))
        ask = buying.PurchaseAsk(
            blockchain_identifier=request.blockchain_identifier,
            network=request.network,
            input_hash=request.input_hash,
            seller_vkey=request.seller_vkey,
            agent_identifier=request.agent_identifier,
            purchaser_identifier=request.purchaser_identifier,
            pay_by_time=wire.ms(request.pay_by_time),
            submit_result_time=wire.ms(request.submit_result_time),
            unlock_time=wire.ms(request.unlock_time),
            external_dispute_unlock_time=wire.ms(request.external_dispute_unlock_time),
            funds=tuple(wire.funds_of(request.funds, "Amounts")) or None,
            metadata=request.metadata if request.HasField("metadata") else None,
            buyer_return_address=request.buyer_return_address if request.HasField("buyer_return_address") else None,
            source_type=request.source_type,
            source_index=request.source_index if request.HasField("source_index") else None,
        )
        return self._record(await self._ledger.create_purchase(key, ask), Side.PURCHASE)

    async def CommandRecord(self, request: pb.CommandRecordRequest, context: Context) -> pb.LedgerRecord:
        """Ask for something to be done to a record."""
        key = self._key(request.token, "pay", wire.network_of(request.network))
        network, identifier = request.network, request.blockchain_identifier
        ledger, command = self._ledger, request.command
        if command == pb.LEDGER_COMMAND_SUBMIT_RESULT:
            deal = await ledger.call(
                "payment/submit-result",
                lambda session: selling.submit_result(session, key, network, identifier, request.result_hash),
            )
            return self._record(deal, Side.PAYMENT)
        if command == pb.LEDGER_COMMAND_AUTHORIZE_REFUND:
            deal = await ledger.call(
                "payment/authorize-refund",
                lambda session: selling.authorize_refund(session, key, network, identifier),
            )
            return self._record(deal, Side.PAYMENT)
        if command == pb.LEDGER_COMMAND_REQUEST_REFUND:
            return self._record(await ledger.request_refund(key, network, identifier), Side.PURCHASE)
        if command == pb.LEDGER_COMMAND_CANCEL_REFUND:
            return self._record(await ledger.cancel_refund_request(key, network, identifier), Side.PURCHASE)
        if command == pb.LEDGER_COMMAND_RECOVER:
            side, at = wire.side_of(request.side), wire.ms(request.update_time)
            deal = await ledger.call(
                f"{_PATHS[side]}/error-state-recovery",
                lambda session: reading.recover(session, key, side, network, identifier, at, retry=request.retry),
            )
            return self._record(deal, side)
        raise Invalid("command is required", {"command": ["name one of LedgerCommand"]})

    async def ResolveRecord(self, request: pb.ResolveRecordRequest, context: Context) -> pb.LedgerRecord:
        """Return the record of a blockchain identifier."""
        self._key(request.token, "read", wire.network_of(request.network))
        side = wire.side_of(request.side)
        deal = await self._call(
            f"{_PATHS[side]}/resolve",
            lambda session: reading.resolve(session, side, request.network, request.blockchain_identifier),
        )
        return self._record(deal, side)

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        """List records or changes."""
        self._key(request.token, "read", wire.network_of(request.network))
        side, size = wire.side_of(request.side), request.page_size
        wanted = reading.Filter(
            state=request.state, needs_manual_action=request.needs_manual_action, search=request.query[:200]
        )

        def work(session: Session) -> list[pb.LedgerRecord]:
            if request.order in _ORDERS:
                since, by = wire.ms(request.since_time), _ORDERS[request.order]
                found = reading.diff(session, side, request.network, since, request.cursor, size, by)
            else:
                found = reading.page(session, side, request.network, request.cursor, size, wanted)
            return [wire.record_pb(deal, side, _address(session, deal.seller_vkey)) for deal in found]

        name = f"{_PATHS[side]}/diff" if request.order in _ORDERS else f"{_PATHS[side]}/list"
        return pb.ListRecordsResponse(records=await self._call(name, work))

    async def GetLedgerTime(self, request: pb.GetLedgerTimeRequest, context: Context) -> pb.LedgerClock:
        """Return the time."""
        return wire.clock_pb(self._ledger.read(lambda session: session.clock))

    async def CountRecords(self, request: pb.CountRecordsRequest, context: Context) -> pb.CountRecordsResponse:
        """Count records."""
        self._key(request.token, "read", wire.network_of(request.network))
        side = wire.side_of(request.side)
        total = await self._call(f"{_PATHS[side]}/count", lambda session: session.count(side, request.network))
        return pb.CountRecordsResponse(total=total)

    async def ListPaymentSources(
        self, request: pb.ListPaymentSourcesRequest, context: Context
    ) -> pb.ListPaymentSourcesResponse:
        """List the key's networks and wallets."""
        key = self._key(request.token, "read")
        sources = await self._call(
            "payment-source", lambda session: [_source(session, key, network) for network in key.networks]
        )
        return pb.ListPaymentSourcesResponse(sources=sources)

    async def RegisterAgent(self, request: pb.RegisterAgentRequest, context: Context) -> pb.LedgerAgent:
        """Register an agent."""
        sent = request.agent
        key = self._key(request.token, "pay", wire.network_of(sent.network))
        if not 1 <= len(sent.display_name) <= 250:
            raise BadRequest("name: expected 1 to 250 characters")
        ask = registry.AgentAsk(
            network=sent.network,
            selling_wallet_vkey=sent.holder_vkey,
            name=sent.display_name,
            pricing_type=sent.pricing_type,
            pricing=tuple(wire.funds_of(sent.pricing, "AgentPricing.Pricing")),
            metadata=wire.metadata_of(sent.metadata),
        )
        return self._agent(await self._ledger.register(key, ask))

    async def DeregisterAgent(self, request: pb.DeregisterAgentRequest, context: Context) -> pb.LedgerAgent:
        """Take an agent off the registry."""
        key = self._key(request.token, "pay", wire.network_of(request.network))
        agent = await self._call(
            "registry/deregister",
            lambda session: registry.deregister(session, key, request.network, request.agent_identifier),
            reads=False,
        )
        return self._agent(agent)

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Context) -> pb.LedgerAgent:
        """Forget an entry."""
        key = self._key(request.token, "pay")
        agent = await self._call(
            "registry/delete", lambda session: registry.delete(session, key, request.id), reads=False
        )
        return self._agent(agent)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """List entries."""
        self._key(request.token, "read", wire.network_of(request.network))

        def work(session: Session) -> list[Agent]:
            if request.agent_identifier:
                return [registry.read(session, request.network, request.agent_identifier)]
            if request.holder_vkey:
                return registry.held_by(session, request.network, request.holder_vkey)
            size = min(max(request.page_size or reading.PAGE, 1), reading.PAGE_MAX)
            return registry.list_agents(session, request.network, request.cursor, size)

        found = await self._call("registry/list", work)
        return pb.ListAgentsResponse(agents=[self._agent(agent) for agent in found])


def _address(session: Session, vkey: str) -> str:
    held = session.wallet(vkey)
    return held[0].address if held else ""


def _source(session: Session, key: Key, network: str) -> pb.LedgerSource:
    owner = "" if key.can_admin else key.id

    def wallets(kind: str) -> list[pb.LedgerWallet]:
        return [
            wire.wallet_pb(wallet, session.holdings(wallet.vkey)) for wallet in session.wallets(network, kind, owner)
        ]

    return pb.LedgerSource(
        network=network,
        policy_id=POLICIES[network],
        contract_address=CONTRACTS[network],
        selling_wallets=wallets(SELLING),
        purchasing_wallets=wallets(PURCHASING),
    )
