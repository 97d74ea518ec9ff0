"""The failure matrix, as far as it is about paying: rows 1-8, 14-18, 23, 25, 29, 30, 33 and 34.

Row 16 (forms of a time) is a matter of the HTTP schema: `tests/gateway/dialects/masumi/test_masumi.py`.  Rows 31 and
32 (what is hashed) are no matter of the ledger, which is given hashes: `tests/gateway/core/test_hashes.py`.
"""

import asyncio
import pathlib
from typing import Any

import pytest

from meshkit import errors
from meshkit.databases import SqliteFolder
from services.ledger import buying, control, registry
from services.ledger.app import opened
from services.ledger.control import Tampering
from services.ledger.domain import accounts
from services.ledger.domain.accounts import HOUSE, PURCHASING, SELLING, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.errors import BadRequest, Broken, Exists, Forbidden, Lost, Missing, Unauthorized
from services.ledger.domain.options import DEMO_VKEY, POLICIES, Options
from services.ledger.domain.queries import Filter
from services.ledger.domain.steps import LATE, Pace
from services.ledger.faults import Fault, FaultKind
from services.ledger.selling import submit_result
from tests.ledger.bench import AGENT, HOUR_MS, NET, RESULT_HASH, TOKEN, Bench, benched

PRICE = 10_000_000


async def test_row_1_a_late_lock_is_invalid(tmp_path: pathlib.Path) -> None:
    """Confirmed after payByTime: both sides say so, nothing can be submitted, and the money is stuck in escrow."""
    async with benched(tmp_path, Pace(worker_delay_ms=0, confirm_delay_ms=90_000)) as bench:
        deal = await bench.payment(pay_by_time=bench.now + MINUTE_MS)
        await bench.purchase(deal)
        await bench.advance(2 * MINUTE_MS)

        found = await bench.deal(deal)
        for record in found.records:
            assert State.FUNDS_OR_DATUM_INVALID == record.state
            assert Action.MANUAL == record.action
            assert LATE == record.error_note
        assert PRICE == await bench.balance(found.escrow)
        with pytest.raises(Missing):
            await bench.submit(deal)
        await bench.advance(48 * HOUR_MS)
        assert PRICE == await bench.balance(found.escrow)
        await bench.check_sums()


async def test_row_2_nobody_pays(bench: Bench) -> None:
    """Five minutes after payByTime, not before, with the service's note."""
    deal = await bench.payment()
    await bench.until(deal.pay_by_time + 5 * MINUTE_MS)
    before = (await bench.deal(deal)).payment.state
    await bench.advance(1)

    found = (await bench.deal(deal)).payment
    assert before is None
    assert State.FUNDS_OR_DATUM_INVALID == found.state
    assert ("Unknown", Action.MANUAL) == (found.error_type, found.action)
    assert found.error_note is not None
    assert found.error_note.endswith("passed without on-chain lock; no FundsLocked tx observed within 300s grace.")


async def test_row_2_a_purchase_too_close_to_the_deadline_is_not_sent(bench: Bench) -> None:
    """57 seconds are needed; the buyer keeps the money."""
    deal = await bench.payment()
    await bench.until(deal.pay_by_time - 56_999)
    money = await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")
    await bench.purchase(deal)

    assert "Transaction timeout before sending" == (await bench.purchase_of(deal)).error_note
    assert money == await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")


async def test_row_3_a_wrong_input_hash_breaks_the_signature(bench: Bench) -> None:
    """The service refuses it before any money moves."""
    deal = await bench.payment()

    with pytest.raises(BadRequest, match=r"^Invalid blockchain identifier, signature invalid$"):
        await bench.purchase(deal, input_hash="00" * 32)


async def test_row_3_a_foreign_hash_in_the_datum_fools_the_seller(bench: Bench) -> None:
    """As upstream: the seller sees FundsLocked, and the submit ends at WaitingForManualAction."""
    deal = await bench.payment()
    await bench.tamper(deal.blockchain_identifier, Tampering(datum_input_hash="00" * 32))
    await bench.purchase(deal)

    locked = await bench.deal(deal)
    submitted = await bench.submit(deal)
    assert State.FUNDS_LOCKED == locked.payment.state
    assert State.FUNDS_OR_DATUM_INVALID == (await bench.purchase_of(deal)).state
    assert Action.MANUAL == submitted.payment.action
    assert "" == submitted.payment.result_hash


async def test_row_3_a_strict_seller_sees_it(tmp_path: pathlib.Path) -> None:
    """The same with `strict_datum`: no work is done for it."""
    async with benched(tmp_path, Pace(worker_delay_ms=0, confirm_delay_ms=0, strict_datum=True)) as bench:
        deal = await bench.payment()
        await bench.tamper(deal.blockchain_identifier, Tampering(datum_input_hash="00" * 32))
        await bench.purchase(deal)

        assert State.FUNDS_OR_DATUM_INVALID == (await bench.deal(deal)).payment.state


