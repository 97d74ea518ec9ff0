"""Each provider with a way to be its purchaser, for the suite that holds them all to the port."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import grpc
import httpx
import pydantic
from agentmesh_protos.payments.v1 import ledger_pb2 as pb
from agentmesh_protos.payments.v1 import ledger_pb2_grpc as pb_grpc

from meshkit import client
from meshkit.clock import stamp_ms
from meshkit.identity import ServiceIdentity
from services.ledger import app as ledger_app
from services.ledger.config import Config
from services.payments.config import MasumiNetwork
from services.payments.domain import MINUTE_MS, Escrow, Terms
from services.payments.ports.provider import Provider
from services.payments.providers.ledger import LedgerProvider
from services.payments.providers.masumi import MasumiProvider
from tests.gateway import stack
from tests.payments.escrows import Escrows

NETWORK = "Preprod"
DEADLINE_S = 60.0


class Bench(Protocol):
    """A provider, and what happens around it."""

    @property
    def provider(self) -> Provider:
        """What is held to the port."""

    async def pay(self, escrow: Escrow, terms: Terms) -> None:
        """Be the purchaser: lock the money."""

    async def request_refund(self, blockchain_identifier: str) -> None:
        """Be the purchaser: want the money back."""

    async def break_next(self, blockchain_identifier: str) -> None:
        """Let the next transaction of the seller's fail."""

    async def advance(self, ms: int) -> None:
        """Let time go by, and happen what is due."""

    async def pace(self, scale: float) -> None:
        """Let time go by itself this many times as fast, or with 0 not at all."""


async def reached(bench: Bench, blockchain_identifier: str, state: str | None = None, action: str = "") -> Escrow:
    """Return the escrow once it is in this state, and waits for this."""
    async with asyncio.timeout(60):
        while True:
            escrow = await bench.provider.resolve(blockchain_identifier)
            if escrow.on_chain_state == state and action in ("", escrow.next_action):
                return escrow
            await bench.advance(1000)


class MemoryBench:
    """Whatever is asked for happens when time goes by."""

    def __init__(self) -> None:
        self.provider = Escrows()
        self._broken: set[str] = set()

    async def pay(self, escrow: Escrow, terms: Terms) -> None:
        """Lock."""
        self.provider.lock(escrow.blockchain_identifier)

    async def request_refund(self, blockchain_identifier: str) -> None:
        """As the contract has it."""
        paid = self.provider.row(blockchain_identifier).result_hash
        self.provider.move(blockchain_identifier, on_chain_state="Disputed" if paid else "RefundRequested")

    async def break_next(self, blockchain_identifier: str) -> None:
        """Note it."""
        self._broken.add(blockchain_identifier)

    async def advance(self, ms: int) -> None:
        """Confirm everything."""
        self.provider.advance(ms)
        for row in list(self.provider.rows.values()):
            name = row.blockchain_identifier
            if row.next_action == "SubmitResultRequested" and name in self._broken:
                self._broken.discard(name)
                stuck = {"next_action": "WaitingForManualAction", "error_type": "NetworkError", "error_note": "broken"}
                self.provider.move(name, **stuck)
            elif row.next_action == "SubmitResultRequested":
                self.provider.confirm(name)
            elif row.next_action == "AuthorizeRefundRequested":
                changes = {"on_chain_state": "RefundRequested", "next_action": "WaitingForExternalAction"}
                self.provider.move(name, **changes, result_hash="")

    async def pace(self, scale: float) -> None:
        """It never goes by itself."""


class LedgerBench:
    """The mesh's own ledger as a service, on a clock that tests set ahead."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = pb_grpc.LedgerServiceStub(channel)
        self.control = pb_grpc.LedgerControlServiceStub(channel)
        self.provider = LedgerProvider(NETWORK, self.stub)

    async def pay(self, escrow: Escrow, terms: Terms) -> None:
        """As the mesh itself."""
        await self.stub.LockFunds(
            pb.LockFundsRequest(
                blockchain_identifier=escrow.blockchain_identifier,
                network=NETWORK,
                input_hash=terms.input_hash,
                seller_vkey=escrow.seller_vkey,
                agent_identifier=terms.agent_identifier,
                purchaser_identifier=terms.purchaser_identifier,
                pay_by_time=stamp_ms(escrow.pay_by_time),
                submit_result_time=stamp_ms(escrow.submit_result_time),
                unlock_time=stamp_ms(escrow.unlock_time),
                external_dispute_unlock_time=stamp_ms(escrow.external_dispute_unlock_time),
            ),
            timeout=DEADLINE_S,
        )

    async def request_refund(self, blockchain_identifier: str) -> None:
        """As the mesh itself."""
        request = pb.CommandRecordRequest(
            network=NETWORK,
            blockchain_identifier=blockchain_identifier,
            command=pb.LEDGER_COMMAND_REQUEST_REFUND,
        )
        await self.stub.CommandRecord(request, timeout=DEADLINE_S)

    async def break_next(self, blockchain_identifier: str) -> None:
        """Tamper."""
        request = pb.TamperRecordRequest(
            blockchain_identifier=blockchain_identifier, side=pb.LEDGER_SIDE_PAYMENT, stuck="broken"
        )
        await self.control.TamperRecord(request, timeout=DEADLINE_S)

    async def advance(self, ms: int) -> None:
        """Set the clock ahead."""
        await self.control.SetLedgerClock(pb.SetLedgerClockRequest(advance_s=ms / 1000), timeout=DEADLINE_S)
        await self.provider.time()

    async def pace(self, scale: float) -> None:
        """Set the clock's speed."""
        await self.control.SetLedgerClock(pb.SetLedgerClockRequest(scale=scale), timeout=DEADLINE_S)


