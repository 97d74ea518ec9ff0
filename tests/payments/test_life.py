"""The life of a payment, from the intent to its end, through whatever may go wrong between."""

import dataclasses
import pathlib
from typing import Any

import pytest
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.errors import (
    Conflict,
    DeadlineExceeded,
    Exhausted,
    Invalid,
    MeshError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from services.payments.domain import MINUTE_MS, Escrow
from services.payments.domain.pace import Pace
from tests.auth.helpers import AuthMesh
from tests.payments.escrows import Escrows, Fault
from tests.payments.stand import PACE, Stand, standing

RESULT = "ab" * 32


async def test_the_way_it_should_go(stand: Stand) -> None:
    """Asked, paid, run, submitted, on the chain, withdrawn."""
    locked = await stand.locked()
    await stand.submit(locked.name)
    await stand.escrows.until_called("submit_result")
    assert stand.escrows.submitted == {locked.blockchain_identifier: RESULT}
    assert (await stand.get(locked.name)).state == pb.PAYMENT_STATE_FUNDS_LOCKED  # asked for is not yet on the chain
    stand.escrows.confirm(locked.blockchain_identifier)
    on_chain = await stand.until_state(locked.name, "RESULT_SUBMITTED")
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="Withdrawn", next_action="None")
    ended = await stand.until_state(locked.name, "WITHDRAWN")

    assert locked.HasField("lock_time")
    assert (on_chain.error, ended.error, ended.result_hash) == ("", "", RESULT)
    assert stand.escrows.calls["submit_result"] == 1


# -- asking


LOST = [Unavailable("connection reset"), DeadlineExceeded("timeout")]


@pytest.mark.parametrize("error", LOST)
async def test_a_lost_answer_makes_no_second_payment(stand: Stand, error: MeshError) -> None:
    """The provider has carried it out: it is found by the job's id."""
    stand.escrows.fail("request", Fault(error, after=True))
    made = await stand.create()

    assert made.state == pb.PAYMENT_STATE_REQUESTED
    assert [row.blockchain_identifier for row in stand.escrows.rows.values()] == [made.blockchain_identifier]
    assert (stand.escrows.calls["request"], stand.escrows.calls["find"]) == (1, 1)


@pytest.mark.parametrize("error", [*LOST, Conflict("again"), Exhausted("slowly", 0.01), Unauthenticated("key")])
async def test_a_call_that_did_not_arrive_is_made_again(stand: Stand, error: MeshError) -> None:
    """After a look that finds nothing; and that look may fail too."""
    stand.escrows.fail("request", Fault(error))
    stand.escrows.fail("find", Fault(Unavailable("busy")))
    made = await stand.create()

    assert made.state == pb.PAYMENT_STATE_REQUESTED
    assert len(stand.escrows.rows) == 1
    assert (stand.escrows.calls["request"], stand.escrows.calls["find"]) == (2, 2)
    assert made.error == ""


@pytest.mark.parametrize("error", [Invalid("Pricing type not supported"), NotFound("Selling wallet not found")])
async def test_a_refusal_fails_the_payment(stand: Stand, error: MeshError) -> None:
    """In the provider's own words; nobody is asked again."""
    stand.escrows.fail("request", Fault(error))
    made = await stand.create()

    assert (made.state, made.error) == (pb.PAYMENT_STATE_FAILED, str(error))
    assert made == await stand.create()
    assert stand.escrows.calls["request"] == 1


