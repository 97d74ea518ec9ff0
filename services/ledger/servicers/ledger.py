"""`mesh.payments.v1.LedgerService`: the calls of sellers and buyers.

Each names itself by the token of an API key; the payments service of the mesh needs none.
"""

from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit.clock import millis_of
from meshkit.errors import Invalid
from meshkit.idempotency import Request, ask
from meshkit.interceptors import Context
from meshkit.principal import caller
from services.ledger import buying, reading, registry, selling, wire
from services.ledger.domain.accounts import PURCHASING, SELLING, Agent, Key, check_may
from services.ledger.domain.actions import Side
from services.ledger.domain.deals import Deal
from services.ledger.domain.options import CONTRACTS, POLICIES
from services.ledger.domain.queries import PAGE, PAGE_MAX, Changed, Filter
from services.ledger.ports.store import Session
from services.ledger.repeats import repeatable
from services.ledger.servicers.open import Behind

HOUSE_SERVICE = "payments"
"""The service that acts for the mesh itself."""
_ORDERS = {
    pb.LEDGER_ORDER_CHANGED: Changed.EITHER,
    pb.LEDGER_ORDER_ACTION_CHANGED: Changed.ACTION,
    pb.LEDGER_ORDER_STATE_CHANGED: Changed.STATE,
}
_PATHS = {Side.PAYMENT: "payment", Side.PURCHASE: "purchase"}
_FIND_MAX = 100