async def test_row_4_the_same_is_not_bought_twice(bench: Bench) -> None:
    """The second is told the first one's id, and the money moves once."""
    deal = await bench.locked()

    with pytest.raises(Exists, match=r"^Purchase exists$") as caught:
        await bench.purchase(deal)

    assert (await bench.purchase_of(deal)).id == caught.value.metadata["id"]
    assert PRICE == await bench.balance((await bench.deal(deal)).escrow)


async def test_row_5_of_many_purchases_at_once_one_wins(bench: Bench) -> None:
    """Ten callers, one debit."""
    deal = await bench.payment()
    money = await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")

    outcomes = await asyncio.gather(*[bench.purchase(deal) for _ in range(10)], return_exceptions=True)

    assert 9 == len([outcome for outcome in outcomes if isinstance(outcome, Exists)])
    assert money - PRICE == await bench.balance(f"wallet:{await bench.wallet(PURCHASING)}")


async def test_row_6_the_sellers_key_is_compared(bench: Bench) -> None:
    """With the wallet that holds the agent."""
    deal = await bench.payment()

    with pytest.raises(BadRequest, match=r"^Invalid seller vkey$"):
        await bench.purchase(deal, seller_vkey="00" * 28)


async def test_row_6_development_takes_the_notebooks_key(bench: Bench) -> None:
    """As an alias of its own seller; the purchase shows what was sent."""
    deal = await bench.payment()
    await bench.purchase(deal, seller_vkey=DEMO_VKEY)

    assert DEMO_VKEY == (await bench.purchase_of(deal)).shown_vkey
    assert State.FUNDS_LOCKED == (await bench.deal(deal)).state


async def test_row_6_without_the_setting_it_does_not(tmp_path: pathlib.Path) -> None:
    """Although it is in development mode."""
    async with benched(tmp_path, vkey_alias="") as bench:
        deal = await bench.payment()

        with pytest.raises(BadRequest, match=r"^Invalid seller vkey$"):
            await bench.purchase(deal, seller_vkey=DEMO_VKEY)


async def test_row_6_off_loopback_it_does_not(tmp_path: pathlib.Path) -> None:
    """Although the setting is there."""
    async with benched(tmp_path) as bench:
        deal = await bench.payment(agent_identifier=await bench.register(pricing=((PRICE, ""),)))
        ask = bench.purchase_ask(deal, seller_vkey=DEMO_VKEY)
    async with opened(SqliteFolder(tmp_path), Options(vkey_alias=DEMO_VKEY)) as ledger:
        with pytest.raises(BadRequest, match=r"^Invalid seller vkey$"):
            await ledger.write(lambda session: buying.create_purchase(session, HOUSE, ask))


@pytest.mark.parametrize(
    ("field", "by"),
    [("pay_by_time", 1), ("submit_result_time", 1), ("unlock_time", 1), ("external_dispute_unlock_time", 1)],
)
async def test_row_7_a_tampered_time_is_refused(bench: Bench, field: str, by: int) -> None:
    """By the signature."""
    deal = await bench.payment()

    with pytest.raises(BadRequest, match="signature invalid"):
        await bench.purchase(deal, **{field: getattr(deal, field) + by})


async def test_row_7_a_tampered_amount_or_identifier_is_refused(bench: Bench) -> None:
    """A fixed price by the registry, the rest by what is signed."""
    deal = await bench.payment()
    forged = f"{deal.blockchain_identifier[:-8]}00000000"

    with pytest.raises(BadRequest, match=r"^Provided Amounts do not match the fixed pricing of the agent$"):
        await bench.purchase(deal, funds=((PRICE - 1, ""),))
    with pytest.raises(BadRequest, match=r"^Invalid blockchain identifier"):
        await bench.purchase(deal, blockchain_identifier=forged)
    with pytest.raises(BadRequest, match="purchaser id mismatch"):
        await bench.purchase(deal, purchaser_identifier="cc" * 10)


async def test_row_8_another_agents_identifier_is_refused(bench: Bench) -> None:
    """Although that agent exists and is held by the same wallet."""
    deal = await bench.payment()

    with pytest.raises(BadRequest, match=r"^Invalid blockchain identifier, agent identifier mismatch$"):
        await bench.purchase(deal, agent_identifier=AGENT[:-2] + "00")