@contextlib.asynccontextmanager
async def ledger_bench(folder: pathlib.Path) -> AsyncIterator[LedgerBench]:
    """Run a ledger with a fast chain for the length of the block; the payments service calls it."""
    (folder / "ledger.token").write_text(stack.LEDGER_TOKEN)  # what is there is taken
    config = Config(
        data_dir=folder,
        auth_address="127.0.0.1:1",  # nobody signs in: those who call are services
        ledger_address="127.0.0.1:0",
        ledger_worker_delay_s=0.01,
        ledger_confirm_delay_s=0.01,
        grace_s=0.0,
    )
    async with (
        ledger_app.running(config) as port,
        client.connect(
            client.Peer(service="ledger", address=f"127.0.0.1:{port}"), ServiceIdentity(config.secret, "payments")
        ) as channel,
    ):
        yield LedgerBench(channel)


class HttpBench:
    """The same ledger behind the real gateway and Envoy, asked by the client of a real payment service."""

    def __init__(self, edge: stack.Edge, provider: MasumiProvider) -> None:
        self._http = edge.http
        self._operator = edge.operator
        self.provider = _Behind(provider)

    async def pay(self, escrow: Escrow, terms: Terms) -> None:
        """`POST /purchase`, with milliseconds as text."""
        await self._post(
            "purchase",
            {
                "blockchainIdentifier": escrow.blockchain_identifier,
                "network": NETWORK,
                "inputHash": terms.input_hash,
                "sellerVkey": escrow.seller_vkey,
                "agentIdentifier": terms.agent_identifier,
                "identifierFromPurchaser": terms.purchaser_identifier,
                "payByTime": str(escrow.pay_by_time),
                "submitResultTime": str(escrow.submit_result_time),
                "unlockTime": str(escrow.unlock_time),
                "externalDisputeUnlockTime": str(escrow.external_dispute_unlock_time),
            },
        )

    async def request_refund(self, blockchain_identifier: str) -> None:
        """`POST /purchase/request-refund`."""
        await self._post("purchase/request-refund", {"network": NETWORK, "blockchainIdentifier": blockchain_identifier})

    async def break_next(self, blockchain_identifier: str) -> None:
        """Tamper, as an operator."""
        body = {"blockchainIdentifier": blockchain_identifier, "side": "payment", "stuck": "broken"}
        await self._post("dev/records", body, self._operator)

    async def advance(self, ms: int) -> None:
        """Set the clock ahead, as an operator."""
        await self._post("dev/clock", {"advanceSeconds": ms / 1000}, self._operator)
        self.provider.ahead_ms += ms

    async def pace(self, scale: float) -> None:
        """Set the clock's speed, as an operator."""
        await self._post("dev/clock", {"scale": scale}, self._operator)

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        response = await self._http.post(f"/api/v1/{path}", json=body, headers=headers or {"token": stack.LEDGER_TOKEN})
        assert response.status_code == httpx.codes.OK, response.text


class _Behind:
    """The client, but with the clock of the ledger that it asks: tests set that ahead."""

    def __init__(self, provider: MasumiProvider) -> None:
        self._provider = provider
        self.ahead_ms = 0

    def now(self) -> int:
        """Return the ledger's time."""
        return self._provider.now() + self.ahead_ms

    async def time(self) -> int:
        """Return the same."""
        return self.now()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


def masumi(url: str, **settings: Any) -> MasumiProvider:
    """Return the client of a payment service."""
    values: dict[str, Any] = {"token": pydantic.SecretStr(stack.LEDGER_TOKEN), "timeout_s": 30.0, **settings}
    return MasumiProvider(NETWORK, MasumiNetwork(provider="masumi", url=url, **values))


@contextlib.asynccontextmanager
async def bench(kind: str, folder: pathlib.Path) -> AsyncIterator[Bench]:
    """Run a provider of this kind for the length of the block."""
    async with contextlib.AsyncExitStack() as held:
        if kind == "memory":
            yield MemoryBench()
        elif kind == "ledger":
            yield await held.enter_async_context(ledger_bench(folder))
        else:
            edge = await held.enter_async_context(stack.edge(folder))
            provider = masumi(f"http://{edge.address}/api/v1")
            held.push_async_callback(provider.aclose)
            yield HttpBench(edge, provider)


def good_terms(bench: Bench, job: int = 1, **given: Any) -> Terms:
    """Return terms that every provider takes now."""
    now = bench.provider.now()
    values: dict[str, Any] = {
        "job_id": f"{job:024x}",
        "network": NETWORK,
        "agent_identifier": "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 32,
        "purchaser_identifier": "aabbaabb11221122aabb",
        "input_hash": "cd" * 32,
        "pay_by_time": now + 20 * MINUTE_MS,
        "submit_result_time": now + 60 * MINUTE_MS,
    }
    return Terms(**(values | given))
