"""Payments over the wire, with a real auth service beside them: who may do what, and what is asked for wrongly."""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.errors import AlreadyExists, Denied, FailedPrecondition, Invalid, NotFound, Unauthenticated
from tests.auth.helpers import refused
from tests.payments.escrows import PRICE
from tests.payments.stand import DEADLINE_S, Stand, asked, standing


@pytest_asyncio.fixture
async def stand(tmp_path: pathlib.Path) -> AsyncIterator[Stand]:
    """Auth and payments."""
    async with standing(tmp_path) as running:
        await running.add_users()
        yield running


async def test_a_payment_is_made_once_for_a_job(stand: Stand) -> None:
    """The same again, from a retry, gives the same; other terms are refused; the provider is asked once."""
    made = await stand.create()

    assert (made.name, made.job, made.owner) == (f"payments/{1:024x}", f"jobs/{1:024x}", stand.owners["ada"])
    assert (made.state, made.provider, made.error) == (pb.PAYMENT_STATE_REQUESTED, "memory", "")
    assert [(int(money.amount), money.unit) for money in made.amounts] == list(PRICE)
    assert made.blockchain_identifier == next(iter(stand.escrows.rows.values())).blockchain_identifier
    assert made.seller_vkey == stand.escrows.wallet.vkey
    assert not made.HasField("lock_time")
    assert made == await stand.create()
    await refused(AlreadyExists, stand.create(input_hash="ff"))
    assert stand.escrows.calls["request"] == 1


async def test_times_are_exact_to_the_millisecond(stand: Stand) -> None:
    """They are signed: a rounded one is another."""
    made = await stand.create()
    row = stand.escrows.row(made.blockchain_identifier)
    sent = (made.pay_by_time, made.submit_result_time, made.unlock_time, made.external_dispute_unlock_time)
    kept = (row.pay_by_time, row.submit_result_time, row.unlock_time, row.external_dispute_unlock_time)

    assert tuple(moment.ToMilliseconds() for moment in sent) == kept
    assert kept[1] - kept[0] == 2_400_000
    assert (kept[2] - kept[1], kept[3] - kept[1]) == (6 * 3_600_000, 12 * 3_600_000)


async def test_a_payment_says_how_far_its_providers_clock_is_ahead(stand: Stand) -> None:
    """Whoever is told of it; nothing where the clocks agree.  By the sum the times can be told in the mesh's."""
    made = await stand.create()
    assert not made.HasField("provider_ahead")

    stand.escrows.advance(-3_600_000)
    late = await stand.create(2)
    stand.escrows.advance(2 * 3_600_000)
    watch = stand.payments.WatchPayments(pb.WatchPaymentsRequest(), metadata=stand.badge, timeout=DEADLINE_S)
    told = (await watch.read()).payments[0]
    watch.cancel()
    page = await stand.payments.ListPayments(pb.ListPaymentsRequest(), metadata=stand.badge, timeout=DEADLINE_S)

    assert -3600 == late.provider_ahead.seconds
    assert {3600} == {each.provider_ahead.seconds for each in (told, await stand.get(made.name), *page.payments)}


async def test_dynamic_amounts_are_asked_for(stand: Stand) -> None:
    """Lovelace by either of its names."""
    made = await stand.create(amounts=[pb.Money(amount="7", unit="Lovelace")])

    assert stand.escrows.row(made.blockchain_identifier).amounts == ((7, ""),)


