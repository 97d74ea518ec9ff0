"""What the tests of the ledger share: a ledger whose clock stands still, a good payment, and its purchase."""

import contextlib
import dataclasses
import pathlib
from collections.abc import AsyncIterator
from typing import Any

from services.ledger.buying import PurchaseAsk
from services.ledger.domain.accounts import Key
from services.ledger.domain.actions import Side
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.deals import Deal, Record
from services.ledger.domain.options import DEMO_VKEY, POLICIES, Options
from services.ledger.domain.steps import Pace
from services.ledger.ledger import Ledger, opened
from services.ledger.ports.store import SELLING
from services.ledger.reading import resolve
from services.ledger.registry import AgentAsk
from services.ledger.selling import PaymentAsk, submit_result

AGENT = (  # of kodosumi's demonstration notebook
    "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77"
    "ee8e013e3f92bbd2aa41065577ac087a0d55ff96430087324c023b021267ca37"
)
PURCHASER = "aabbaabb11221122aabb"
INPUT_HASH = "7c9ab94cd55e9c49dcbf65122f7446df2464d3945778624b1f67313f6aa749ec"
RESULT_HASH = "3b5038133501539ae87221bfd7ebeae68e605e61f1fe438558df07d31dd7338b"
TOKEN = POLICIES["Preprod"] + "54455354"  # an asset: policy id and name
HOUR_MS = 60 * MINUTE_MS
NET = "Preprod"
INSTANT = Pace(worker_delay_ms=0, confirm_delay_ms=0)


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """A ledger with short words for what tests do to it."""

    ledger: Ledger
    dev: Key

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
        return await self.ledger.create_payment(self.dev, self.ask(**changes))

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
        bought = await self.ledger.create_purchase(self.dev, self.purchase_ask(deal, **changes))
        await self.ledger.settle()
        return bought

    async def locked(self, **changes: Any) -> Deal:
        """Return a deal whose money is in escrow."""
        deal = await self.payment(**changes)
        await self.purchase(deal)
        assert State.FUNDS_LOCKED == self.deal(deal).state
        return self.deal(deal)

    async def submit(self, deal: Deal, result_hash: str = RESULT_HASH) -> Deal:
        """Submit a result, and let happen what is due."""
        await self.ledger.call(
            "payment/submit-result",
            lambda session: submit_result(session, self.dev, NET, deal.blockchain_identifier, result_hash),
        )
        await self.ledger.settle()
        return self.deal(deal)

    async def request_refund(self, deal: Deal) -> Deal:
        """Ask for the money back, and let happen what is due."""
        await self.ledger.request_refund(self.dev, NET, deal.blockchain_identifier)
        await self.ledger.settle()
        return self.deal(deal)

    def deal(self, deal: Deal) -> Deal:
        """Return the deal as it is now."""
        return self.ledger.read(lambda session: resolve(session, Side.PAYMENT, NET, deal.blockchain_identifier))

    def purchase_of(self, deal: Deal) -> Record:
        """Return the buyer's view as it is now."""
        purchase = self.deal(deal).purchase
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
        vkey = self.ledger.read(lambda session: session.wallets(NET, SELLING, self.dev.id)[0].vkey)
        values = {"network": NET, "selling_wallet_vkey": vkey, "name": "agent", "pricing_type": "Fixed"}
        agent = await self.ledger.register(self.dev, AgentAsk(**{**values, **changes}))
        return agent.agent_identifier

    def wallet(self, kind: str, key: Key | None = None) -> str:
        """Return the vkey of a wallet."""
        owner = (key or self.dev).id
        return self.ledger.read(lambda session: session.wallets(NET, kind, owner)[0].vkey)

    def balance(self, account: str, unit: str = "") -> int:
        """Return what an account holds."""
        return self.ledger.read(lambda session: session.balance(account, unit))

    def check_sums(self) -> None:
        """Fail unless the sum of each unit is zero."""
        sums: dict[str, int] = {}
        for _, unit, amount in self.ledger.balances():
            sums[unit] = sums.get(unit, 0) + amount
        assert all(total == 0 for total in sums.values()), sums


@contextlib.asynccontextmanager
async def benched(folder: pathlib.Path, pace: Pace = INSTANT, **options: Any) -> AsyncIterator[Bench]:
    """Run a development ledger whose clock stands still."""
    given = {"development": True, "vkey_alias": DEMO_VKEY, "pace": pace, **options}
    async with opened(folder / "ledger.db", Options(**given)) as ledger:
        await ledger.set_clock(scale=0)
        yield Bench(ledger, ledger.authenticate("dev") if given["development"] else Key(id="x", name="x"))