async def test_row_14_other_keys_are_refused(bench: Bench) -> None:
    """403 for another's record; 401 for no key, a wrong one, a revoked one, and one that may only read."""
    deal = await bench.locked()
    other, token = await bench.create_key(Key(id="", name="other", can_pay=True), [])

    with pytest.raises(Forbidden):
        await bench.ledger.write(
            lambda session: submit_result(session, other, NET, deal.blockchain_identifier, RESULT_HASH)
        )
    for wrong, words in (("", "no authentication token provided"), ("nobody", "invalid authentication token")):
        with pytest.raises(Unauthorized, match=words):
            await bench.ledger.authenticate(wrong)
    with pytest.raises(Unauthorized, match=r"^Unauthorized, payment access required$"):
        accounts.check_may(Key(id="r", name="reader"), "pay", NET)
    with pytest.raises(Unauthorized, match=r"^Unauthorized, network not allowed$"):
        accounts.check_may(Key(id="p", name="one network", can_pay=True, networks=["Mainnet"]), "pay", NET)
    assert other.id == (await bench.ledger.authenticate(token)).id
    await bench.ledger.write(lambda session: control.revoke_key(session, other.id))
    with pytest.raises(Unauthorized, match="revoked"):
        await bench.ledger.authenticate(token)


@pytest.mark.parametrize("identifier", ["g" * 14, "a" * 15, "a" * 13, "a" * 27, "", "aa " * 5])
async def test_row_15_purchaser_identifiers_are_hex(bench: Bench, identifier: str) -> None:
    """14 to 26 digits, an even number."""
    with pytest.raises(BadRequest):
        await bench.payment(purchaser_identifier=identifier)


@pytest.mark.parametrize(
    ("paid", "ok"),
    [
        (((PRICE - 1, ""),), False),
        (((PRICE + 1, ""),), True),
        (((PRICE, ""), (1, TOKEN)), False),
    ],
)
async def test_row_17_lovelace_may_be_overpaid_only(bench: Bench, paid: tuple[tuple[int, str], ...], ok: bool) -> None:
    """A lock with less, or with another token in it, is not valid for the seller."""
    deal = await bench.payment()
    vkey = await bench.wallet(PURCHASING)
    await bench.ledger.write(lambda session: control.fund(session, vkey, [(10, TOKEN)]))
    await bench.tamper(deal.blockchain_identifier, Tampering(paid=paid))
    await bench.purchase(deal)

    assert (State.FUNDS_LOCKED if ok else State.FUNDS_OR_DATUM_INVALID) == (await bench.deal(deal)).payment.state


@pytest.mark.parametrize(("amount", "ok"), [(99, False), (100, True), (101, False)])
async def test_row_17_tokens_are_paid_exactly(bench: Bench, amount: int, ok: bool) -> None:
    """More is as wrong as less; the buyer tops up the lovelace and gets it back."""
    agent = await bench.register(pricing=((100, TOKEN),))
    vkey = await bench.wallet(PURCHASING)
    await bench.ledger.write(lambda session: control.fund(session, vkey, [(1000, TOKEN)]))
    deal = await bench.payment(agent_identifier=agent)
    await bench.tamper(deal.blockchain_identifier, Tampering(paid=((amount, TOKEN),)))
    await bench.purchase(deal)

    assert (State.FUNDS_LOCKED if ok else State.FUNDS_OR_DATUM_INVALID) == (await bench.deal(deal)).payment.state
    assert 1_435_230 == (await bench.deal(deal)).collateral == await bench.balance((await bench.deal(deal)).escrow)


async def test_row_18_prices_of_each_kind(bench: Bench) -> None:
    """Dynamic needs funds, Fixed takes none, Free is never paid for."""
    dynamic = await bench.register(pricing_type="Dynamic")
    free = await bench.register(pricing_type="Free")

    refusals: dict[str, dict[str, Any]] = {
        "^For fixed pricing, RequestedFunds must be null$": {"funds": ((1, ""),)},
        "^For dynamic pricing, RequestedFunds must be provided$": {"agent_identifier": dynamic},
        "^RequestedFunds amounts must be positive$": {"agent_identifier": dynamic, "funds": ((0, ""),)},
        "^Pricing type not supported for payments$": {"agent_identifier": free},
    }
    for message, changes in refusals.items():
        with pytest.raises(BadRequest, match=message):
            await bench.payment(**changes)
    deal = await bench.payment(agent_identifier=dynamic, funds=((7_000_000, ""),))
    with pytest.raises(BadRequest, match=r"^For dynamic pricing, Amounts must be provided$"):
        await bench.purchase(deal)
    with pytest.raises(BadRequest, match="signature invalid"):
        await bench.purchase(deal, funds=((6_999_999, ""),))
    await bench.purchase(deal, funds=((7_000_000, ""),))
    assert State.FUNDS_LOCKED == (await bench.deal(deal)).state


