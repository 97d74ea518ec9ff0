"""The operator's calls on the wire: keys always; clock, faults and balances in development mode only."""

from mesh.payments.v1 import ledger_pb2 as pb
from mesh.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit.errors import FailedPrecondition, NotFound
from meshkit.interceptors import Context
from services.payments.ledger import control, registry, wire
from services.payments.ledger.actions import Side
from services.payments.ledger.control import Tampering
from services.payments.ledger.deals import Deal
from services.payments.ledger.ledger import Ledger
from services.payments.ledger.session import Session

_BALANCES_MAX = 10_000


class ControlServicer(pb_grpc.LedgerControlServiceServicer):
    """Unpack, call, pack."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._given = ledger

    @property
    def _ledger(self) -> Ledger:
        if self._given is None:
            raise FailedPrecondition("this mesh has no ledger: its networks are on other providers")
        return self._given

    @property
    def _dev(self) -> Ledger:
        if not self._ledger.options.development:
            raise NotFound("the ledger can be controlled in development mode only: on a loopback address")
        return self._ledger

    async def CreateLedgerKey(self, request: pb.CreateLedgerKeyRequest, context: Context) -> pb.CreateLedgerKeyResponse:
        """Make an API key."""
        key, token = await self._ledger.create_key(wire.key_of(request.key), wire.funds_of(request.funds, "funds"))
        return pb.CreateLedgerKeyResponse(key=wire.key_pb(key), token=token)

    async def ListLedgerKeys(self, request: pb.ListLedgerKeysRequest, context: Context) -> pb.ListLedgerKeysResponse:
        """List the keys."""
        keys = self._ledger.read(lambda session: session.all_keys())
        return pb.ListLedgerKeysResponse(keys=[wire.key_pb(key) for key in keys])

    async def RevokeLedgerKey(self, request: pb.RevokeLedgerKeyRequest, context: Context) -> pb.LedgerKey:
        """Refuse a token from now on."""
        return wire.key_pb(await self._ledger.write(lambda session: control.revoke_key(session, request.id)))

    async def GetLedgerClock(self, request: pb.GetLedgerClockRequest, context: Context) -> pb.LedgerClock:
        """Return the time."""
        return wire.clock_pb(self._dev.read(lambda session: session.clock))

    async def SetLedgerClock(self, request: pb.SetLedgerClockRequest, context: Context) -> pb.LedgerClock:
        """Set the clock."""
        at = wire.ms(request.time) if request.HasField("time") else None
        if request.advance_s:
            at = (self._dev.now() if at is None else at) + round(request.advance_s * 1000)
        scale = request.scale if request.HasField("scale") else None
        return wire.clock_pb(await self._dev.set_clock(at=at, scale=scale))

    def _faults(self) -> pb.ListFaultsResponse:
        return pb.ListFaultsResponse(faults=[wire.fault_pb(fault) for fault in self._dev.faults.waiting])

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

    def _record(self, deal: Deal, side: Side) -> pb.LedgerRecord:
        def work(session: Session) -> pb.LedgerRecord:
            held = session.wallet(deal.seller_vkey)
            return wire.record_pb(deal, side, held[0].address if held else "")

        return self._ledger.read(work)

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
        return self._record(await self._dev.tamper(request.blockchain_identifier, how), how.side)

    async def SettleDispute(self, request: pb.SettleDisputeRequest, context: Context) -> pb.LedgerRecord:
        """End a dispute."""
        seller = wire.funds_of(request.seller, "seller")
        return self._record(await self._dev.settle_dispute(request.blockchain_identifier, seller), Side.PAYMENT)

    def _balances(self) -> pb.ListBalancesResponse:
        found = self._dev.balances()[:_BALANCES_MAX]
        return pb.ListBalancesResponse(
            balances=[
                pb.LedgerBalance(account=account, money=wire.money_pb([(amount, unit)])[0])
                for account, unit, amount in found
            ]
        )

    async def ListBalances(self, request: pb.ListBalancesRequest, context: Context) -> pb.ListBalancesResponse:
        """List the accounts."""
        return self._balances()

    async def FundWallet(self, request: pb.FundWalletRequest, context: Context) -> pb.ListBalancesResponse:
        """Give a wallet money."""
        funds = wire.funds_of(request.funds, "funds")
        await self._dev.write(lambda session: control.fund(session, request.vkey, funds))
        return self._balances()

    async def MoveAgent(self, request: pb.MoveAgentRequest, context: Context) -> pb.LedgerAgent:
        """Let another wallet hold an agent."""
        network = wire.network_of(request.network)
        agent = await self._dev.write(
            lambda session: registry.move_agent(session, network, request.agent_identifier, request.vkey)
        )
        return wire.agent_pb(agent, "")
