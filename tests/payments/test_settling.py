"""What becomes of a payment once it is paid, who is asked how often, and what a restart makes of it all."""

import asyncio
import contextlib
import dataclasses
import pathlib
import time
from typing import Any

import pytest
from agentmesh_protos.payments.v1 import payments_pb2 as pb

from meshkit.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Exhausted,
    FailedPrecondition,
    Internal,
    MeshError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from services.payments.domain import MINUTE_MS
from services.payments.domain.pace import Pace
from services.payments.ports.provider import PAGE
from tests.auth.helpers import AuthMesh, refused
from tests.payments.escrows import SEED, WAITING, Escrows, Fault
from tests.payments.stand import PACE, Stand, standing

RESULT = "ab" * 32


# -- submitting


TROUBLES: list[tuple[MeshError, bool]] = [
    (Unavailable("503"), False),
    (Unavailable("reset"), True),
    (DeadlineExceeded("timeout"), True),
    (Conflict("Payment state changed concurrently"), False),
    (NotFound("Payment not found or in invalid state"), False),
    (Unauthenticated("Unauthorized"), False),
    (Denied("not yours"), False),
    (Exhausted("slowly", 0.01), False),
]


@pytest.mark.parametrize(("error", "after"), TROUBLES)
async def test_a_submit_that_fails_is_tried_until_it_is_on_the_chain(
    stand: Stand, error: MeshError, after: bool
) -> None:
    """Once for each time it was not carried out; a lost answer is not a reason to submit again."""
    locked = await stand.locked()
    stand.escrows.fail("submit_result", Fault(error, after=after))
    await stand.submit(locked.name)
    await stand.escrows.until_called("submit_result", 1 if after else 2)
    stand.escrows.confirm(locked.blockchain_identifier)
    done = await stand.until_state(locked.name, "RESULT_SUBMITTED")

    assert done.error == ""
    assert stand.escrows.calls["submit_result"] == (1 if after else 2)


async def test_a_submit_that_gets_stuck_is_recovered(stand: Stand) -> None:
    """From WaitingForManualAction, with the version that was seen; the error shows meanwhile."""
    locked = await stand.locked()
    await stand.submit(locked.name)
    await stand.escrows.until_called("submit_result")
    stand.escrows.fail("recover", Fault(NotFound("Payment not found")))  # as for a version that is out of date
    stuck = {"next_action": "WaitingForManualAction", "error_type": "NetworkError", "error_note": "Tx timed out"}
    stand.escrows.move(locked.blockchain_identifier, **stuck)
    await stand.escrows.until_called("recover", 2)
    stand.escrows.confirm(locked.blockchain_identifier)

    assert (await stand.until_state(locked.name, "RESULT_SUBMITTED")).error == ""


async def test_what_cannot_be_recovered_is_left_to_a_person(stand: Stand) -> None:
    """After a few tries; the error stays to be seen, and no call is made any more."""
    locked = await stand.locked()
    stuck = {"next_action": "WaitingForManualAction", "error_type": "Unknown", "error_note": "datum differs"}
    stand.escrows.fail("recover", *[Fault(FailedPrecondition("no"))] * 100)
    stand.escrows.move(locked.blockchain_identifier, **stuck)
    await stand.escrows.until_called("recover", 6)
    polls = stand.escrows.calls["changes"]
    await stand.escrows.until_called("changes", polls + 20)
    seen = await stand.get(locked.name)

    assert stand.escrows.calls["recover"] == 6
    assert seen.state == pb.PAYMENT_STATE_FUNDS_LOCKED
    assert seen.error


async def test_a_result_that_comes_too_late_is_not_submitted(stand: Stand) -> None:
    """Five minutes before the time it would hang at the provider for ever: it is kept, and why is told."""
    locked = await stand.locked()
    stand.escrows.advance(56 * MINUTE_MS)
    await stand.submit(locked.name)
    told = await stand.until(locked.name, lambda payment: bool(payment.error))
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="RefundWithdrawn", next_action="None")
    ended = await stand.until_state(locked.name, "REFUNDED")

    assert "in time" in told.error
    assert ended.result_hash == RESULT
    assert stand.escrows.calls["submit_result"] == 0


async def test_a_result_is_submitted_into_a_dispute(stand: Stand) -> None:
    """The purchaser wants the money back before the result is there: it makes the request a dispute."""
    locked = await stand.locked()
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="RefundRequested")
    await stand.until_state(locked.name, "REFUND_REQUESTED")
    await stand.submit(locked.name)
    await stand.escrows.until_called("submit_result")
    changes = {"on_chain_state": "Disputed", "next_action": WAITING, "result_hash": RESULT}
    stand.escrows.move(locked.blockchain_identifier, **changes)
    await stand.until_state(locked.name, "DISPUTED")

    assert stand.escrows.calls["submit_result"] == 1


# -- refunding


async def test_a_refund_is_authorised_as_soon_as_it_can_be(stand: Stand) -> None:
    """Only in a dispute: before, the contract has nothing to authorise, and the call would hang."""
    locked = await stand.locked()
    intended = await stand.refund(locked.name)
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="RefundRequested")
    await stand.until_state(locked.name, "REFUND_REQUESTED")
    assert stand.escrows.calls["authorize_refund"] == 0
    stand.escrows.fail("authorize_refund", Fault(Unavailable("503")))
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="Disputed")
    await stand.escrows.until_called("authorize_refund", 2)
    stand.escrows.move(locked.blockchain_identifier, on_chain_state="RefundWithdrawn", next_action="None")
    ended = await stand.until_state(locked.name, "REFUNDED")

    assert intended.refund_intended
    assert ended.error == ""