class LedgerServicer(Behind, pb_grpc.LedgerServiceServicer):
    """Unpack, authenticate, call, pack.  The names of calls are those of the HTTP API: faults are ordered by them."""

    async def GetLedgerKey(self, request: pb.GetLedgerKeyRequest, context: Context) -> pb.LedgerKey:
        """Return the key of a token."""
        key = await self._key(request.token, "read")
        return await self._ledger.call("api-key-status", lambda session: wire.key_pb(key), reads=True)

    async def RequestFunds(self, request: pb.RequestFundsRequest, context: Context) -> pb.LedgerRecord:
        """Make a request to be paid."""
        key = await self._key(request.token, "pay", request.network)
        asked = wire.payment_ask(request)
        deal = await self._ledger.call(
            "payment",
            repeatable(
                _named(request, key),
                lambda session: selling.create_payment(session, key, asked),
                lambda deal: deal.blockchain_identifier,
                lambda session, name: reading.resolve(session, key, Side.PAYMENT, asked.network, name),
            ),
        )
        return await self._record(deal, Side.PAYMENT)

    async def LockFunds(self, request: pb.LockFundsRequest, context: Context) -> pb.LedgerRecord:
        """Pay."""
        key = await self._key(request.token, "pay", request.network)
        asked = wire.purchase_ask(request)
        deal = await self._ledger.call(
            "purchase",
            repeatable(
                _named(request, key),
                lambda session: buying.create_purchase(session, key, asked),
                lambda deal: deal.blockchain_identifier,
                lambda session, name: reading.resolve(session, key, Side.PURCHASE, asked.network, name),
            ),
        )
        return await self._record(deal, Side.PURCHASE)

    async def CommandRecord(self, request: pb.CommandRecordRequest, context: Context) -> pb.LedgerRecord:
        """Ask for something to be done to a record."""
        key = await self._key(request.token, "pay", request.network)
        network, identifier = request.network, request.blockchain_identifier
        call = self._ledger.call
        match request.command:
            case pb.LEDGER_COMMAND_SUBMIT_RESULT:
                side, result_hash = Side.PAYMENT, request.result_hash
                deal = await call(
                    "payment/submit-result",
                    lambda session: selling.submit_result(session, key, network, identifier, result_hash),
                )
            case pb.LEDGER_COMMAND_AUTHORIZE_REFUND:
                side = Side.PAYMENT
                deal = await call(
                    "payment/authorize-refund",
                    lambda session: selling.authorize_refund(session, key, network, identifier),
                )
            case pb.LEDGER_COMMAND_REQUEST_REFUND:
                side = Side.PURCHASE
                deal = await call(
                    "purchase/request-refund",
                    lambda session: buying.request_refund(session, key, network, identifier),
                )
            case pb.LEDGER_COMMAND_CANCEL_REFUND:
                side = Side.PURCHASE
                deal = await call(
                    "purchase/cancel-refund-request",
                    lambda session: buying.cancel_refund_request(session, key, network, identifier),
                )
            case pb.LEDGER_COMMAND_RECOVER:
                side, at = wire.side_of(request.side), millis_of(request.update_time)
                deal = await call(
                    f"{_PATHS[side]}/error-state-recovery",
                    lambda session: reading.recover(session, key, side, network, identifier, at, retry=request.retry),
                )
            case _:
                raise Invalid("command is required", {"command": ["name one of LedgerCommand"]})
        return await self._record(deal, side)

    async def ResolveRecord(self, request: pb.ResolveRecordRequest, context: Context) -> pb.LedgerRecord:
        """Return the record of a blockchain identifier."""
        key = await self._key(request.token, "read", request.network)
        side = wire.side_of(request.side)
        deal = await self._ledger.call(
            f"{_PATHS[side]}/resolve",
            lambda session: reading.resolve(session, key, side, request.network, request.blockchain_identifier),
            reads=True,
        )
        return await self._record(deal, side)

    async def ListRecords(self, request: pb.ListRecordsRequest, context: Context) -> pb.ListRecordsResponse:
        """List records, changes, or what was asked for with some metadata."""
        mine = reading.whose(await self._key(request.token, "read", request.network))
        side, network = wire.side_of(request.side), request.network
        size, since = request.page_size, millis_of(request.since_time)

        def work(session: Session) -> pb.ListRecordsResponse:
            if request.metadata:
                found = session.payments_of(network, request.metadata, since, _FIND_MAX, mine)
            elif request.order in _ORDERS:
                found = session.changes(side, network, since, request.cursor, size, _ORDERS[request.order], mine)
            else:
                wanted = Filter(
                    state=request.state,
                    needs_manual_action=request.needs_manual_action,
                    key_id=mine,
                    search=request.query[:200],
                )
                found = session.records(side, network, request.cursor, size, wanted)
            records = [wire.record_pb(deal, side, _address(session, deal.seller_vkey)) for deal in found]
            return pb.ListRecordsResponse(records=records, clock=wire.clock_pb(session.clock))

        kind = "find" if request.metadata else "diff" if request.order in _ORDERS else "list"
        return await self._ledger.call(f"{_PATHS[side]}/{kind}", work, reads=True)

    async def GetLedgerTime(self, request: pb.GetLedgerTimeRequest, context: Context) -> pb.LedgerClock:
        """Return the time."""
        return await self._ledger.read(lambda session: wire.clock_pb(session.clock))

    async def CountRecords(self, request: pb.CountRecordsRequest, context: Context) -> pb.CountRecordsResponse:
        """Count records."""
        mine = reading.whose(await self._key(request.token, "read", request.network))
        side = wire.side_of(request.side)
        total = await self._ledger.call(
            f"{_PATHS[side]}/count", lambda session: session.count(side, request.network, mine), reads=True
        )
        return pb.CountRecordsResponse(total=total)

    async def ListPaymentSources(
        self, request: pb.ListPaymentSourcesRequest, context: Context
    ) -> pb.ListPaymentSourcesResponse:
        """List the key's networks and wallets."""
        key = await self._key(request.token, "read")
        sources = await self._ledger.call(
            "payment-source", lambda session: [_source(session, key, network) for network in key.networks], reads=True
        )
        return pb.ListPaymentSourcesResponse(sources=sources)

    async def RegisterAgent(self, request: pb.RegisterAgentRequest, context: Context) -> pb.LedgerAgent:
        """Register an agent."""
        key = await self._key(request.token, "pay", request.agent.network)
        asked = wire.agent_ask(request.agent)
        agent = await self._ledger.call(
            "registry",
            repeatable(
                _named(request, key),
                lambda session: registry.register(session, key, asked),
                lambda agent: agent.id,
                registry.find_entry,
            ),
        )
        return await self._agent(agent)

    async def DeregisterAgent(self, request: pb.DeregisterAgentRequest, context: Context) -> pb.LedgerAgent:
        """Take an agent off the registry."""
        key = await self._key(request.token, "pay", request.network)
        agent = await self._ledger.call(
            "registry/deregister",
            lambda session: registry.deregister(session, key, request.network, request.agent_identifier),
        )
        return await self._agent(agent)

    async def DeleteAgent(self, request: pb.DeleteAgentRequest, context: Context) -> pb.LedgerAgent:
        """Forget an entry."""
        key = await self._key(request.token, "pay")
        agent = await self._ledger.call("registry/delete", lambda session: registry.delete(session, key, request.id))
        return await self._agent(agent)

    async def ListAgents(self, request: pb.ListAgentsRequest, context: Context) -> pb.ListAgentsResponse:
        """List entries."""
        await self._key(request.token, "read", request.network)

        def work(session: Session) -> pb.ListAgentsResponse:
            if request.agent_identifier:
                found = [registry.read(session, request.network, request.agent_identifier)]
            elif request.holder_vkey:
                found = registry.held_by(session, request.network, request.holder_vkey)
            else:
                size = min(max(request.page_size or PAGE, 1), PAGE_MAX)
                found = registry.list_agents(session, request.network, request.cursor, size)
            agents = [wire.agent_pb(agent, _address(session, agent.holder_vkey)) for agent in found]
            return pb.ListAgentsResponse(agents=agents)

        return await self._ledger.call("registry/list", work, reads=True)

    async def _key(self, token: str, need: str, network: str | None = None) -> Key:
        """Return the caller's key, if it may `read` or `pay`, there if a network is named."""
        where = wire.network_of(network) if network is not None else ""
        key = await self._ledger.authenticate(token, house=caller().service == HOUSE_SERVICE)
        check_may(key, need, where)
        return key

    async def _record(self, deal: Deal, side: Side) -> pb.LedgerRecord:
        return await self._ledger.read(lambda session: wire.record_pb(deal, side, _address(session, deal.seller_vkey)))

    async def _agent(self, agent: Agent) -> pb.LedgerAgent:
        return await self._ledger.read(lambda session: wire.agent_pb(agent, _address(session, agent.holder_vkey)))


def _named(request: pb.RequestFundsRequest | pb.LockFundsRequest | pb.RegisterAgentRequest, key: Key) -> Request | None:
    return ask(request, owner=f"keys/{key.id}")


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
