"""Every provider keeps the same promises: in memory, the ledger, and the ledger over HTTP as a real service."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from meshkit.errors import Invalid, NotFound
from services.payments import agreement, domain
from services.payments.domain import MINUTE_MS, Escrow, Terms
from tests.payments.benches import Bench, bench, good_terms, reached
from tests.payments.terms import OWNER

WAITING = "WaitingForExternalAction"
RESULT = "ab" * 32
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(params=["memory", "ledger", "masumi"], scope="module", loop_scope="module", name="bench")
async def _bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """Each kind of provider; tests of a module share it, so each uses jobs of its own."""
    async with bench(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


async def paid(bench: Bench, job: int) -> tuple[Terms, Escrow]:
    """Return an escrow with money in it."""
    terms = good_terms(bench, job)
    escrow = await bench.provider.request(terms)
    await bench.pay(escrow, terms)
    return terms, await reached(bench, escrow.blockchain_identifier, "FundsLocked", WAITING)


@contextlib.asynccontextmanager
async def standing_still(bench: Bench) -> AsyncIterator[None]:
    """Let nothing happen by itself for the length of the block."""
    await bench.pace(0)
    try:
        yield
    finally:
        await bench.pace(1)


async def test_the_check_passes(bench: Bench) -> None:
    """The key may pay, on this network."""
    await bench.provider.check()


async def test_the_price_is_the_registrys(bench: Bench) -> None:
    """It is what the escrow asks for; who is not registered has none."""
    terms = good_terms(bench, 1)

    assert await bench.provider.price(terms.agent_identifier) == (await bench.provider.request(terms)).amounts
    with pytest.raises(Invalid):
        await bench.provider.price("ab" * 60)


async def test_an_escrow_is_what_was_asked_for(bench: Bench) -> None:
    """Down to the signature; nobody has paid yet."""
    terms = good_terms(bench, 2)
    escrow = await bench.provider.request(terms)
    payment = domain.new_payment(
        job=f"jobs/{terms.job_id}",
        owner=OWNER,
        terms=terms,
        provider="any",
        windows=domain.Windows(),
        now=bench.provider.now(),
    )

    assert agreement.disagreement(payment, escrow, await bench.provider.price(terms.agent_identifier)) == ""
    assert (escrow.on_chain_state, escrow.next_action, escrow.result_hash) == (None, WAITING, "")
    assert (escrow.job_id, len(escrow.seller_vkey)) == (terms.job_id, 56)
    assert escrow.unlock_time == terms.submit_result_time + 360 * MINUTE_MS
    assert escrow.external_dispute_unlock_time == terms.submit_result_time + 720 * MINUTE_MS
    assert escrow == await bench.provider.resolve(escrow.blockchain_identifier)


async def test_given_times_are_kept(bench: Bench) -> None:
    """To the millisecond."""
    terms = good_terms(bench, 3)
    terms = dataclasses.replace(
        terms,
        unlock_time=terms.submit_result_time + 15 * MINUTE_MS,
        external_dispute_unlock_time=terms.submit_result_time + 30 * MINUTE_MS + 1,
    )
    escrow = await bench.provider.request(terms)

    assert (escrow.pay_by_time, escrow.submit_result_time) == (terms.pay_by_time, terms.submit_result_time)
    assert escrow.unlock_time == terms.unlock_time
    assert escrow.external_dispute_unlock_time == terms.external_dispute_unlock_time


async def test_a_request_is_not_idempotent_and_both_are_found(bench: Bench) -> None:
    """Oldest first; by the job's id alone; nothing before the time that is given."""
    since = bench.provider.now() - 60_000
    terms = good_terms(bench, 4)
    made = [await bench.provider.request(terms) for _ in range(2)]

    assert made[0].blockchain_identifier != made[1].blockchain_identifier
    assert await bench.provider.find(terms.job_id, since) == made
    assert await bench.provider.find("f" * 24, since) == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"agent_identifier": "ab" * 60}, NotFound),
        ({"submit_result_time": 1}, Invalid),
    ],
)
async def test_bad_terms_are_refused(bench: Bench, given: dict[str, Any], kind: type[Exception]) -> None:
    """By the class of what is wrong."""
    with pytest.raises((kind, Invalid)):
        await bench.provider.request(good_terms(bench, 5, **given))