async def test_what_cannot_be_asked_in_time_fails(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """With what went wrong; the answer to the caller does not wait for that."""
    async with standing(tmp_path, auth=auth, ask_wait_s=0.05) as stand:
        stand.escrows.fail("request", *[Fault(Unavailable("down"))] * 1000)
        made = await stand.create()
        assert made.state == pb.PAYMENT_STATE_CREATED
        await stand.until(made.name, lambda payment: "down" in payment.error)
        stand.escrows.advance(21 * MINUTE_MS)
        failed = await stand.until_state(made.name, "FAILED")

    assert "down" in failed.error
    assert not stand.escrows.rows


FORGERIES: dict[str, Any] = {
    "agent_identifier": "ab" * 60,
    "input_hash": "ff" * 32,
    "pay_by_time": 1,
    "unlock_time": 2_000_000_000_000,
    "amounts": ((1, ""),),
    "seller_vkey": "00" * 28,
    "blockchain_identifier": "0123456789",
}


@pytest.mark.parametrize("field", FORGERIES)
async def test_an_answer_with_other_terms_is_not_trusted(stand: Stand, field: str) -> None:
    """Whatever differs, or is not what the seller signed: no purchaser is told to pay that."""

    def forge(escrow: Escrow) -> Escrow:
        return dataclasses.replace(escrow, **{field: FORGERIES[field]})

    stand.escrows.forged = forge
    made = await stand.create()

    assert made.state == pb.PAYMENT_STATE_FAILED
    assert field in made.error or "blockchain_identifier" in made.error
    assert made.blockchain_identifier == ""


async def test_an_identifier_of_another_purchaser_is_not_trusted(stand: Stand) -> None:
    """It is genuine and signed, but not for this job."""
    other = await stand.create(1)
    row = stand.escrows.row(other.blockchain_identifier)

    def swap(escrow: Escrow) -> Escrow:
        return dataclasses.replace(
            escrow, blockchain_identifier=row.blockchain_identifier, pay_by_time=escrow.pay_by_time
        )

    stand.escrows.forged = swap
    made = await stand.create(2, purchaser_identifier="ab" * 7)

    assert made.state == pb.PAYMENT_STATE_FAILED
    assert "purchaser" in made.error


# -- being paid


async def test_a_lock_is_believed_after_a_look_at_that_very_escrow(stand: Stand) -> None:
    """A line in a list of changes is a hint."""
    made = await stand.create()
    stand.escrows.lock(made.blockchain_identifier)
    await stand.until_state(made.name, "FUNDS_LOCKED")

    assert stand.escrows.calls["resolve"] == 1


@pytest.mark.parametrize("error", [*LOST, NotFound("not yet"), Conflict("moved")])
async def test_a_look_that_fails_is_repeated(stand: Stand, error: MeshError) -> None:
    """The hint came once: it must not be lost with the look."""
    made = await stand.create()
    stand.escrows.fail("resolve", *[Fault(error)] * 3)
    stand.escrows.lock(made.blockchain_identifier)

    assert (await stand.until_state(made.name, "FUNDS_LOCKED")).error == ""


@pytest.mark.parametrize(
    ("on_chain", "state"),
    [
        ("ResultSubmitted", "RESULT_SUBMITTED"),
        ("RefundRequested", "REFUND_REQUESTED"),
        ("Disputed", "DISPUTED"),
        ("RefundWithdrawn", "REFUNDED"),
        ("Withdrawn", "WITHDRAWN"),
        ("DisputedWithdrawn", "DISPUTE_SETTLED"),
    ],
)
async def test_a_state_that_went_by_unseen(stand: Stand, on_chain: str, state: str) -> None:
    """From nothing to anything: the money was there."""
    made = await stand.create()
    stand.escrows.move(made.blockchain_identifier, on_chain_state=on_chain)
    seen = await stand.until_state(made.name, state)

    assert seen.HasField("lock_time")


async def test_a_payment_that_is_not_as_agreed_fails(stand: Stand) -> None:
    """With the note of whoever checked it."""
    made = await stand.create()
    note = "Payment amounts do not match"
    changes = {"on_chain_state": "FundsOrDatumInvalid", "next_action": "WaitingForManualAction", "error_note": note}
    stand.escrows.move(made.blockchain_identifier, **changes)
    failed = await stand.until_state(made.name, "FAILED")

    assert failed.error == note
    assert not failed.HasField("lock_time")


async def test_nobody_pays(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """Half a minute after the provider should have said so, it is over, without its word; no poll is waited for."""
    pace = dataclasses.replace(PACE, poll_s=0.02)
    async with standing(tmp_path, auth=auth, pace=pace) as stand:
        made = await stand.create()
        stand.escrows.advance(25 * MINUTE_MS)
        looks = stand.escrows.calls["changes"]
        await stand.escrows.until_called("changes", looks + 3)
        assert (await stand.get(made.name)).state == pb.PAYMENT_STATE_REQUESTED
        stand.escrows.advance(MINUTE_MS)
        failed = await stand.until_state(made.name, "FAILED")

    assert failed.error == "nobody paid in time"


async def test_a_deadline_is_met_without_a_poll(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """The next poll is in an hour, the deadline in a moment."""
    escrows = Escrows()
    async with standing(tmp_path, escrows, auth=auth) as stand:
        made = await stand.create()
    escrows.advance(25 * MINUTE_MS + 29_000)
    async with standing(tmp_path, escrows, auth=auth, pace=Pace(poll_s=3600, idle_poll_s=3600)) as stand:
        await stand.until_state(made.name, "FAILED")


async def test_payments_of_another_provider_are_left_alone(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """The network was moved to another: that one knows nothing about them.  Moved back, they go on."""
    escrows, other = Escrows(), Escrows()
    other.name = "masumi"
    async with standing(tmp_path, escrows, auth=auth) as stand:
        made = await stand.create()
    escrows.lock(made.blockchain_identifier)
    other.advance(60 * MINUTE_MS)
    async with standing(tmp_path, other, auth=auth) as stand:
        await stand.create(2)
        assert await stand.get(made.name) == made
    async with standing(tmp_path, escrows, auth=auth) as stand:
        await stand.until_state(made.name, "FUNDS_LOCKED")

    assert other.calls["resolve"] == 0


async def test_a_payment_in_the_last_moment_counts(stand: Stand) -> None:
    """The look before giving up finds it."""
    made = await stand.create()
    stand.escrows.fail("changes", *[Fault(Unavailable("down"))] * 10_000)
    stand.escrows.lock(made.blockchain_identifier)
    stand.escrows.advance(26 * MINUTE_MS)

    assert (await stand.until_state(made.name, "FUNDS_LOCKED")).HasField("lock_time")


async def test_a_view_of_something_else_is_not_believed(stand: Stand) -> None:
    """A lock with another input hash is reported, and nothing runs on it."""
    made = await stand.create()
    stand.escrows.move(made.blockchain_identifier, on_chain_state="FundsLocked", input_hash="ff" * 32)
    seen = await stand.until(made.name, lambda payment: bool(payment.error))

    assert "input_hash" in seen.error
    assert seen.state == pb.PAYMENT_STATE_REQUESTED
    assert not seen.HasField("lock_time")
