"""Each provider with a way to be its purchaser, for the suite that holds them all to the port."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import pydantic

from services.ledger.buying import PurchaseAsk
from services.ledger.control import Tampering
from services.ledger.domain.accounts import HOUSE
from services.ledger.domain.options import Options
from services.ledger.domain.steps import Pace
from services.ledger.ledger import Ledger, opened
from services.payments.config import MasumiNetwork
from services.payments.domain import MINUTE_MS, Escrow, Terms
from services.payments.ledger_provider import LedgerProvider
from services.payments.masumi import MasumiProvider
from services.payments.provider import Provider
from tests.gateway import stack
from tests.payments.escrows import Escrows

NETWORK = "Preprod"


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


async def reached(bench: Bench, blockchain_identifier: str, state: str | None = None, action: str = "") -> Escrow:
    """Return the escrow once it is in this state, and waits for this."""
    async with asyncio.timeout(20):
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


class LedgerBench:
    """The ledger in this process, on a clock that stands still between steps."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.provider = LedgerProvider(NETWORK, ledger)

    async def pay(self, escrow: Escrow, terms: Terms) -> None:
        """As the house."""
        await self._ledger.create_purchase(
            HOUSE,
            PurchaseAsk(
                blockchain_identifier=escrow.blockchain_identifier,
                network=NETWORK,
                input_hash=terms.input_hash,
                seller_vkey=escrow.seller_vkey,
                agent_identifier=terms.agent_identifier,
                purchaser_identifier=terms.purchaser_identifier,
                pay_by_time=escrow.pay_by_time,
                submit_result_time=escrow.submit_result_time,
                unlock_time=escrow.unlock_time,
                external_dispute_unlock_time=escrow.external_dispute_unlock_time,
            ),
        )

    async def request_refund(self, blockchain_identifier: str) -> None:
        """As the house."""
        await self._ledger.request_refund(HOUSE, NETWORK, blockchain_identifier)

    async def break_next(self, blockchain_identifier: str) -> None:
        """Tamper."""
        await self._ledger.tamper(blockchain_identifier, Tampering(stuck="broken"))

    async def advance(self, ms: int) -> None:
        """Set the clock ahead."""
        await self._ledger.advance(ms)


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

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        response = await self._http.post(f"/api/v1/{path}", json=body, headers=headers or {"token": "dev"})
        assert response.status_code == httpx.codes.OK, response.text


class _Behind:
    """The client, but with the clock of the ledger that it asks: tests set that ahead."""

    def __init__(self, provider: MasumiProvider) -> None:
        self._provider = provider
        self.ahead_ms = 0

    def now(self) -> int:
        """Return the ledger's time."""
        return self._provider.now() + self.ahead_ms

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)


def masumi(url: str, **settings: Any) -> MasumiProvider:
    """Return the client of a payment service."""
    values: dict[str, Any] = {"token": pydantic.SecretStr("dev"), "timeout_s": 10.0, **settings}
    return MasumiProvider(NETWORK, MasumiNetwork(provider="masumi", url=url, **values))


@contextlib.asynccontextmanager
async def bench(kind: str, folder: pathlib.Path) -> AsyncIterator[Bench]:
    """Run a provider of this kind for the length of the block."""
    async with contextlib.AsyncExitStack() as held:
        if kind == "memory":
            yield MemoryBench()
        elif kind == "ledger":
            options = Options(development=True, pace=Pace(worker_delay_ms=10, confirm_delay_ms=10))
            yield LedgerBench(await held.enter_async_context(opened(folder / "ledger.db", options)))
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