async def test_row_23_a_lost_answer_is_found_again(bench: Bench) -> None:
    """The request was made: asking again would make a second one, so it is looked for by its metadata."""
    bench.ledger.inject(Fault(call="payment", kind=FaultKind.LOST))
    with pytest.raises(Lost) as caught:
        await bench.request("0" * 24)

    assert isinstance(caught.value, errors.DeadlineExceeded)
    assert 1 == len(await bench.find("0" * 24))


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.TIMEOUT, Lost), (FaultKind.ERROR, Broken)])
async def test_row_23_a_call_that_fails_does_nothing(
    bench: Bench, kind: FaultKind, error: type[errors.MeshError]
) -> None:
    """As often as was ordered, then it goes well."""
    bench.ledger.inject(Fault(call="payment", kind=kind, count=2))
    for _ in range(2):
        with pytest.raises(error):
            await bench.request("0" * 24)

    await bench.request("0" * 24)

    assert 1 == len(await bench.find("0" * 24))


async def test_row_25_more_than_a_page(bench: Bench) -> None:
    """By following the inclusive cursor every one of 130 payments is seen, in order of change."""
    made = [(await bench.request(f"{number:024x}")).payment.id for number in range(130)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = await bench.changes(0, cursor)
        new = [deal.payment.id for deal in page if deal.payment.id not in seen]
        assert not cursor or page[0].payment.id == cursor
        if not new:
            break
        seen += new
        cursor = seen[-1]
    listed = await bench.ledger.read(lambda session: session.records(Side.PAYMENT, NET, "", 1000, Filter()))

    assert sorted(made) == sorted(seen)
    assert 100 == len(listed)


async def test_row_29_usage_credits_run_out(bench: Bench) -> None:
    """A limited key buys what its credits allow, and no more."""
    limited = Key(id="", name="limited", can_pay=True, usage_limited=True, credits={"": str(PRICE)})
    key, _ = await bench.create_key(limited, [(10 * PRICE, "")])
    first, second = await bench.payment(), await bench.payment()

    await bench.create_purchase(key, bench.purchase_ask(first))

    with pytest.raises(BadRequest, match=r"^Insufficient funds$"):
        await bench.create_purchase(key, bench.purchase_ask(second))


async def test_row_29_an_empty_wallet_is_said(bench: Bench) -> None:
    """At the worker, as upstream: the purchase was accepted, and waits for a person."""
    poor, _ = await bench.create_key(Key(id="", name="poor", can_pay=True), [(PRICE - 1, "")])
    deal = await bench.payment()
    await bench.create_purchase(poor, bench.purchase_ask(deal))
    await bench.ledger.settle()

    assert ("InsufficientFunds", Action.MANUAL) == (
        (await bench.purchase_of(deal)).error_type,
        (await bench.purchase_of(deal)).action,
    )


async def test_row_30_networks_do_not_mix(bench: Bench) -> None:
    """An agent of one network is unknown on the other, and so is a purchase."""
    with pytest.raises(Missing, match=r"^Network and policyId combination not supported$"):
        await bench.payment(network="Mainnet")
    deal = await bench.payment()
    with pytest.raises(Missing, match=r"^No payment source found for agent identifiers policy id$"):
        await bench.purchase(deal, network="Mainnet")
    with pytest.raises(BadRequest, match="agent identifier mismatch"):
        await bench.purchase(
            deal,
            network="Mainnet",
            agent_identifier=POLICIES["Mainnet"] + "00" * 32,
            seller_vkey=await bench.wallet(SELLING, network="Mainnet"),
        )


@pytest.mark.parametrize(("skew", "ok"), [(-5 * MINUTE_MS, True), (5 * MINUTE_MS, True), (-5 * MINUTE_MS - 1, False)])
async def test_row_33_clocks_may_differ_by_five_minutes(bench: Bench, skew: int, ok: bool) -> None:
    """A payByTime that is past by the ledger's clock, but not by more, is taken."""
    changes = {"pay_by_time": bench.now + skew, "submit_result_time": bench.now + HOUR_MS}
    if ok:
        assert (await bench.payment(**changes)).pay_by_time == bench.now + skew
    else:
        with pytest.raises(BadRequest, match=r"^Pay by time must be in the future"):
            await bench.payment(**changes)


async def test_row_34_an_agent_that_has_moved_cannot_be_bought(bench: Bench) -> None:
    """Neither from its old wallet nor, as that one has signed, from the new."""
    agent = await bench.register(pricing=((PRICE, ""),))
    deal = await bench.payment(agent_identifier=agent)
    other, _ = await bench.create_key(Key(id="", name="other", can_pay=True), [])
    new = await bench.wallet(SELLING, other)
    await bench.ledger.write(lambda session: registry.move_agent(session, NET, agent, new))

    with pytest.raises(BadRequest, match=r"^Invalid seller vkey$"):
        await bench.purchase(deal)
    with pytest.raises(BadRequest, match="key does not match"):
        await bench.purchase(deal, seller_vkey=new)
    with pytest.raises(Missing, match=r"^Not found$"):
        await bench.payment(agent_identifier=agent)