async def test_only_services_make_payments(stand: Stand) -> None:
    """Not even an operator; nor hand in results, refund or see all that happens."""
    calls: list[Any] = [
        (stand.payments.CreatePayment, pb.CreatePaymentRequest()),
        (stand.payments.SubmitResult, pb.SubmitResultRequest()),
        (stand.payments.AuthorizeRefund, pb.AuthorizeRefundRequest()),
    ]
    for metadata in (stand.tokens["ada"], stand.tokens["admin"], ()):
        for method, request in calls:
            await refused(Denied, method(request, metadata=metadata, timeout=30))
        watch = stand.payments.WatchPayments(pb.WatchPaymentsRequest(), metadata=metadata, timeout=30)
        await refused(Denied, watch.read())


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("purchaser_identifier", {"purchaser_identifier": "ab" * 6}),
        ("purchaser_identifier", {"purchaser_identifier": "xy" * 8}),
        ("input_hash", {"input_hash": "nohex"}),
        ("agent_identifier", {"agent_identifier": ""}),
        ("network", {"network": "Mainnet"}),
        ("network", {"network": "Testnet"}),
        ("network", {"network": ""}),
        ("job", {"job": "jobs/1"}),
        ("owner", {"owner": "users/ada"}),
        ("amounts", {"amounts": [pb.Money(amount="-1")]}),
        ("amounts", {"amounts": [pb.Money(amount="1" * 26)]}),
    ],
)
async def test_wrong_terms_name_their_field(stand: Stand, field: str, given: dict[str, Any]) -> None:
    """And nothing is recorded, and nobody asked."""
    error = await refused(Invalid, stand.create(**given))

    assert isinstance(error, Invalid)
    assert list(error.fields) == [field]
    assert stand.escrows.calls["request"] == 0


async def test_a_network_without_a_provider_says_what_to_do(stand: Stand) -> None:
    """Where one is configured."""
    error = await refused(Invalid, stand.create(network="Mainnet"))

    assert "AGENTMESH_PAYMENTS" in str(error)


async def test_a_payment_is_its_owners(stand: Stand) -> None:
    """Operators and services see it too; to other users it does not exist."""
    made = await stand.create()
    request = pb.GetPaymentRequest(name=made.name)
    for metadata in (stand.tokens["ada"], stand.tokens["admin"], stand.badge):
        assert made == await stand.payments.GetPayment(request, metadata=metadata, timeout=30)
    for metadata in (stand.tokens["bob"], stand.badge_for(stand.owners["bob"])):
        await refused(NotFound, stand.payments.GetPayment(request, metadata=metadata, timeout=30))
        watch = stand.payments.WatchPayment(pb.WatchPaymentRequest(name=made.name), metadata=metadata, timeout=30)
        await refused(NotFound, watch.read())
    await refused(Unauthenticated, stand.payments.GetPayment(request, timeout=30))


@pytest.mark.parametrize(("name", "kind"), [("payments/none", NotFound), ("", Invalid), ("jobs/1", Invalid)])
async def test_a_name_that_leads_nowhere(stand: Stand, name: str, kind: type[NotFound]) -> None:
    """Absent, or not a payment's name at all; in every call that takes one."""
    await refused(kind, stand.get(name))
    await refused(kind, stand.submit(name))
    await refused(kind, stand.refund(name))


async def test_a_list_shows_what_one_may_see(stand: Stand) -> None:
    """Newest first, in pages; one's own, or all for an operator.  A page token is good for its own list only."""
    for number in range(5):
        await stand.create(number, "ada" if number % 2 else "bob")

    async def listed(who: str) -> tuple[list[str], str]:
        jobs, token, last = [], "", ""
        while True:
            request = pb.ListPaymentsRequest(page_size=2, page_token=token)
            page = await stand.payments.ListPayments(request, metadata=stand.tokens[who], timeout=30)
            jobs += [payment.job[-1] for payment in page.payments]
            last, token = token, page.next_page_token
            if not token:
                return jobs, last

    everything, token = await listed("admin")
    assert everything == ["4", "3", "2", "1", "0"]
    assert await listed("ada") == (["3", "1"], "")
    assert (await listed("bob"))[0] == ["4", "2", "0"]
    for bad in (pb.ListPaymentsRequest(page_token=token), pb.ListPaymentsRequest(page_size=-1)):
        await refused(Invalid, stand.payments.ListPayments(bad, metadata=stand.tokens["ada"], timeout=30))


