"""Two replicas of the ledger on one PostgreSQL keep the promises that one keeps."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from services.ledger.domain.accounts import Key
from services.ledger.domain.books import wallet
from services.ledger.domain.chain import State
from services.ledger.domain.deals import Deal
from services.ledger.domain.errors import BadRequest, Exists
from tests.ledger.bench import DEV_TOKEN, HOUR_MS, Bench, benched

Pair = tuple[Bench, Bench]


@pytest_asyncio.fixture
async def pair(postgres: str) -> AsyncIterator[Pair]:
    """Two that start at the same time, each with a bus that the other does not hear."""
    async with contextlib.AsyncExitStack() as stack:
        benches = (stack.enter_async_context(benched(PostgresDatabase(postgres))) for _ in range(2))
        one, two = await asyncio.gather(*benches)
        yield one, two
        await one.check_sums()


async def test_they_have_one_development_key(pair: Pair) -> None:
    """Which whoever comes first has made."""
    assert pair[0].dev == pair[1].dev
    assert 1 == len(await pair[0].ledger.read(lambda session: session.all_keys()))


async def test_nothing_is_paid_twice(pair: Pair) -> None:
    """However many try, at whichever replica: one succeeds, and the money leaves the wallet once."""
    deal = await pair[0].payment()
    asks = (bench.create_purchase(bench.dev, bench.purchase_ask(deal)) for bench in pair for _ in range(5))
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    await asyncio.gather(*(bench.ledger.settle() for bench in pair))

    assert ["Deal"] + ["Exists"] * 9 == sorted(type(outcome).__name__ for outcome in outcomes)
    assert State.FUNDS_LOCKED == (await pair[1].deal(deal)).state
    escrows = [one for one in await pair[0].ledger.read(lambda session: session.balances()) if one[0][:7] == "escrow:"]
    assert 1 == len(escrows)
    with pytest.raises(Exists):
        await pair[1].create_purchase(pair[1].dev, pair[1].purchase_ask(deal))


async def test_credits_are_not_spent_twice(pair: Pair) -> None:
    """A key that may pay for two deals pays for two, at whichever replicas it tries."""
    one, two = pair
    deals = [await one.payment() for _ in range(6)]
    price = deals[0].funds
    credit = {unit: str(2 * amount) for amount, unit in price}
    wanted = Key(id="", name="limited", can_pay=True, usage_limited=True, credits=credit)
    key, _ = await one.create_key(wanted, [(10**12, unit) for _, unit in price])

    async def buy(bench: Bench, deal: Deal) -> Deal:
        return await bench.create_purchase(key, bench.purchase_ask(deal))

    outcomes = await asyncio.gather(
        *(buy(bench, deal) for bench, deal in zip([one, two] * 3, deals, strict=True)), return_exceptions=True
    )

    assert 2 == sum(isinstance(outcome, Deal) for outcome in outcomes), outcomes
    assert 4 == sum(isinstance(outcome, BadRequest) for outcome in outcomes), outcomes
    left = await two.ledger.read(lambda session: session.key_by_id(key.id))
    assert left is not None
    assert {unit: "0" for _, unit in price} == left.credits


async def test_a_clock_that_one_sets_ahead_is_the_others(pair: Pair) -> None:
    """And what is due happens once, whoever finds it."""
    one, two = pair
    deal = await one.locked()
    before = await two.balance(wallet(deal.seller_vkey))
    await one.submit(deal)
    await one.advance(30 * HOUR_MS)
    await asyncio.gather(*(bench.ledger.settle() for bench in pair for _ in range(3)))

    await two.ledger.read(lambda session: session.now)
    assert one.now == two.now
    assert State.WITHDRAWN == (await two.deal(deal)).state
    assert before < await two.balance(wallet(deal.seller_vkey))
    assert one.dev == await two.ledger.authenticate(DEV_TOKEN)
