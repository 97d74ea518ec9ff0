"""The failure matrix, from the lock on: rows 9-13, 19-22, 24 and 26-28."""

import pathlib

import pytest

from services.ledger.control import Tampering
from services.ledger.domain.accounts import HOUSE, PURCHASING, SELLING
from services.ledger.domain.actions import Action
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.deals import Deal
from services.ledger.domain.errors import BadRequest, Missing
from services.ledger.domain.queries import Changed
from services.ledger.domain.steps import Pace
from services.ledger.selling import authorize_refund, submit_result
from tests.ledger.bench import HOUR_MS, NET, RESULT_HASH, TOKEN, Bench, benched

PRICE = 10_000_000
COOLED_MS = 24 * MINUTE_MS + 1
"""The cooldown of 17 minutes, and the 7 that the worker waits more."""


async def authorize(bench: Bench, deal: Deal) -> Deal:
    """Give up a dispute, and let happen what is due."""
    await bench.ledger.write(lambda session: authorize_refund(session, HOUSE, NET, deal.blockchain_identifier))
    await bench.ledger.settle()
    return await bench.deal(deal)


async def cancel(bench: Bench, deal: Deal) -> Deal:
    """No longer ask for the money back, and let happen what is due."""
    await bench.cancel_refund(bench.dev, NET, deal.blockchain_identifier)
    await bench.ledger.settle()
    return await bench.deal(deal)


async def test_the_good_way_pays_the_seller(bench: Bench) -> None:
    """Less 5 %, ten minutes after unlockTime; both sides show who got what."""
    deal = await bench.locked()
    submitted = await bench.submit(deal)
    await bench.until(deal.unlock_time + 10 * MINUTE_MS - 1)
    before = (await bench.deal(deal)).state
    await bench.advance(1)

    ended = await bench.deal(deal)
    assert (State.RESULT_SUBMITTED, RESULT_HASH) == (submitted.payment.state, submitted.payment.result_hash)
    assert State.RESULT_SUBMITTED == before
    assert State.WITHDRAWN == ended.payment.state
    assert [Action.NONE, Action.NONE] == [record.action for record in ended.records]
    assert [(9_500_000, "")] == ended.payment.withdrawn_seller
    assert 9_500_000 == await bench.balance(f"wallet:{await bench.wallet(SELLING)}")
    assert 500_000 == await bench.balance("fees:Preprod")
    assert 0 == await bench.balance(ended.escrow)


async def test_collateral_goes_back_to_the_buyer(bench: Bench) -> None:
    """Of a price in tokens; the fee is rounded down."""
    agent = await bench.register(pricing=((199, TOKEN),))
    vkey = await bench.wallet(PURCHASING)
    await bench.ledger.write(lambda session: session.hand_out(NET, vkey, [(199, TOKEN)]))
    lovelace = await bench.balance(f"wallet:{vkey}")
    deal = await bench.locked(agent_identifier=agent)
    await bench.submit(deal)
    await bench.advance(8 * HOUR_MS)

    assert State.WITHDRAWN == (await bench.deal(deal)).state
    assert lovelace == await bench.balance(f"wallet:{vkey}")
    assert 9 == await bench.balance("fees:Preprod", TOKEN)
    assert 190 == await bench.balance(f"wallet:{await bench.wallet(SELLING)}", TOKEN)


async def test_row_9_a_late_result_is_taken_and_never_sent(bench: Bench) -> None:
    """200, then stuck in SubmitResultRequested; after the automatic refund it is 404."""
    late, later = await bench.locked(), await bench.locked()
    await bench.until(late.submit_result_time - 5 * MINUTE_MS)

    asked = await bench.submit(late)
    await bench.advance(15 * MINUTE_MS)

    assert Action.SUBMIT_RESULT_REQUESTED == asked.payment.action
    assert "" == (await bench.deal(late)).payment.result_hash
    assert State.REFUND_WITHDRAWN == (await bench.deal(later)).state
    with pytest.raises(Missing, match=r"^Payment not found or in invalid state$"):
        await bench.submit(later)


async def test_row_10_a_wait_for_a_human_past_the_deadline_is_refunded(bench: Bench) -> None:
    """Three hours of an open lock: the buyer has the money back, without having asked."""
    money = await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")
    deal = await bench.locked()
    await bench.until(deal.submit_result_time + 10 * MINUTE_MS - 1)
    before = (await bench.deal(deal)).state
    await bench.advance(3 * HOUR_MS)

    assert State.FUNDS_LOCKED == before
    assert State.REFUND_WITHDRAWN == (await bench.deal(deal)).payment.state
    assert money == await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")


async def test_row_11_a_result_is_submitted_once(bench: Bench) -> None:
    """The second call is 404.  The 409 of a race cannot come: calls are one after the other on the file's writer."""
    deal = await bench.locked()
    await bench.submit(deal)

    with pytest.raises(Missing):
        await bench.submit(deal)


async def test_row_12_nothing_is_submitted_before_the_lock(bench: Bench) -> None:
    """Nor to an identifier that nobody has."""
    deal = await bench.payment()

    with pytest.raises(Missing):
        await bench.submit(deal)