async def test_a_result_needs_money_and_a_hash(stand: Stand) -> None:
    """Before the lock it is refused; another hash too; the same again is fine."""
    made = await stand.create()
    await refused(FailedPrecondition, stand.submit(made.name))
    stand.escrows.lock(made.blockchain_identifier)
    await stand.until_state(made.name, "FUNDS_LOCKED")

    await refused(Invalid, stand.submit(made.name, "short"))
    assert (await stand.submit(made.name)).result_hash == "ab" * 32
    assert (await stand.submit(made.name)).result_hash == "ab" * 32
    await refused(AlreadyExists, stand.submit(made.name, "cd" * 32))
    await refused(FailedPrecondition, stand.submit((await stand.refund((await stand.locked(2)).name)).name))


async def test_the_snapshot_of_all_is_what_has_not_ended(stand: Stand) -> None:
    """Then come changes, and a heartbeat when nothing does."""
    first = await stand.create(1)
    await stand.create(2, agent_identifier="ab" * 60)  # nobody has registered it: it fails
    watch = stand.payments.WatchPayments(pb.WatchPaymentsRequest(), metadata=stand.badge, timeout=60)

    assert list((await watch.read()).payments) == [first]
    assert not (await watch.read()).payments
    stand.escrows.lock(first.blockchain_identifier)
    changed = [payment async for message in _some(watch, 1) for payment in message.payments]
    assert [(payment.name, payment.state) for payment in changed] == [(first.name, pb.PAYMENT_STATE_FUNDS_LOCKED)]
    watch.cancel()


async def test_a_watch_ends_with_its_payment(stand: Stand) -> None:
    """One that has ended is shown once."""
    made = await stand.create(agent_identifier="ab" * 60)
    watch = stand.payments.WatchPayment(
        pb.WatchPaymentRequest(name=made.name), metadata=stand.tokens["ada"], timeout=30
    )

    assert [list(message.payments) async for message in watch] == [[made]]
    assert (made.state, made.error) == (pb.PAYMENT_STATE_FAILED, "Agent identifier not found")


async def test_streams_end_when_the_service_does(tmp_path: pathlib.Path) -> None:
    """Heartbeats until then; no watcher holds it up."""
    async with standing(tmp_path, heartbeat_s=0.01) as stand:
        made = await stand.create()
        one = stand.payments.WatchPayment(pb.WatchPaymentRequest(name=made.name), metadata=stand.badge)
        everything = stand.payments.WatchPayments(pb.WatchPaymentsRequest(), metadata=stand.badge)
        for watch in (one, everything):
            assert [payment.name for payment in (await watch.read()).payments] == [made.name]
            assert not (await watch.read()).payments

    for watch in (one, everything):
        watch.cancel()


async def _some(watch: Any, count: int) -> AsyncIterator[pb.WatchPaymentResponse]:
    """Yield the next messages that are not heartbeats."""
    while count:
        message = await watch.read()
        if message.payments:
            count -= 1
            yield message


async def test_a_repeated_create_gives_the_same_payment(stand: Stand) -> None:
    """Thirty at once: one is asked for.  With another body the id is refused, and nothing is made of it."""
    wanted = asked(1, stand.owners["ada"])
    request = pb.CreatePaymentRequest(payment=wanted, request_id="r1")
    calls = (stand.payments.CreatePayment(request, metadata=stand.badge, timeout=DEADLINE_S) for _ in range(30))
    made = await asyncio.gather(*calls)
    wanted.job = f"jobs/{2:024x}"
    other = pb.CreatePaymentRequest(payment=wanted, request_id="r1")
    error = await refused(Invalid, stand.payments.CreatePayment(other, metadata=stand.badge, timeout=DEADLINE_S))

    assert {payment.blockchain_identifier for payment in made} == {made[0].blockchain_identifier} != {""}
    assert len(stand.escrows.rows) == 1
    assert isinstance(error, Invalid)
    assert list(error.fields) == ["request_id"]
    await refused(NotFound, stand.get(f"payments/{2:024x}"))
