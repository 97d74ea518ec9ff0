"""The ledger's controls under `/api/v1/dev`: clock, faults and balances; operators only, in development mode only."""

from typing import Any

from agentmesh_protos.dialects.masumi.v1 import masumi_pb2 as pb
from agentmesh_protos.dialects.masumi.v1 import masumi_pb2_grpc as pb_grpc
from agentmesh_protos.payments.v1 import ledger_pb2
from google.api import httpbody_pb2

from gateway.core.peers import Peers
from gateway.dialects.masumi import views
from gateway.dialects.masumi.ledger import money, read, success
from gateway.dialects.masumi.records import PAYMENT, PURCHASE
from gateway.http.dialect import Service
from meshkit.clock import millis_of, stamp_ms
from meshkit.errors import from_rpc

_KINDS = {
    "lost": ledger_pb2.LEDGER_FAULT_KIND_LOST,
    "timeout": ledger_pb2.LEDGER_FAULT_KIND_TIMEOUT,
    "error": ledger_pb2.LEDGER_FAULT_KIND_ERROR,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_SECONDS_MAX = 100 * 366 * 86_400


class DevServicer(pb_grpc.MasumiDevServiceServicer):
    """Read, call, show."""

    def __init__(self, peers: Peers) -> None:
        self._control = peers.ledger_control

    async def GetClock(self, request: pb.GetClockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Return the ledger's time."""
        with from_rpc():
            return _clock(await self._control.GetLedgerClock(ledger_pb2.GetLedgerClockRequest()))

    async def SetClock(self, request: pb.SetClockRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Set it ahead, or let it run at another speed."""
        schema = read(request)
        scale = schema.number("scale", 0, 1_000_000, -1)
        asked = ledger_pb2.SetLedgerClockRequest(
            advance_s=schema.number("advanceSeconds", 0, _SECONDS_MAX, 0),
            scale=None if scale < 0 else scale,
        )
        at = schema.iso("time")
        if at is not None:
            asked.time.CopyFrom(stamp_ms(at))
        schema.check()
        with from_rpc():
            return _clock(await self._control.SetLedgerClock(asked))

    async def ListFaults(self, request: pb.ListFaultsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List what waits to go wrong."""
        with from_rpc():
            return _faults(await self._control.ListFaults(ledger_pb2.ListFaultsRequest()))

    async def InjectFault(self, request: pb.InjectFaultRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Let a call go wrong."""
        schema = read(request)
        fault = ledger_pb2.LedgerFault(
            call=schema.text("call", least=1, most=100),
            kind=_KINDS[schema.choice("kind", tuple(_KINDS))],
            count=int(schema.number("count", 1, 10_000, 1)),
            delay_s=schema.number("delaySeconds", 0, 20, 0),
            status=int(schema.number("status", 500, 599, 500)),
        )
        schema.check()
        with from_rpc():
            return _faults(await self._control.InjectFault(ledger_pb2.InjectFaultRequest(fault=fault)))

    async def ClearFaults(self, request: pb.ClearFaultsRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Let calls go right again."""
        with from_rpc():
            return _faults(await self._control.ClearFaults(ledger_pb2.ClearFaultsRequest()))

    async def TamperRecord(self, request: pb.TamperRecordRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Do something to an escrow."""
        schema = read(request)
        asked = ledger_pb2.TamperRecordRequest(
            blockchain_identifier=schema.text("blockchainIdentifier"),
            side=PAYMENT if schema.choice("side", ("payment", "purchase"), "payment") == "payment" else PURCHASE,
            stuck=schema.optional("stuck", most=500) or "",
            invalid_datum=schema.optional("invalidDatum", most=500) or "",
            datum_input_hash=schema.optional("datumInputHash", most=250) or "",
            paid=money(schema.funds("paid")),
            force_state=schema.optional("forceState", most=50) or "",
            force_action=schema.optional("forceAction", most=50) or "",
            roll_back=schema.boolean("rollBack"),
        )
        schema.check()
        with from_rpc():
            return success(views.record(await self._control.TamperRecord(asked)))

    async def SettleDispute(self, request: pb.SettleDisputeRequest, context: Any) -> httpbody_pb2.HttpBody:
        """End a dispute."""
        schema = read(request)
        asked = ledger_pb2.SettleDisputeRequest(
            blockchain_identifier=schema.text("blockchainIdentifier"), seller=money(schema.funds("seller"))
        )
        schema.check()
        with from_rpc():
            return success(views.record(await self._control.SettleDispute(asked)))

    async def ListBalances(self, request: pb.ListBalancesRequest, context: Any) -> httpbody_pb2.HttpBody:
        """List every account."""
        with from_rpc():
            return _balances(await self._control.ListBalances(ledger_pb2.ListBalancesRequest()))

    async def FundWallet(self, request: pb.FundWalletRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Give a wallet imitated money."""
        schema = read(request)
        asked = ledger_pb2.FundWalletRequest(
            vkey=schema.text("walletVkey", most=250), funds=money(schema.funds("funds"))
        )
        schema.check()
        with from_rpc():
            return _balances(await self._control.FundWallet(asked))

    async def MoveAgent(self, request: pb.MoveAgentRequest, context: Any) -> httpbody_pb2.HttpBody:
        """Let another wallet hold an agent."""
        schema = read(request)
        asked = ledger_pb2.MoveAgentRequest(
            network=schema.network(),
            agent_identifier=schema.text("agentIdentifier", least=57, most=250),
            vkey=schema.text("walletVkey", most=250),
        )
        schema.check()
        with from_rpc():
            return success(views.agent(await self._control.MoveAgent(asked)))


def _clock(clock: ledger_pb2.LedgerClock) -> httpbody_pb2.HttpBody:
    return success({"time": views.iso(clock.time), "timeMs": str(millis_of(clock.time)), "scale": clock.scale})


def _faults(answer: ledger_pb2.ListFaultsResponse) -> httpbody_pb2.HttpBody:
    faults = [
        {
            "call": fault.call,
            "kind": _NAMES[fault.kind],
            "count": fault.count,
            "delaySeconds": fault.delay_s,
            "status": fault.status,
        }
        for fault in answer.faults
    ]
    return success({"Faults": faults})


def _balances(answer: ledger_pb2.ListBalancesResponse) -> httpbody_pb2.HttpBody:
    balances = [
        {"account": item.account, "amount": item.money.amount, "unit": item.money.unit} for item in answer.balances
    ]
    return success({"Balances": balances})


SERVICE = Service(
    name="mesh.dialects.masumi.v1.MasumiDevService",
    add=pb_grpc.add_MasumiDevServiceServicer_to_server,
    servicer=DevServicer,
)