# -- readiness


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Unauthenticated("revoked"), FailedPrecondition),
        (Unavailable("down"), Unavailable),
        (Exhausted("too many requests"), Unavailable),
        (Internal("500"), Unavailable),
    ],
)
async def test_no_payment_is_made_before_the_check_passes(
    tmp_path: pathlib.Path, auth: AuthMesh, error: MeshError, kind: type[MeshError]
) -> None:
    """The service is up and says why; nothing is recorded; it tries again by itself."""
    escrows = Escrows()
    escrows.fail("check", *[Fault(error)] * 10_000)
    async with standing(tmp_path, escrows, auth=auth) as stand:
        told = await refused(kind, stand.create())
        escrows.faults["check"].clear()
        await escrows.until_called("check", escrows.calls["check"] + 1)
        made = await stand.create()

    assert str(error) in str(told)
    assert made.state == pb.PAYMENT_STATE_REQUESTED


async def test_a_key_that_is_revoked_stops_new_payments_only(stand: Stand) -> None:
    """Those that are open go on being followed."""
    made = await stand.create()
    stand.escrows.fail("check", *[Fault(Unauthenticated("revoked"))] * 1000)
    stand.escrows.fail("changes", Fault(Unauthenticated("revoked")))
    await stand.escrows.until_called("check", 2)

    await refused(FailedPrecondition, stand.create(2))
    assert made == await stand.create(1)
    stand.escrows.lock(made.blockchain_identifier)
    await stand.until_state(made.name, "FUNDS_LOCKED")


# -- polling


async def test_nobody_is_asked_while_nothing_is_open(stand: Stand) -> None:
    """Not before the first payment, and no more after the last has ended."""
    await stand.escrows.until_called("check")
    assert stand.escrows.calls["changes"] == 0
    made = await stand.create()
    stand.escrows.move(made.blockchain_identifier, on_chain_state="FundsOrDatumInvalid")
    await stand.until_state(made.name, "FAILED")
    calls = stand.escrows.calls["changes"]
    with contextlib.suppress(TimeoutError):  # fifty times as long as between two polls
        async with asyncio.timeout(1.0):
            await stand.escrows.until_called("changes", calls + 2)

    assert stand.escrows.calls["changes"] <= calls + 1


async def test_one_poll_is_for_all_payments(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """Of hundreds that change at once each is seen, over pages that repeat their last line; none asks by itself."""
    count = 250
    began = time.monotonic()
    async with standing(tmp_path, auth=auth, pace=dataclasses.replace(PACE, poll_s=1.0, idle_poll_s=1.0)) as stand:
        made = [await stand.create(number) for number in range(count)]
        moment = 10_000 + max(row.changed_at for row in stand.escrows.rows.values())
        for key, row in stand.escrows.rows.items():  # all in the same millisecond: more than a page
            changes: dict[str, Any] = {"on_chain_state": "FundsLocked", "changed_at": moment, "updated_at": moment}
            stand.escrows.rows[key] = dataclasses.replace(row, **changes)
        for payment in made:
            await stand.until_state(payment.name, "FUNDS_LOCKED")

    assert stand.escrows.calls["resolve"] == count
    pages = 2 + count // (PAGE - 1)
    assert stand.escrows.calls["changes"] < pages * (3 + time.monotonic() - began)  # for each second at most


async def test_polling_goes_on_after_an_outage(stand: Stand) -> None:
    """What happened meanwhile is seen."""
    made = await stand.create()
    stand.escrows.fail("changes", *[Fault(Unavailable("down"))] * 5)
    stand.escrows.lock(made.blockchain_identifier)

    await stand.until_state(made.name, "FUNDS_LOCKED")


# -- restarts


async def test_a_restart_in_every_state_carries_on(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """Nothing is asked for twice, nothing is lost: what happened while it was down is seen."""
    escrows = Escrows()
    async with standing(tmp_path, escrows, auth=auth) as stand:
        waiting = await stand.create(1)
        locked = await stand.locked(2)
        submitted = await stand.locked(3)
        await stand.submit(submitted.name)
        await escrows.until_called("submit_result")
    escrows.lock(waiting.blockchain_identifier)
    escrows.confirm(submitted.blockchain_identifier)
    async with standing(tmp_path, escrows, auth=auth) as stand:
        await stand.until_state(waiting.name, "FUNDS_LOCKED")
        await stand.until_state(submitted.name, "RESULT_SUBMITTED")
        await stand.submit(locked.name)
        await escrows.until_called("submit_result", 2)

    assert (escrows.calls["request"], escrows.calls["submit_result"], len(escrows.rows)) == (3, 2, 3)


async def test_a_result_is_submitted_after_a_restart(tmp_path: pathlib.Path, auth: AuthMesh) -> None:
    """It was on disk before anybody was asked."""
    escrows = Escrows()
    async with standing(tmp_path, escrows, auth=auth, pace=Pace(poll_s=0.02, retry_s=60)) as stand:
        locked = await stand.locked()
        escrows.fail("submit_result", Fault(Unavailable("down")))
        await stand.submit(locked.name)
        await escrows.until_called("submit_result")
    async with standing(tmp_path, escrows, auth=auth):
        await escrows.until_called("submit_result", 2)

    assert escrows.submitted == {locked.blockchain_identifier: RESULT}
    assert escrows.wallet.seed == SEED
