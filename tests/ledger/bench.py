"""What the tests of the ledger share: a ledger whose clock stands still, a good payment, and its purchase."""

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from meshkit.bus import MemoryBus
from meshkit.databases import Place, SqliteFolder
from services.ledger import buying, control, reading, registry, selling
from services.ledger.app import opened
from services.ledger.buying import PurchaseAsk
from services.ledger.control import Tampering
from services.ledger.domain.accounts import HOUSE, SELLING, Agent, Key
from services.ledger.domain.actions import Side
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.deals import Deal, Funds, Record
from services.ledger.domain.options import DEMO_VKEY, POLICIES, Options
from services.ledger.domain.queries import Changed
from services.ledger.domain.steps import Pace
from services.ledger.ledger import Ledger
from services.ledger.registry import AgentAsk
from services.ledger.selling import PaymentAsk

AGENT = (  # of kodosumi's demonstration notebook
    "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
    "ee8e013e3f92bbd2aa41065577ac087a0d55ff96430087324c023b021267ca37"
)
PURCHASER = "aabbaabb11221122aabb"
INPUT_HASH = "7c9ab94cd55e9c49dcbf65122f7446df2464d3945778624b1f67313f6aa749ec"
RESULT_HASH = "3b5038133501539ae87221bfd7ebeae68e605e61f1fe438558df07d31dd7338b"
DEV_TOKEN = "dev-token"
TOKEN = POLICIES["Preprod"] + "54455354"  # an asset: policy id and name
HOUR_MS = 60 * MINUTE_MS
NET = "Preprod"
INSTANT = Pace(worker_delay_ms=0, confirm_delay_ms=0)


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """A ledger with short words for what tests do to it."""

    ledger: Ledger
    dev: Key
    bus: MemoryBus

    @property
    def now(self) -> int:
        """The ledger's time."""
        return self.ledger.now()

    def ask(self, **changes: Any) -> PaymentAsk:
        """Return a good `POST /payment`."""
        values = {
            "network": NET,
            "agent_identifier": AGENT,
            "purchaser_identifier": PURCHASER,
            "input_hash": INPUT_HASH,
            "pay_by_time": self.now + 20 * MINUTE_MS,
            "submit_result_time": self.now + 60 * MINUTE_MS,
        }
        return PaymentAsk(**{**values, **changes})

    async def payment(self, **changes: Any) -> Deal:
        """Make a payment."""
        return await self.create_payment(self.dev, self.ask(**changes))

    async def create_payment(self, key: Key, ask: PaymentAsk) -> Deal:
        """`POST /payment`."""
        return await self.ledger.call("payment", lambda session: selling.create_payment(session, key, ask))

    async def create_purchase(self, key: Key, ask: PurchaseAsk) -> Deal:
        """`POST /purchase`."""
        return await self.ledger.call("purchase", lambda session: buying.create_purchase(session, key, ask))

    async def request(self, job_id: str) -> Deal:
        """Ask to be paid for a job, as the mesh itself."""
        return await self.create_payment(HOUSE, self.ask(metadata=job_id))

    async def find(self, job_id: str) -> list[Deal]:
        """Return what was asked for with a job's id."""
        return await self.ledger.call(
            "payment/find", lambda session: session.payments_of(NET, job_id, 0, 100), reads=True
        )

    async def changes(self, since: int, cursor: str = "", by: Changed = Changed.EITHER) -> list[Deal]:
        """Return what changed for the seller."""
        return await self.ledger.call(
            "payment/diff", lambda session: session.changes(Side.PAYMENT, NET, since, cursor, 100, by), reads=True
        )

    async def recover(self, deal: Deal, updated_at: int, *, retry: bool) -> Deal:
        """Help a seller's record that waits for a person."""
        identifier = deal.blockchain_identifier
        return await self.ledger.write(
            lambda session: reading.recover(session, HOUSE, Side.PAYMENT, NET, identifier, updated_at, retry=retry)
        )

    async def tamper(self, blockchain_identifier: str, how: Tampering) -> Deal:
        """Do something to a deal that no caller of the real API could."""
        return await self.ledger.write(lambda session: control.tamper(session, blockchain_identifier, how))

    async def settle_dispute(self, blockchain_identifier: str, seller: Funds) -> Deal:
        """Let the admins end a dispute."""
        return await self.ledger.write(lambda session: control.settle(session, blockchain_identifier, seller))

    async def create_key(self, key: Key, funds: Funds) -> tuple[Key, str]:
        """Make an API key; return it and its token."""
        token = control.new_token()
        return await self.ledger.write(lambda session: control.create_key(session, key, funds, token)), token

    def purchase_ask(self, deal: Deal, **changes: Any) -> PurchaseAsk:
        """Return the `POST /purchase` that pays for it."""
        values = {
            "blockchain_identifier": deal.blockchain_identifier,
            "network": deal.network,
            "input_hash": deal.input_hash,
            "seller_vkey": deal.seller_vkey,
            "agent_identifier": deal.agent_identifier,
            "purchaser_identifier": deal.purchaser_identifier,
            "pay_by_time": deal.pay_by_time,
            "submit_result_time": deal.submit_result_time,
            "unlock_time": deal.unlock_time,
            "external_dispute_unlock_time": deal.external_dispute_unlock_time,
        }
        return PurchaseAsk(**{**values, **changes})

    async def purchase(self, deal: Deal, **changes: Any) -> Deal:
        """Pay for it, and let happen what is due."""
        bought = await self.create_purchase(self.dev, self.purchase_ask(deal, **changes))
        await self.ledger.settle()
        return bought

    async def locked(self, **changes: Any) -> Deal:
        """Return a deal whose money is in escrow."""
        deal = await self.payment(**changes)
        await self.purchase(deal)
        assert State.FUNDS_LOCKED == (await self.deal(deal)).state
        return await self.deal(deal)

    async def submit(self, deal: Deal, result_hash: str = RESULT_HASH) -> Deal:
        """Submit a result, and let happen what is due."""
        await self.ledger.call(
            "payment/submit-result",
            lambda session: selling.submit_result(session, self.dev, NET, deal.blockchain_identifier, result_hash),
        )
        await self.ledger.settle()
        return await self.deal(deal)

    async def request_refund(self, deal: Deal) -> Deal:
        """Ask for the money back, and let happen what is due."""
        await self.ledger.call(
            "purchase/request-refund",
            lambda session: buying.request_refund(session, self.dev, NET, deal.blockchain_identifier),
        )
        await self.ledger.settle()
        return await self.deal(deal)

    async def cancel_refund(self, key: Key, network: str, identifier: str) -> Deal:
        """`POST /purchase/cancel-refund-request`."""
        return await self.ledger.call(
            "purchase/cancel-refund-request",
            lambda session: buying.cancel_refund_request(session, key, network, identifier),
        )

    async def deal(self, deal: Deal) -> Deal:
        """Return the deal as it is now."""
        return await self.ledger.read(
            lambda session: reading.resolve(session, HOUSE, Side.PAYMENT, NET, deal.blockchain_identifier)
        )

    async def purchase_of(self, deal: Deal) -> Record:
        """Return the buyer's view as it is now."""
        purchase = (await self.deal(deal)).purchase
        assert purchase is not None
        return purchase

    async def advance(self, ms: int) -> None:
        """Set the clock ahead, and let happen what is due by then."""
        await self.ledger.advance(ms)

    async def until(self, moment: int) -> None:
        """Set the clock ahead to a moment."""
        await self.ledger.set_clock(at=moment)

    async def register(self, **changes: Any) -> str:
        """Register an agent of `dev`; return its identifier."""
        vkey = await self.wallet(SELLING)
        values = {"network": NET, "selling_wallet_vkey": vkey, "name": "agent", "pricing_type": "Fixed"}
        agent: Agent = await self.ledger.write(
            lambda session: registry.register(session, self.dev, AgentAsk(**{**values, **changes}))
        )
        return agent.agent_identifier

    async def wallet(self, kind: str, key: Key | None = None, network: str = NET) -> str:
        """Return the vkey of a wallet."""
        owner = (key or self.dev).id
        return await self.ledger.read(lambda session: session.wallets(network, kind, owner)[0].vkey)

    async def balance(self, account: str, unit: str = "") -> int:
        """Return what an account holds."""
        return await self.ledger.read(lambda session: session.balance(account, unit))

    async def check_sums(self) -> None:
        """Fail unless the sum of each unit is zero."""
        sums: dict[str, int] = {}
        for _, unit, amount in await self.ledger.read(lambda session: session.balances()):
            sums[unit] = sums.get(unit, 0) + amount
        assert all(total == 0 for total in sums.values()), sums


@contextlib.asynccontextmanager
async def benched(where: pathlib.Path | Place, pace: Pace = INSTANT, **options: Any) -> AsyncIterator[Bench]:
    """Run a development ledger whose clock stands still."""
    given = {"development": True, "vkey_alias": DEMO_VKEY, "pace": pace, **options}
    bus = MemoryBus()
    place = SqliteFolder(where) if isinstance(where, pathlib.Path) else where
    async with opened(place, Options(**given, development_token=DEV_TOKEN), bus) as ledger:
        await ledger.set_clock(scale=0)
        dev = await ledger.authenticate(DEV_TOKEN) if given["development"] else Key(id="x", name="x")
        yield Bench(ledger, dev, bus)
