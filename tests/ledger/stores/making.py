"""Deals and records for the tests of stores."""

from collections.abc import Callable

from services.ledger.domain.actions import Side
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Record
from services.ledger.domain.queries import Filter
from services.ledger.ports.store import LedgerStore, Session

NET = "Preprod"
NOON = 1_765_445_305_000
STILL = Clock(wall=0, at=NOON, scale=0)
ALL = Filter()


def record(number: int, side: Side = Side.PAYMENT) -> Record:
    """Return one side's view."""
    return Record(
        id=f"{side.value}{number}",
        side=side,
        key_id="key",
        metadata=f"job{number % 2}",
        created_at=NOON,
        updated_at=NOON,
        action_at=NOON,
        state_at=NOON,
    )


def deal(number: int, network: str = NET) -> Deal:
    """Return a deal that only the seller knows."""
    return Deal(
        id=f"deal{number}",
        network=network,
        blockchain_identifier=f"ab{number:04x}",
        agent_identifier="agent",
        agent_name=f"Agent {number}",
        pricing_type="Fixed",
        seller_identifier="seller",
        purchaser_identifier="purchaser",
        input_hash="hash",
        pay_by_time=NOON + 1000 * (number + 1),
        submit_result_time=NOON + 10_000_000,
        unlock_time=NOON + 20_000_000,
        external_dispute_unlock_time=NOON + 30_000_000,
        seller_vkey="vkey",
        funds=[(5, ""), (7, "unit")],
        payment=record(number),
    )


def saving(deal: Deal) -> Callable[[Session], None]:
    """Return the write that keeps a deal."""
    return lambda session: session.save(deal)


async def save(store: LedgerStore, *deals: Deal) -> None:
    """Keep deals, each a second later than the one before."""
    for each in deals:
        await later(store)
        await store.write(saving(each))


async def later(store: LedgerStore, ms: int = 1000) -> None:
    """Let time pass."""
    await store.write(lambda session: session.set_clock(Clock(wall=0, at=session.now + ms, scale=0)))


def names(deals: list[Deal]) -> list[str]:
    """Return the ids of deals."""
    return [each.id for each in deals]
