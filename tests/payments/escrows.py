"""A provider in memory, with a clock and faults of the tests' choosing; `test_providers.py` holds it to the port.

Its identifiers are genuine and signed.  Given a file, it keeps its escrows there, so that it outlives the process that
asks it: what a real provider does.
"""

import asyncio
import collections
import dataclasses
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import TypeVar

from meshkit.errors import Invalid, MeshError, NotFound
from meshkit.masumi import identifiers
from services.payments.domain import MINUTE_MS, Amount, Escrow, Terms
from services.payments.ports.provider import PAGE

AGENT = "7e8bdaf2b2b919a3a4b94002cafb50086c0c845fe535d07a77ab7f77" + "ab" * 32
PRICE: tuple[Amount, ...] = ((10_000_000, ""),)
WAITING = "WaitingForExternalAction"
LIVE = ("FundsLocked", "RefundRequested", "Disputed")
SEED = bytes(range(32))
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: before it is carried out, or after, so that only the answer is lost."""

    error: MeshError | None = None
    after: bool = False
    kill: bool = False
    """The caller's process dies at once."""


class Escrows:
    """Implements `services.payments.provider.Provider`."""

    name = "memory"

    def __init__(self, *, network: str = "Preprod", path: pathlib.Path | None = None) -> None:
        self.network = network
        self.wallet = identifiers.Wallet(seed=SEED, network=network)
        self.rows: dict[str, Escrow] = {}
        self.submitted: dict[str, str] = {}
        """Hashes that are on their way to the chain."""
        self.calls: collections.Counter[str] = collections.Counter()
        self.faults: dict[str, list[Fault]] = {}
        self.called = asyncio.Condition()
        self.prices: dict[str, tuple[Amount, ...]] = {AGENT: PRICE}
        self.forged: Callable[[Escrow], Escrow] = lambda escrow: escrow
        """What `request` does to its answer."""
        self._ahead_ms = 0
        self._path = path
        if path is not None and path.exists():
            rows = [Escrow(**row) for row in json.loads(path.read_text())]
            tuples = [dataclasses.replace(row, amounts=tuple((a, u) for a, u in row.amounts)) for row in rows]
            self.rows = {row.id: row for row in tuples}

    # -- the port

    def now(self) -> int:
        """Return the time."""
        return int(time.time() * 1000) + self._ahead_ms

    async def time(self) -> int:
        """Return the same."""
        return self.now()

    async def check(self) -> None:
        """Pass, unless told to fail."""
        await self._around("check", lambda: None)

    async def price(self, agent_identifier: str) -> tuple[Amount, ...]:
        """Return the price."""
        if agent_identifier not in self.prices:
            raise Invalid("Agent identifier not found")
        return self.prices[agent_identifier]

    async def request(self, terms: Terms) -> Escrow:
        """Make an escrow."""
        return self.forged(await self._around("request", lambda: self._make(terms)))

    async def find(self, job_id: str, since_ms: int) -> list[Escrow]:
        """Return what was asked for with this id."""
        return await self._around("find", lambda: [row for row in self.rows.values() if row.job_id == job_id])

    async def resolve(self, blockchain_identifier: str) -> Escrow:
        """Return one escrow."""
        return await self._around("resolve", lambda: self.row(blockchain_identifier))

    async def changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        """Return a page of what changed."""
        return await self._around("changes", lambda: self._changes(since_ms, cursor))

    async def submit_result(self, blockchain_identifier: str, result_hash: str) -> None:
        """Take the hash."""

        def work() -> None:
            row = self.row(blockchain_identifier)
            if row.on_chain_state not in LIVE or row.next_action != WAITING:
                raise NotFound("Payment not found or in invalid state")
            self.move(blockchain_identifier, next_action="SubmitResultRequested")
            self.submitted[blockchain_identifier] = result_hash

        await self._around("submit_result", work)

    async def authorize_refund(self, blockchain_identifier: str) -> None:
        """Take the authorisation."""

        def work() -> None:
            row = self.row(blockchain_identifier)
            if row.on_chain_state not in ("Disputed", "RefundRequested") or row.next_action != WAITING:
                raise NotFound("Payment not found or in invalid state")
            self.move(blockchain_identifier, next_action="AuthorizeRefundRequested")

        await self._around("authorize_refund", work)

    async def recover(self, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """Leave the manual state."""

        def work() -> None:
            row = self.row(blockchain_identifier)
            if row.updated_at != updated_at:
                raise NotFound("Payment not found")
            if row.next_action != "WaitingForManualAction" or not row.error_type:
                raise Invalid("Payment is not in a recoverable state")
            if retry and blockchain_identifier not in self.submitted:
                raise Invalid("Previous action is not retryable")
            action = "SubmitResultRequested" if retry else WAITING
            self.move(blockchain_identifier, next_action=action, error_type="", error_note="")

        await self._around("recover", work)

    # -- what tests do to it

    def advance(self, ms: int) -> None:
        """Set the clock ahead."""
        self._ahead_ms += ms

    def row(self, blockchain_identifier: str) -> Escrow:
        """Return an escrow as it is."""
        for row in self.rows.values():
            if row.blockchain_identifier == blockchain_identifier:
                return row
        raise NotFound("Payment not found")

    def move(self, blockchain_identifier: str, **changes: object) -> Escrow:
        """Let an escrow be as it is given."""
        row = self.row(blockchain_identifier)
        # A change is later than any before it: the order of `changes` is told from this alone.
        at = max(self.now(), 1 + max(other.changed_at for other in self.rows.values()))
        self.rows[row.id] = row = dataclasses.replace(row, **changes, changed_at=at, updated_at=at)  # type: ignore[arg-type]
        self._save()
        return row

    def lock(self, blockchain_identifier: str) -> Escrow:
        """Let the purchaser pay."""
        return self.move(blockchain_identifier, on_chain_state="FundsLocked", next_action=WAITING)

    def confirm(self, blockchain_identifier: str) -> Escrow:
        """Let what was submitted reach the chain."""
        changes = {"on_chain_state": "ResultSubmitted", "next_action": WAITING}
        return self.move(blockchain_identifier, result_hash=self.submitted[blockchain_identifier], **changes)

    def fail(self, call: str, *faults: Fault) -> None:
        """Let the next calls fail so, in turn."""
        self.faults.setdefault(call, []).extend(faults)

    async def until_called(self, call: str, times: int = 1) -> None:
        """Wait until a method has been called so often."""
        async with asyncio.timeout(60), self.called:
            await self.called.wait_for(lambda: self.calls[call] >= times)

    async def _around(self, call: str, work: Callable[[], T]) -> T:
        queued = self.faults.get(call)
        fault = queued.pop(0) if queued else Fault()
        try:
            if fault.kill and not fault.after:
                os.kill(os.getpid(), signal.SIGKILL)
            if fault.error is not None and not fault.after:
                raise fault.error
            done = work()
            if fault.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            if fault.error is not None:
                raise fault.error
            return done
        finally:
            self.calls[call] += 1
            async with self.called:
                self.called.notify_all()

    def _make(self, terms: Terms) -> Escrow:
        if terms.agent_identifier not in self.prices:
            raise NotFound("Agent identifier not found")
        if terms.submit_result_time < self.now() + 15 * MINUTE_MS:
            raise Invalid("Submit result time must be in the future (min. 15 minutes)")
        unlock = terms.unlock_time or terms.submit_result_time + 360 * MINUTE_MS
        dispute = terms.external_dispute_unlock_time or terms.submit_result_time + 720 * MINUTE_MS
        signed = identifiers.SignedTerms(
            input_hash=terms.input_hash,
            agent_identifier=terms.agent_identifier,
            purchaser_identifier=terms.purchaser_identifier,
            seller_identifier=identifiers.new_seller_identifier(terms.agent_identifier),
            funds=terms.amounts or None,
            pay_by_time=terms.pay_by_time,
            submit_result_time=terms.submit_result_time,
            unlock_time=unlock,
            external_dispute_unlock_time=dispute,
        )
        at = max([self.now(), *(1 + row.changed_at for row in self.rows.values())])
        escrow = Escrow(
            id=f"c{len(self.rows):024d}",
            blockchain_identifier=identifiers.sign(signed, self.wallet),
            agent_identifier=terms.agent_identifier,
            input_hash=terms.input_hash,
            pay_by_time=terms.pay_by_time,
            submit_result_time=terms.submit_result_time,
            unlock_time=unlock,
            external_dispute_unlock_time=dispute,
            amounts=terms.amounts or self.prices[terms.agent_identifier],
            seller_vkey=self.wallet.vkey,
            job_id=terms.job_id,
            changed_at=at,
            updated_at=at,
        )
        self.rows[escrow.id] = escrow
        self._save()
        return escrow

    def _changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        rows = sorted(self.rows.values(), key=lambda row: (row.changed_at, row.id))
        rows = [row for row in rows if row.changed_at >= since_ms]
        ids = [row.id for row in rows]
        start = ids.index(cursor) if cursor in ids else 0
        return rows[start : start + PAGE]

    def _save(self) -> None:
        if self._path is not None:
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps([dataclasses.asdict(row) for row in self.rows.values()]))
            draft.replace(self._path)
