"""The embedded escrow ledger: a whole Masumi payment service in one SQLite file.

Every call is one transaction on the file's writer, so two calls never see each other half done.  A deal keeps in its
row the moment at which it next moves by itself; one task sleeps until the earliest of them, so waiting costs nothing,
and what was due while the process was down happens when it is back, in order.
"""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import structlog

from meshkit.errors import Invalid
from meshkit.sqlite import Database
from services.payments.domain import Amount, Escrow, Terms
from services.payments.ledger import accounts, buying, control, reading, registry, selling, steps
from services.payments.ledger.accounts import HOUSE, Agent, Key
from services.payments.ledger.actions import Side
from services.payments.ledger.clock import Clock
from services.payments.ledger.control import Fault, Faults, Tampering
from services.payments.ledger.deals import Deal, Funds
from services.payments.ledger.errors import BadRequest
from services.payments.ledger.options import Options
from services.payments.ledger.session import MIGRATIONS, Session

T = TypeVar("T")
log = structlog.get_logger()
_STEPS_MAX = 200
"""In one transaction, so that callers get a turn."""
_SLEEP_S_MAX = 24 * 3600.0
_FIND_MAX = 100
_AGAIN_S = 1.0


class Ledger:
    """The ledger.  Make it with `opened`."""

    def __init__(self, database: Database, options: Options) -> None:
        self._db = database
        self._options = options
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._clock = Clock()
        self.faults = Faults()

    @property
    def options(self) -> Options:
        """How it behaves."""
        return self._options

    # -- the frame

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction, and look anew at what is due next."""
        value = await self._db.write(lambda connection: work(Session(connection, self._options)))
        self._wake.set()
        self._tell()
        return value

    def read(self, work: Callable[[Session], T]) -> T:
        """Run a short query."""
        return self._db.read_now(lambda connection: work(Session(connection, self._options)))

    async def call(self, name: str, work: Callable[[Session], T], *, reads: bool = False) -> T:
        """Run a call of the API: faults that were ordered for `name` happen to it."""
        await self.faults.before(name)
        value = self.read(work) if reads else await self.write(work)
        await self.faults.after(name)
        return value

    async def settle(self) -> None:
        """Let everything happen that is due by now."""
        while self.read(lambda session: (session.next_due() or session.now + 1) <= session.now):
            await self._db.write(lambda connection: self._advance(Session(connection, self._options)))
            self._tell()

    async def changed(self) -> None:
        """Wait until something has been written: look, and if it is not what you wait for, wait again."""
        await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _advance(self, session: Session) -> None:
        for _ in range(_STEPS_MAX):
            found = session.due_deal(session.now)
            if found is None:
                return
            deal, moment = found
            steps.step(deal, moment, session, self._options.pace)
            session.save(deal)

    async def start(self) -> None:
        """Make what must be there from the first call on."""
        await self.write(control.ensure_dev_key)
        self._clock = self.read(lambda session: session.clock)

    async def run(self) -> None:
        """Let things happen at their time, for ever."""
        while True:
            self._wake.clear()
            try:
                await self.settle()
                moment = self.read(lambda session: session.next_due())
                wait_s = None if moment is None else self._clock.wait_s(moment)
            except Exception:  # a full disk, say: the ledger must not stand still for ever after
                log.exception("ledger cannot go on; it tries again")
                wait_s = _AGAIN_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if wait_s is None else min(wait_s, _SLEEP_S_MAX))

    # -- for the provider in this process (services/payments/provider.py); the caller is the mesh itself

    def now(self) -> int:
        """Return the ledger's time in ms since 1970."""
        return self._clock.now()

    def price(self, network: str, agent_identifier: str) -> tuple[Amount, ...]:
        """Return an agent's fixed price, empty for a dynamic one.  Raises `Invalid` if it is unknown or free."""
        agent = self.read(lambda session: registry.known_agent(session, network, agent_identifier))
        if agent is None:
            raise Invalid(f"the ledger's registry does not know this agent on {network}")
        if agent.pricing_type == "Free":
            raise Invalid("the agent is free: nothing is to be paid")
        return tuple(agent.pricing)

    async def request(self, terms: Terms) -> Escrow:
        """Make a request to be paid; its metadata is the job's id."""
        ask = selling.PaymentAsk(
            network=terms.network,
            agent_identifier=terms.agent_identifier,
            purchaser_identifier=terms.purchaser_identifier,
            input_hash=terms.input_hash,
            pay_by_time=terms.pay_by_time,
            submit_result_time=terms.submit_result_time,
            unlock_time=terms.unlock_time or None,
            external_dispute_unlock_time=terms.external_dispute_unlock_time or None,
            funds=terms.amounts or None,
            metadata=terms.job_id,
        )
        return escrow(await self.call("payment", lambda session: selling.create_payment(session, HOUSE, ask)))

    async def find(self, network: str, job_id: str, since_ms: int = 0) -> list[Escrow]:
        """Return every request with this job's id, made at or after `since_ms`, oldest first."""
        found = await self.call(
            "payment/find",
            lambda session: reading.by_metadata(session, network, job_id, since_ms, _FIND_MAX),
            reads=True,
        )
        return [escrow(deal) for deal in found]

    async def resolve(self, network: str, blockchain_identifier: str) -> Escrow:
        """Return one escrow.  Raises `NotFound`."""
        return escrow(
            await self.call(
                "payment/resolve",
                lambda session: reading.resolve(session, Side.PAYMENT, network, blockchain_identifier),
                reads=True,
            )
        )

    async def changes(self, network: str, since_ms: int, cursor: str = "", limit: int = 100) -> list[Escrow]:
        """Return a page of what changed at or after `since_ms`, by change; `cursor` is the id of the first one."""
        either = reading.Changed.EITHER
        found = await self.call(
            "payment/diff",
            lambda session: reading.diff(session, Side.PAYMENT, network, since_ms, cursor, limit, either),
            reads=True,
        )
        return [escrow(deal) for deal in found]

    async def submit_result(self, network: str, blockchain_identifier: str, result_hash: str) -> None:
        """Ask for a hash to be put on the chain."""
        await self.call(
            "payment/submit-result",
            lambda session: selling.submit_result(session, HOUSE, network, blockchain_identifier, result_hash),
        )

    async def authorize_refund(self, network: str, blockchain_identifier: str) -> None:
        """Ask for a dispute to be given up."""
        await self.call(
            "payment/authorize-refund",
            lambda session: selling.authorize_refund(session, HOUSE, network, blockchain_identifier),
        )

    async def recover(self, network: str, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """Leave WaitingForManualAction."""
        await self.call(
            "payment/error-state-recovery",
            lambda session: reading.recover(
                session, HOUSE, Side.PAYMENT, network, blockchain_identifier, updated_at, retry=retry
            ),
        )

    # -- for the HTTP API

    def authenticate(self, token: str) -> Key:
        """Return the key of a token, or raise `Unauthorized`."""
        return self.read(lambda session: accounts.check_key(session.key(token) if token else None, token))

    async def create_payment(self, key: Key, ask: selling.PaymentAsk) -> Deal:
        """`POST /payment`."""
        return await self.call("payment", lambda session: selling.create_payment(session, key, ask))

    async def create_purchase(self, key: Key, ask: buying.PurchaseAsk) -> Deal:
        """`POST /purchase`."""
        return await self.call("purchase", lambda session: buying.create_purchase(session, key, ask))

    async def request_refund(self, key: Key, network: str, identifier: str) -> Deal:
        """`POST /purchase/request-refund`."""
        return await self.call(
            "purchase/request-refund", lambda session: buying.request_refund(session, key, network, identifier)
        )

    async def cancel_refund_request(self, key: Key, network: str, identifier: str) -> Deal:
        """`POST /purchase/cancel-refund-request`."""
        return await self.call(
            "purchase/cancel-refund-request",
            lambda session: buying.cancel_refund_request(session, key, network, identifier),
        )

    async def register(self, key: Key, ask: registry.AgentAsk) -> Agent:
        """`POST /registry`."""
        return await self.call("registry", lambda session: registry.register(session, key, ask))

    # -- control

    async def set_clock(self, *, at: int | None = None, scale: float | None = None) -> Clock:
        """Set the clock ahead, or let it run at another speed.  Raises `BadRequest` if it would go back."""

        def work(session: Session) -> Clock:
            if at is not None and at < session.now:
                raise BadRequest("the clock can only be set ahead: callers have seen later times")
            if scale is not None and not 0 <= scale <= 1_000_000:
                raise BadRequest("scale must be from 0 to 1000000")
            session.set_clock(session.clock.set(at=at, scale=scale))
            return session.clock

        self._clock = await self.write(work)
        await self.settle()
        return self._clock

    async def advance(self, ms: int) -> Clock:
        """Set the clock ahead by `ms`, and let happen what is due by then."""
        return await self.set_clock(at=self.now() + ms)

    async def tamper(self, blockchain_identifier: str, how: Tampering) -> Deal:
        """Do something to a deal that no caller of the real API could."""
        return await self.write(lambda session: control.tamper(session, blockchain_identifier, how))

    def inject(self, fault: Fault) -> None:
        """Let calls go wrong."""
        self.faults.add(fault)

    async def settle_dispute(self, blockchain_identifier: str, seller: Funds) -> Deal:
        """Let the admins end a dispute."""
        return await self.write(lambda session: control.settle(session, blockchain_identifier, seller))

    def balances(self) -> list[tuple[str, str, int]]:
        """Return every account that is not empty: account, unit, amount."""
        return self.read(lambda session: session.balances())

    async def create_key(self, key: Key, funds: Funds) -> tuple[Key, str]:
        """Make an API key; return it and its token, which is not kept."""
        return await self.write(lambda session: control.create_key(session, key, funds))


def escrow(deal: Deal) -> Escrow:
    """Return the seller's view of a deal as the payments service knows escrows."""
    record = deal.payment
    return Escrow(
        id=record.id,
        blockchain_identifier=deal.blockchain_identifier,
        agent_identifier=deal.agent_identifier,
        input_hash=deal.input_hash,
        result_hash=record.result_hash,
        on_chain_state=record.state.value if record.state else None,
        next_action=record.action.value,
        error_type=record.error_type or "",
        error_note=record.error_note or "",
        pay_by_time=deal.pay_by_time,
        submit_result_time=deal.submit_result_time,
        unlock_time=deal.unlock_time,
        external_dispute_unlock_time=deal.external_dispute_unlock_time,
        amounts=tuple(deal.funds),
        seller_vkey=deal.seller_vkey,
        job_id=record.metadata or "",
        changed_at=max(record.action_at, record.state_at),
        updated_at=record.updated_at,
    )


@contextlib.asynccontextmanager
async def opened(path: pathlib.Path, options: Options) -> AsyncIterator[Ledger]:
    """Run the ledger that is kept in the file for the length of the block."""
    database = Database(path, MIGRATIONS)
    database.open()
    try:
        ledger = Ledger(database, options)
        await ledger.start()
        task = asyncio.create_task(ledger.run(), name="ledger")
        try:
            yield ledger
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        await database.close()
