"""The embedded escrow ledger: a whole Masumi payment service, in transactions on one store.

Every call is one transaction, so two calls never see each other half done.  A deal keeps in its row the moment at which
it next moves by itself; one task sleeps until the earliest of them, so waiting costs nothing, and what was due while
the process was down happens when it is back, in order.
"""

from collections.abc import Callable
from typing import TypeVar

import structlog

from meshkit.bus import Bus
from meshkit.errors import Unavailable
from services.ledger import control
from services.ledger.domain import accounts, steps
from services.ledger.domain.accounts import HOUSE, Key
from services.ledger.domain.clock import LAST_MS, Clock
from services.ledger.domain.errors import BadRequest
from services.ledger.domain.options import Options
from services.ledger.faults import Fault, Faults
from services.ledger.ports.store import LedgerStore, Session

T = TypeVar("T")
log = structlog.get_logger()
WRITTEN = "ledger"
"""The topic on which everything that is written is told."""
_STEPS_MAX = 200
"""In one transaction, so that callers get a turn."""
_SLEEP_S_MAX = 5.0
"""However far away the next moment is: the machine's clock may be set."""
_AGAIN_S = 1.0


class Ledger:
    """The frame of every call: transactions, faults, time.  `start` it, and let `run` run."""

    def __init__(self, store: LedgerStore, options: Options, bus: Bus) -> None:
        self._store = store
        self._options = options
        self._bus = bus
        self._clock = Clock()
        """As it was at the last look: another replica may set it."""
        self.faults = Faults()

    @property
    def options(self) -> Options:
        """How it behaves."""
        return self._options

    # -- calls

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction, and look anew at what is due next."""
        value, self._clock = await self._store.write(lambda session: (work(session), session.clock))
        await self._bus.publish(WRITTEN)
        return value

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run a short query."""
        value, self._clock = await self._store.read(lambda session: (work(session), session.clock))
        return value

    async def call(self, name: str, work: Callable[[Session], T], *, reads: bool = False) -> T:
        """Run a call of the API: faults that were ordered for `name` happen to it."""
        await self.faults.before(name)
        value = await self.read(work) if reads else await self.write(work)
        await self.faults.after(name)
        return value

    async def authenticate(self, token: str, *, house: bool = False) -> Key:
        """Return the key of a token, or raise `Unauthorized`; the `house` needs no token."""
        if house and not token:
            return HOUSE
        return await self.read(lambda session: accounts.check_key(session.key(token) if token else None, token))

    # -- time

    def now(self) -> int:
        """Return the ledger's time in ms since 1970."""
        return self._clock.now()

    async def start(self) -> None:
        """Make what must be there from the first call on."""
        await self.write(control.go_on)
        await self.write(control.ensure_dev_key)

    async def run(self) -> None:
        """Let things happen at their time, until the bus is closed."""
        async with self._bus.subscribe(WRITTEN) as waker:
            while not waker.closed:
                try:
                    await self.settle()
                    moment = await self.read(lambda session: session.next_due())
                    wait_s = _SLEEP_S_MAX if moment is None else self._clock.wait_s(moment)
                except Unavailable:  # a full disk, say
                    wait_s = _AGAIN_S
                except Exception:  # the ledger must not stand still for ever after
                    log.exception("ledger cannot go on; it tries again")
                    wait_s = _AGAIN_S
                await waker.wait(_SLEEP_S_MAX if wait_s is None else min(wait_s, _SLEEP_S_MAX))

    async def settle(self) -> None:
        """Let everything happen that is due by now."""
        while await self.read(lambda session: (session.next_due() or session.now + 1) <= session.now):
            await self.write(self._advance)

    def _advance(self, session: Session) -> None:
        for _ in range(_STEPS_MAX):
            found = session.due_deal(session.now)
            if found is None:
                return
            deal, moment = found
            steps.step(deal, moment, session, self._options.pace)
            session.save(deal)

    async def set_clock(self, *, at: int | None = None, scale: float | None = None) -> Clock:
        """Set the clock ahead, or let it run at another speed.

        Raises `BadRequest` if it would go back, or beyond its last moment.
        """

        def work(session: Session) -> Clock:
            if at is not None and at < session.now:
                raise BadRequest("the clock can only be set ahead: callers have seen later times")
            if at is not None and at > LAST_MS:
                raise BadRequest("the clock ends with the year 8999: set it to an earlier time")
            if scale is not None and not 0 <= scale <= 1_000_000:
                raise BadRequest("scale must be from 0 to 1000000")
            session.set_clock(session.clock.set(at=at, scale=scale))
            return session.clock

        await self.write(work)
        await self.settle()
        return self._clock

    async def advance(self, ms: int) -> Clock:
        """Set the clock ahead by `ms`, and let happen what is due by then."""
        return await self.set_clock(at=self.now() + ms)

    def inject(self, fault: Fault) -> None:
        """Let calls go wrong."""
        self.faults.add(fault)
