"""`mesh.payments.v1.LedgerControlService`: the operator's calls.

Keys can be made always; clock, faults and balances answer in development mode only.
"""

from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit.clock import millis_of
from meshkit.errors import Invalid, NotFound
from meshkit.idempotency import ask
from meshkit.interceptors import Context
from services.ledger import control, registry, wire
from services.ledger.control import Tampering
from services.ledger.domain.actions import Side
from services.ledger.domain.clock import LAST_MS
from services.ledger.domain.deals import Deal
from services.ledger.ledger import Ledger
from services.ledger.ports.store import Session
from services.ledger.repeats import repeatable
from services.ledger.servicers.open import Behind

_BALANCES_MAX = 10_000


class ControlServicer(Behind, pb_grpc.LedgerControlServiceServicer):
    """Unpack, call, pack.  Of `secret` the tokens are made that a repeated request is told again."""

    def __init__(self, ledger: Ledger | None, secret: bytes) -> None:
        super().__init__(ledger)
        self._secret = secret

    @property
    def _dev(self) -> Ledger:
        if not self._ledger.options.development:
            raise NotFound("the ledger can be controlled in development mode only: on a loopback address")
        return self._ledger

    async def CreateLedgerKey(self, request: pb.CreateLedgerKeyRequest, context: Context) -> pb.CreateLedgerKeyResponse:
        """Make an API key."""
        wanted, funds = wire.key_of(request.key), wire.funds_of(request.funds, "funds")
        named = ask(request)
        token = control.new_token(self._secret, named)
        key = await self._ledger.write(
            repeatable(
                named,
                lambda session: control.create_key(session, wanted, funds, token),
                lambda key: key.id,
                control.find_key,
            )
        )
        return pb.CreateLedgerKeyResponse(key=wire.key_pb(key), token=token)

    async def ListLedgerKeys(self, request: pb.ListLedgerKeysRequest, context: Context) -> pb.ListLedgerKeysResponse:
        """List the keys."""
        keys = await self._ledger.read(lambda session: session.all_keys())
        return pb.ListLedgerKeysResponse(keys=[wire.key_pb(key) for key in keys])

    async def RevokeLedgerKey(self, request: pb.RevokeLedgerKeyRequest, context: Context) -> pb.LedgerKey:
        """Refuse a token from now on."""
        return wire.key_pb(await self._ledger.write(lambda session: control.revoke_key(session, request.id)))

    async def GetDevelopmentToken(
        self, request: pb.GetDevelopmentTokenRequest, context: Context
    ) -> pb.DevelopmentToken:
        """Return the token of the key `dev`."""
        return pb.DevelopmentToken(token=self._dev.options.development_token)

    async def GetLedgerClock(self, request: pb.GetLedgerClockRequest, context: Context) -> pb.LedgerClock:
        """Return the time."""
        return await self._dev.read(lambda session: wire.clock_pb(session.clock))

    async def SetLedgerClock(self, request: pb.SetLedgerClockRequest, context: Context) -> pb.LedgerClock:
        """Set the clock.  Raises `Invalid` for an `advance_s` that is no number of seconds that there are."""
        if not abs(request.advance_s) <= LAST_MS / 1000:  # nor NaN
            raise Invalid("advance_s is too large", {"advance_s": ["send seconds, at most some 7000 years"]})
        at = millis_of(request.time) if request.HasField("time") else None
        if request.advance_s:
            at = (self._dev.now() if at is None else at) + round(request.advance_s * 1000)
        scale = request.scale if request.HasField("scale") else None
        return wire.clock_pb(await self._dev.set_clock(at=at, scale=scale))

    async def InjectFault(self, request: pb.InjectFaultRequest, context: Context) -> pb.ListFaultsResponse:
        """Let calls go wrong."""
        self._dev.inject(wire.fault_of(request.fault))
        return self._faults()

    async def ListFaults(self, request: pb.ListFaultsRequest, context: Context) -> pb.ListFaultsResponse:
        """List what waits to go wrong."""
        return self._faults()

    async def ClearFaults(self, request: pb.ClearFaultsRequest, context: Context) -> pb.ListFaultsResponse:
        """Let calls go right again."""
        self._dev.faults.waiting.clear()
        return self._faults()

    async def TamperRecord(self, request: pb.TamperRecordRequest, context: Context) -> pb.LedgerRecord:
        """Do something to an escrow."""
        how = Tampering(
            side=wire.SIDES.get(request.side, Side.PAYMENT),
            stuck=request.stuck,
            invalid_datum=request.invalid_datum,
            datum_input_hash=request.datum_input_hash,
            paid=tuple(wire.funds_of(request.paid, "paid")),
            force_state=request.force_state,
            force_action=request.force_action,
            roll_back=request.roll_back,
        )
        identifier = request.blockchain_identifier
        deal = await self._dev.write(lambda session: control.tamper(session, identifier, how))
        return await self._record(deal, how.side)

    async def SettleDispute(self, request: pb.SettleDisputeRequest, context: Context) -> pb.LedgerRecord:
        """End a dispute."""
        seller = wire.funds_of(request.seller, "seller")
        identifier = request.blockchain_identifier
        deal = await self._dev.write(lambda session: control.settle(session, identifier, seller))
        return await self._record(deal, Side.PAYMENT)

    async def ListBalances(self, request: pb.ListBalancesRequest, context: Context) -> pb.ListBalancesResponse:
        """List the accounts."""
        return await self._balances()

    async def FundWallet(self, request: pb.FundWalletRequest, context: Context) -> pb.ListBalancesResponse:
        """Give a wallet money."""
        funds = wire.funds_of(request.funds, "funds")
        await self._dev.write(lambda session: control.fund(session, request.vkey, funds))
        return await self._balances()

    async def MoveAgent(self, request: pb.MoveAgentRequest, context: Context) -> pb.LedgerAgent:
        """Let another wallet hold an agent."""
        network = wire.network_of(request.network)
        agent = await self._dev.write(
            lambda session: registry.move_agent(session, network, request.agent_identifier, request.vkey)
        )
        return wire.agent_pb(agent, "")

    def _faults(self) -> pb.ListFaultsResponse:
        return pb.ListFaultsResponse(faults=[wire.fault_pb(fault) for fault in self._dev.faults.waiting])

    async def _record(self, deal: Deal, side: Side) -> pb.LedgerRecord:
        def work(session: Session) -> pb.LedgerRecord:
            held = session.wallet(deal.seller_vkey)
            return wire.record_pb(deal, side, held[0].address if held else "")

        return await self._ledger.read(work)

    async def _balances(self) -> pb.ListBalancesResponse:
        found = (await self._dev.read(lambda session: session.balances()))[:_BALANCES_MAX]
        return pb.ListBalancesResponse(
            balances=[
                pb.LedgerBalance(account=account, money=wire.money_pb([(amount, unit)])[0])
                for account, unit, amount in found
            ]
        )
