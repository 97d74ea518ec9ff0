"""Whatever buyers, sellers, admins and time do, in any order: money is kept, and no arrow is invented."""

import sqlite3
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from services.ledger import buying, control, reading, registry, selling
from services.ledger.control import Tampering
from services.ledger.domain import books, chain, steps
from services.ledger.domain.accounts import DEV_KEY_ID, HOUSE, PURCHASING, SELLING
from services.ledger.domain.actions import REQUESTED, Side
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal
from services.ledger.domain.errors import LedgerError
from services.ledger.domain.options import Options
from services.ledger.domain.queries import Filter
from services.ledger.domain.steps import Pace
from services.ledger.stores.session import SqlSession as Session
from services.ledger.stores.sqlite import MIGRATIONS
from tests.ledger.bench import HOUR_MS, INPUT_HASH, NET, PURCHASER, RESULT_HASH, TOKEN

START_MS = 1_765_445_305_000
STEPS_MAX = 500
_S = State
ALLOWED: set[tuple[State | None, State]] = {
    (None, _S.FUNDS_LOCKED),
    (None, _S.FUNDS_OR_DATUM_INVALID),
    (_S.FUNDS_LOCKED, _S.RESULT_SUBMITTED),
    (_S.FUNDS_LOCKED, _S.REFUND_REQUESTED),
    (_S.FUNDS_LOCKED, _S.REFUND_WITHDRAWN),
    (_S.RESULT_SUBMITTED, _S.DISPUTED),
    (_S.RESULT_SUBMITTED, _S.WITHDRAWN),
    (_S.REFUND_REQUESTED, _S.DISPUTED),
    (_S.REFUND_REQUESTED, _S.FUNDS_LOCKED),
    (_S.REFUND_REQUESTED, _S.REFUND_WITHDRAWN),
    (_S.DISPUTED, _S.RESULT_SUBMITTED),
    (_S.DISPUTED, _S.REFUND_REQUESTED),
    (_S.DISPUTED, _S.DISPUTED_WITHDRAWN),
}
"""Written out from the contract's text, not taken from the code."""
SENSIBLE: dict[State | None, tuple[str, ...]] = {
    _S.FUNDS_LOCKED: ("submit", "request"),
    _S.RESULT_SUBMITTED: ("request",),
    _S.REFUND_REQUESTED: ("submit", "cancel"),
    _S.DISPUTED: ("cancel", "authorize"),
}