@pytest.mark.parametrize("result_hash", ["", "ab" * 31, "ab" * 33, "zz" * 32])
async def test_row_13_a_result_hash_has_64_digits(bench: Bench, result_hash: str) -> None:
    """Hexadecimal."""
    deal = await bench.locked()

    with pytest.raises(BadRequest, match="submitResultHash"):
        await bench.submit(deal, result_hash)


async def test_row_19_a_request_becomes_a_dispute_and_is_dropped(bench: Bench) -> None:
    """Refund asked, result submitted, Disputed, dropped, ResultSubmitted, Withdrawn."""
    deal = await bench.locked()
    states = [
        (await bench.request_refund(deal)).state,
        (await bench.submit(deal)).state,
        (await cancel(bench, deal)).state,
    ]
    await bench.advance(8 * HOUR_MS)

    assert [State.REFUND_REQUESTED, State.DISPUTED, State.RESULT_SUBMITTED] == states
    assert State.WITHDRAWN == (await bench.deal(deal)).state


async def test_row_20_an_authorised_refund_clears_the_result(bench: Bench) -> None:
    """Disputed, authorised, RefundRequested without a result, and the money goes back."""
    deal = await bench.locked()
    await bench.submit(deal)
    disputed = await bench.request_refund(deal)
    authorized = await authorize(bench, deal)
    await bench.advance(2 * HOUR_MS)

    assert State.DISPUTED == disputed.state
    assert (State.REFUND_REQUESTED, "") == (authorized.payment.state, authorized.payment.result_hash)
    assert State.REFUND_WITHDRAWN == (await bench.deal(deal)).state


async def test_row_20_without_a_result_the_authorisation_hangs(bench: Bench) -> None:
    """As upstream's V1: the call is taken, the contract would refuse it."""
    deal = await bench.locked()
    await bench.request_refund(deal)

    found = await authorize(bench, deal)

    assert (State.REFUND_REQUESTED, Action.AUTHORIZE_REFUND_REQUESTED) == (found.payment.state, found.payment.action)


@pytest.mark.parametrize(("before_ms", "state"), [(3 * MINUTE_MS + 1, State.DISPUTED), (3 * MINUTE_MS, None)])
async def test_row_21_a_refund_is_asked_in_time(bench: Bench, before_ms: int, state: State | None) -> None:
    """More than three minutes before unlockTime; later it stays requested."""
    deal = await bench.locked()
    await bench.submit(deal)
    await bench.until(deal.unlock_time - before_ms)

    found = await bench.request_refund(deal)

    assert (state or State.RESULT_SUBMITTED) == found.state
    assert state is not None or Action.SET_REFUND_REQUESTED == (await bench.purchase_of(deal)).action


async def test_row_22_a_side_waits_out_its_cooldown(bench: Bench) -> None:
    """To drop a request right after it was made takes 24 minutes."""
    deal = await bench.locked()
    await bench.request_refund(deal)
    await cancel(bench, deal)
    await bench.advance(COOLED_MS - 1)
    waiting = (await bench.deal(deal)).state
    await bench.advance(1)

    assert State.REFUND_REQUESTED == waiting
    assert State.FUNDS_LOCKED == (await bench.deal(deal)).state


async def test_row_24_recovery_needs_the_right_version(bench: Bench) -> None:
    """A stale updatedAt is 404; the fresh one queues the same result again."""
    deal = await bench.locked()
    await bench.tamper(deal.blockchain_identifier, Tampering(stuck="utxo is gone"))
    stuck = (await bench.submit(deal)).payment
    with pytest.raises(Missing):
        await bench.recover(deal, stuck.updated_at - 1, retry=True)
    await bench.recover(deal, stuck.updated_at, retry=True)
    await bench.ledger.settle()
    again = (await bench.deal(deal)).payment
    with pytest.raises(BadRequest, match="is not in WaitingForManualAction"):
        await bench.recover(deal, again.updated_at, retry=False)

    assert (Action.MANUAL, "utxo is gone") == (stuck.action, stuck.error_note)
    assert (State.RESULT_SUBMITTED, RESULT_HASH) == (again.state, again.result_hash)


async def test_row_24_what_was_never_locked_cannot_recover(bench: Bench) -> None:
    """400, by either side."""
    deal = await bench.payment()

    with pytest.raises(BadRequest, match="not yet on chain"):
        await bench.recover(deal, deal.payment.updated_at, retry=False)


@pytest.mark.parametrize("stop_after", range(7))
async def test_row_26_a_restart_changes_nothing(tmp_path: pathlib.Path, stop_after: int) -> None:
    """Closed and opened again between any two steps, the escrow ends the same, and is paid once."""
    pace = Pace(worker_delay_ms=500, confirm_delay_ms=1500)
    async with benched(tmp_path, pace) as bench:
        deal = await bench.payment()
        await bench.create_purchase(bench.dev, bench.purchase_ask(deal))
        await bench.advance(stop_after * 500)
        before = await bench.deal(deal)
    async with benched(tmp_path, pace) as bench:
        after = await bench.deal(deal)
        await bench.advance(2000)
        await bench.submit(deal)
        await bench.advance(8 * HOUR_MS)

        assert before == after
        assert State.WITHDRAWN == (await bench.deal(deal)).state
        assert 9_500_000 == await bench.balance(f"wallet:{await bench.wallet(SELLING)}")
        await bench.check_sums()