async def test_an_unknown_identifier_is_not_found(bench: Bench) -> None:
    """In every call."""
    for call in (
        bench.provider.resolve("abcd"),
        bench.provider.submit_result("abcd", RESULT),
        bench.provider.authorize_refund("abcd"),
        bench.provider.recover("abcd", 1, retry=False),
    ):
        with pytest.raises(NotFound):
            await call


async def test_changes_come_in_order_and_again(bench: Bench) -> None:
    """What changes last comes last; the moment that is given is included."""
    made = [await bench.provider.request(good_terms(bench, 600 + number)) for number in range(3)]
    await bench.advance(1000)
    await bench.pay(made[0], good_terms(bench, 600, pay_by_time=made[0].pay_by_time))
    locked = await reached(bench, made[0].blockchain_identifier, "FundsLocked")
    changes = await bench.provider.changes(made[0].changed_at, "")
    times = [change.changed_at for change in changes]
    last = [change.id for change in await bench.provider.changes(locked.changed_at, "")]

    assert times == sorted(times)
    assert changes[-1] == locked
    assert {escrow.id for escrow in made} <= {change.id for change in changes}
    assert last == [locked.id]
    assert await bench.provider.changes(locked.changed_at + 1, "") == []


async def test_a_cursor_continues_with_its_own_line(bench: Bench) -> None:
    """Over more than a page of changes, none is left out."""
    start = (await bench.provider.request(good_terms(bench, 700))).changed_at
    made = {(await bench.provider.request(good_terms(bench, 700 + number))).id for number in range(1, 121)}
    first = await bench.provider.changes(start, "")
    second = await bench.provider.changes(start, first[-1].id)

    assert len(first) == 100
    assert second[0] == first[-1]
    assert made <= {change.id for change in first + second}


async def test_a_result_reaches_the_chain(bench: Bench) -> None:
    """In two steps: it is asked for, then it is there; a second time is refused."""
    _, escrow = await paid(bench, 8)
    async with standing_still(bench):
        await bench.provider.submit_result(escrow.blockchain_identifier, RESULT)
        asked = await bench.provider.resolve(escrow.blockchain_identifier)
        with pytest.raises(NotFound):
            await bench.provider.submit_result(escrow.blockchain_identifier, RESULT)
    done = await reached(bench, escrow.blockchain_identifier, "ResultSubmitted", WAITING)

    assert (asked.on_chain_state, asked.next_action, asked.result_hash) == ("FundsLocked", "SubmitResultRequested", "")
    assert done.result_hash == RESULT


async def test_without_money_nothing_is_submitted(bench: Bench) -> None:
    """Not found, in the words of the service: not in that state."""
    escrow = await bench.provider.request(good_terms(bench, 9))
    with pytest.raises(NotFound):
        await bench.provider.submit_result(escrow.blockchain_identifier, RESULT)


async def test_a_dispute_is_given_up(bench: Bench) -> None:
    """The purchaser wants the money back after the result; the seller agrees; the result is cleared."""
    _, escrow = await paid(bench, 10)
    await bench.provider.submit_result(escrow.blockchain_identifier, RESULT)
    await reached(bench, escrow.blockchain_identifier, "ResultSubmitted", WAITING)
    with pytest.raises(NotFound):
        await bench.provider.authorize_refund(escrow.blockchain_identifier)
    await bench.request_refund(escrow.blockchain_identifier)
    disputed = await reached(bench, escrow.blockchain_identifier, "Disputed", WAITING)
    await bench.advance(25 * MINUTE_MS)  # the seller's cooldown after the submit
    await bench.provider.authorize_refund(disputed.blockchain_identifier)
    given_up = await reached(bench, escrow.blockchain_identifier, "RefundRequested")

    assert given_up.result_hash == ""


async def test_a_failed_submit_is_recovered(bench: Bench) -> None:
    """With the version it is at, not another; then the hash is on its way again."""
    _, escrow = await paid(bench, 11)
    await bench.break_next(escrow.blockchain_identifier)
    await bench.provider.submit_result(escrow.blockchain_identifier, RESULT)
    stuck = await reached(bench, escrow.blockchain_identifier, "FundsLocked", "WaitingForManualAction")
    assert (stuck.error_type != "", "broken" in stuck.error_note) == (True, True)
    with pytest.raises(NotFound):
        await bench.provider.recover(stuck.blockchain_identifier, stuck.updated_at - 1, retry=True)
    await bench.provider.recover(stuck.blockchain_identifier, stuck.updated_at, retry=True)
    done = await reached(bench, escrow.blockchain_identifier, "ResultSubmitted", WAITING)

    assert done.result_hash == RESULT