class Machine(RuleBasedStateMachine):
    """A ledger in memory whose clock stands still; rules do what callers may, and let time pass."""

    deals = Bundle("deals")

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(MIGRATIONS[0])
        self.options = Options(
            development=True, development_token="dev", pace=Pace(worker_delay_ms=500, confirm_delay_ms=1500)
        )
        first = self.session()
        first.set_clock(Clock(wall=0, at=START_MS, scale=0))
        control.ensure_dev_key(first)
        wallets = first.wallets(NET, PURCHASING, DEV_KEY_ID)
        first.hand_out(NET, wallets[0].vkey, [(1_000_000, TOKEN)])
        self.agents = [self.agent(first, *price) for price in (("Fixed", 10_000_001, ""), ("Fixed", 333, TOKEN))]
        self.agents.append(self.agent(first, "Dynamic", 0, ""))
        self.purchased: dict[str, int] = {}
        self.last_change = 0

    def session(self) -> Session:
        """Return the ledger at this moment."""
        return Session(self.connection, self.options)

    def agent(self, session: Session, kind: str, amount: int, unit: str) -> str:
        """Register an agent."""
        vkey = session.wallets(NET, SELLING, DEV_KEY_ID)[0].vkey
        pricing = ((amount, unit),) if amount else ()
        ask = registry.AgentAsk(network=NET, selling_wallet_vkey=vkey, name=kind, pricing_type=kind, pricing=pricing)
        return registry.register(session, HOUSE, ask).agent_identifier

    def attempt(self, work: Callable[[Session], Any]) -> Any:
        """Do something that may be refused; a refusal changes nothing."""
        self.connection.execute("BEGIN")
        try:
            value = work(self.session())
        except LedgerError:
            self.connection.execute("ROLLBACK")
            return None
        self.connection.execute("COMMIT")
        return value

    def pass_time(self) -> None:
        """Let one due thing happen after the other, and look at each."""
        for _ in range(STEPS_MAX):
            session = self.session()
            found = session.due_deal(session.now)
            if found is None:
                return
            deal, moment = found
            before, paid_out = deal.state, session.balance(deal.escrow, "")
            steps.step(deal, moment, session, self.options.pace)
            session.save(deal)
            assert moment <= session.now
            self.check_arrow(before, deal.state)
            assert paid_out == 0 or deal.state in chain.TERMINAL or session.balance(deal.escrow, "") == paid_out
        raise AssertionError("it never comes to rest")

    def check_arrow(self, before: State | None, after: State | None) -> None:
        """Fail if a deal went a way that there is not."""
        assert after == before or (after is not None and (before, after) in ALLOWED), (before, after)

    @rule(
        target=deals, which=st.integers(0, 2), pay_min=st.sampled_from([20, 20, 20, 1, -5]), funds=st.integers(1, 10**7)
    )
    def ask_for_payment(self, which: int, pay_min: int, funds: int) -> Any:
        """A seller wants to be paid."""
        identifier = self.ask_for(which, pay_min, funds)
        return multiple() if identifier is None else identifier

    def ask_for(self, which: int, pay_min: int, funds: int) -> Any:
        """Make a payment; return its identifier, or None if it is refused."""
        now = self.session().now
        ask = selling.PaymentAsk(
            network=NET,
            agent_identifier=self.agents[which],
            purchaser_identifier=PURCHASER,
            input_hash=INPUT_HASH,
            pay_by_time=now + pay_min * MINUTE_MS,
            submit_result_time=now + HOUR_MS,
            funds=((funds, ""), (funds % 7 + 1, TOKEN)) if which == 2 else None,
        )
        deal = self.attempt(lambda session: selling.create_payment(session, HOUSE, ask))
        return None if deal is None else deal.blockchain_identifier

    def get(self, identifier: str) -> Deal:
        """Return a deal."""
        return reading.resolve(self.session(), HOUSE, Side.PAYMENT, NET, identifier)

    @rule(identifier=deals, wait_ms=st.sampled_from([2000, 2000, 500, 0]))
    def buy(self, identifier: str, wait_ms: int) -> None:
        """A buyer pays, at most once."""
        self.pay(identifier, wait_ms)

    def pay(self, identifier: str, wait_ms: int) -> None:
        """Pay, and let some time pass."""
        deal = self.get(identifier)
        ask = buying.PurchaseAsk(
            blockchain_identifier=identifier,
            network=NET,
            input_hash=deal.input_hash,
            seller_vkey=deal.seller_vkey,
            agent_identifier=deal.agent_identifier,
            purchaser_identifier=deal.purchaser_identifier,
            pay_by_time=deal.pay_by_time,
            submit_result_time=deal.submit_result_time,
            unlock_time=deal.unlock_time,
            external_dispute_unlock_time=deal.external_dispute_unlock_time,
            funds=tuple(deal.funds) if deal.pricing_type == "Dynamic" else None,
        )
        if self.attempt(lambda session: buying.create_purchase(session, HOUSE, ask)) is not None:
            self.purchased[identifier] = self.purchased.get(identifier, 0) + 1
            assert 1 == self.purchased[identifier]
            self.wait(wait_ms)

    @initialize(target=deals, which=st.integers(0, 2))
    def begin(self, which: int) -> Any:
        """Most of what can happen begins with a lock."""
        identifier = self.ask_for(which, 20, 5_000_000)
        self.pay(identifier, 2000)
        return identifier

    @rule(
        identifier=deals,
        call=st.sampled_from(["submit", "request", "cancel", "authorize"]),
        wait_ms=st.sampled_from([0, 500, 2000]),
    )
    def act(self, identifier: str, call: str, wait_ms: int) -> None:
        """A side asks for something, whether it makes sense or not."""
        self.do(identifier, call, wait_ms)

    @rule(identifier=deals, choice=st.integers(0, 5), wait_ms=st.sampled_from([2000, 2000, 25 * MINUTE_MS]))
    def act_sensibly(self, identifier: str, choice: int, wait_ms: int) -> None:
        """A side asks for something that its state allows."""
        if options := SENSIBLE.get(self.get(identifier).state, ()):
            self.do(identifier, options[choice % len(options)], wait_ms)

    def do(self, identifier: str, call: str, wait_ms: int) -> None:
        """A side does one of the things it can ask for."""
        calls: dict[str, Callable[[Session], Any]] = {
            "submit": lambda session: selling.submit_result(session, HOUSE, NET, identifier, RESULT_HASH),
            "authorize": lambda session: selling.authorize_refund(session, HOUSE, NET, identifier),
            "request": lambda session: buying.request_refund(session, HOUSE, NET, identifier),
            "cancel": lambda session: buying.cancel_refund_request(session, HOUSE, NET, identifier),
        }
        if self.attempt(calls[call]) is not None:
            self.wait(wait_ms)

    @rule(identifier=deals, side=st.sampled_from(list(Side)), retry=st.booleans())
    def recover(self, identifier: str, side: Side, retry: bool) -> None:
        """Somebody helps."""
        record = self.get(identifier).record(side)
        at = record.updated_at if record is not None else 0
        self.attempt(lambda session: reading.recover(session, HOUSE, side, NET, identifier, at, retry=retry))

    @rule(identifier=deals, side=st.sampled_from(list(Side)), what=st.sampled_from(["", "", "", "stuck", "back"]))
    def disturb(self, identifier: str, side: Side, what: str) -> None:
        """The chain or the worker has a bad day, now and then."""
        how = Tampering(side=side, stuck="x" if what == "stuck" else "", roll_back=what == "back")
        self.attempt(lambda session: control.tamper(session, identifier, how))

    @rule(identifier=deals, share=st.integers(0, 100))
    def settle(self, identifier: str, share: int) -> None:
        """The admins end a dispute."""
        deal = self.get(identifier)
        if deal.state == _S.DISPUTED:
            self.wait(max(0, deal.external_dispute_unlock_time - self.session().now) + 1)
            deal = self.get(identifier)
        seller = [(amount * share // 100, unit) for amount, unit in deal.paid]
        settled = self.attempt(lambda session: control.settle(session, identifier, seller))
        if settled is not None:
            self.check_arrow(deal.state, settled.state)

    @rule(ms=st.sampled_from([1, 500, 2000, 2000, MINUTE_MS, 5 * MINUTE_MS, 25 * MINUTE_MS, HOUR_MS, 7 * HOUR_MS]))
    def wait(self, ms: int) -> None:
        """Time passes."""
        session = self.session()
        session.set_clock(session.clock.set(at=session.now + ms))
        self.pass_time()

    @invariant()
    def money_is_kept(self) -> None:
        """The sum of each unit is zero; nobody but genesis owes."""
        balances = self.session().balances()
        sums = books.total((amount, unit) for _, unit, amount in balances)
        assert all(total == 0 for total in sums.values()), sums
        assert all(amount > 0 for account, _, amount in balances if not account.startswith("genesis:"))

    @invariant()
    def escrows_hold_what_was_paid(self) -> None:
        """While it is locked or stuck; and nothing at an end."""
        session = self.session()
        for deal in self.all(session):
            held = {unit: session.balance(deal.escrow, unit) for _, unit in deal.paid}
            if deal.state in chain.TERMINAL:
                assert not any(held.values())
            elif deal.state is not None:
                assert {unit: amount for amount, unit in deal.paid} == held
            assert bool(deal.result_hash) == (
                deal.state in (_S.RESULT_SUBMITTED, _S.DISPUTED, _S.WITHDRAWN, _S.DISPUTED_WITHDRAWN)
            )
            for record in deal.records:
                assert record.action in REQUESTED or record.work_at is None

    def all(self, session: Session) -> list[Deal]:
        """Return every deal, a page at a time."""
        found: list[Deal] = []
        while page := session.records(Side.PAYMENT, NET, found[-1].payment.id if found else "", 100, Filter()):
            fresh = [deal for deal in page if deal.payment.id not in {known.payment.id for known in found}]
            if not fresh:
                break
            found += fresh
        return found

    def teardown(self) -> None:
        """Let a year pass: everything comes to rest."""
        self.wait(366 * 24 * HOUR_MS)
        self.money_is_kept()
        self.connection.close()


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