async def test_row_26_what_fell_due_meanwhile_happens_in_order(tmp_path: pathlib.Path) -> None:
    """A lock that was due while the process was down is confirmed by its own time, not by the restart's."""
    pace = Pace(worker_delay_ms=500, confirm_delay_ms=1500)
    async with benched(tmp_path, pace) as bench:
        deal = await bench.payment(pay_by_time=bench.now + MINUTE_MS)
        await bench.create_purchase(bench.dev, bench.purchase_ask(deal))
        await bench.advance(500)
        await bench.ledger.write(lambda session: session.set_clock(session.clock.set(at=session.now + 4 * MINUTE_MS)))
    async with benched(tmp_path, pace) as bench:
        await bench.ledger.settle()
        found = await bench.deal(deal)

        assert State.FUNDS_LOCKED == found.state
        assert found.payment.tx is not None
        assert found.payment.created_at + 2000 == found.payment.tx.block_time


async def test_row_27_states_may_go_by_unseen(bench: Bench) -> None:
    """Between two polls from nothing to ResultSubmitted: the diff shows it once, as it stands."""
    deal = await bench.payment()
    since = bench.now
    await bench.purchase(deal)
    await bench.submit(deal)

    changed = await bench.changes(since)

    assert ["ResultSubmitted"] == [str(deal.payment.state) for deal in changed]


async def test_row_28_a_rollback_is_sent_again(bench: Bench) -> None:
    """The transaction says RolledBack, the state goes back, and the author's worker repeats it."""
    deal = await bench.locked()
    await bench.submit(deal)
    back = await bench.tamper(deal.blockchain_identifier, Tampering(roll_back=True))
    assert back.payment.tx is not None
    seen = (back.payment.state, back.payment.result_hash, back.payment.tx.status)
    await bench.ledger.settle()

    assert (State.FUNDS_LOCKED, "", "RolledBack") == seen
    assert (State.RESULT_SUBMITTED, RESULT_HASH) == (
        (await bench.deal(deal)).state,
        (await bench.deal(deal)).result_hash,
    )


async def test_row_28_a_lock_that_is_rolled_back_is_paid_once(bench: Bench) -> None:
    """The buyer has the money back until it is locked again."""
    deal = await bench.locked()
    money = await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")
    back = await bench.tamper(deal.blockchain_identifier, Tampering(roll_back=True))
    await bench.ledger.settle()

    assert back.payment.state is None
    assert State.FUNDS_LOCKED == (await bench.deal(deal)).state
    assert money == await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")


async def test_row_28_a_rollback_of_the_other_side_keeps_the_result(bench: Bench) -> None:
    """The seller has asked to submit; the buyer's request is undone first: the hash is still the seller's."""
    deal = await bench.locked()
    await bench.request_refund(deal)
    await bench.ledger.call(
        "payment/submit-result",
        lambda session: submit_result(session, bench.dev, NET, deal.blockchain_identifier, RESULT_HASH),
    )
    await bench.tamper(deal.blockchain_identifier, Tampering(roll_back=True))
    await bench.advance(2000)

    assert RESULT_HASH == (await bench.deal(deal)).result_hash


async def test_a_dispute_is_settled_after_its_time(bench: Bench) -> None:
    """By the admins, who say how much the seller gets."""
    deal = await bench.locked()
    await bench.submit(deal)
    await bench.request_refund(deal)
    with pytest.raises(BadRequest, match="externalDisputeUnlockTime has not passed"):
        await bench.settle_dispute(deal.blockchain_identifier, [(4_000_000, "")])
    await bench.until(deal.external_dispute_unlock_time + 1)
    with pytest.raises(BadRequest, match="does not hold that much"):
        await bench.settle_dispute(deal.blockchain_identifier, [(PRICE + 1, "")])

    ended = await bench.settle_dispute(deal.blockchain_identifier, [(4_000_000, "")])

    assert State.DISPUTED_WITHDRAWN == ended.payment.state
    assert ([(4_000_000, "")], [(6_000_000, "")]) == (ended.payment.withdrawn_seller, ended.payment.withdrawn_buyer)


async def test_changes_are_told_by_kind(bench: Bench) -> None:
    """The diff of next actions and the diff of states move apart."""
    deal = await bench.locked()
    await bench.advance(1000)
    since = bench.now
    await bench.tamper(deal.blockchain_identifier, Tampering(force_action="WaitingForManualAction"))

    async def changed(by: Changed) -> int:
        return len(await bench.changes(since, by=by))

    assert (1, 0, 1) == (
        await changed(Changed.ACTION),
        await changed(Changed.STATE),
        await changed(Changed.EITHER),
    )
