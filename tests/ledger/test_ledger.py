"""The ledger as a whole: its own clock and timer, its keys, and what is different off loopback."""

import asyncio
import pathlib

import pytest

from meshkit.databases import SqliteFolder
from services.ledger import control, registry
from services.ledger.app import opened
from services.ledger.config import Config
from services.ledger.control import Tampering
from services.ledger.domain.accounts import DEV_KEY_ID, Key
from services.ledger.domain.actions import Side
from services.ledger.domain.chain import MINUTE_MS, State
from services.ledger.domain.clock import LAST_MS
from services.ledger.domain.deals import Deal
from services.ledger.domain.errors import BadRequest, Exists, Missing, Unauthorized
from services.ledger.domain.options import DEMO_VKEY, Options
from services.ledger.domain.steps import Pace
from services.ledger.faults import Fault, FaultKind
from services.ledger.ledger import WRITTEN
from tests.ledger.bench import AGENT, DEV_TOKEN, HOUR_MS, NET, Bench, benched


async def becomes(bench: Bench, deal: Deal, state: State) -> None:
    """Wait until a deal is in this state, by what the ledger writes."""
    async with asyncio.timeout(60), bench.bus.subscribe(WRITTEN) as waker:
        while (await bench.deal(deal)).state != state:
            await waker.wait()


async def test_time_alone_moves_a_deal(tmp_path: pathlib.Path) -> None:
    """Nobody calls: the ledger's timer locks, withdraws at a speed of an hour a second, and rests."""
    async with benched(tmp_path, Pace(worker_delay_ms=500, confirm_delay_ms=1500)) as bench:
        deal = await bench.payment()
        await bench.create_purchase(bench.dev, bench.purchase_ask(deal))

        await bench.ledger.set_clock(scale=3600)
        await becomes(bench, deal, State.REFUND_WITHDRAWN)

        assert await bench.ledger.read(lambda session: session.next_due()) is None
        await bench.check_sums()


async def test_the_clock_only_goes_ahead(bench: Bench) -> None:
    """Callers have seen later times; it may stand still or run."""
    before = bench.now

    with pytest.raises(BadRequest, match="only be set ahead"):
        await bench.ledger.set_clock(at=before - 1)
    with pytest.raises(BadRequest, match="ends with the year 8999"):
        await bench.ledger.set_clock(at=LAST_MS + 1)
    with pytest.raises(BadRequest, match="scale must be"):
        await bench.ledger.set_clock(scale=-1)
    await bench.advance(HOUR_MS)

    assert before + HOUR_MS == bench.now


async def test_the_clock_survives_a_restart(tmp_path: pathlib.Path) -> None:
    """With its offset and its speed."""
    async with benched(tmp_path) as bench:
        await bench.advance(HOUR_MS)
        now = bench.now
    async with opened(SqliteFolder(tmp_path), Options(development=True)) as ledger:
        assert now == ledger.now()


async def test_off_loopback_there_is_no_dev(tmp_path: pathlib.Path) -> None:
    """Nor a price for an agent that nobody registered; a key that was there is refused, and comes back on loopback."""
    async with benched(tmp_path):
        pass
    async with opened(SqliteFolder(tmp_path), Options()) as ledger:
        with pytest.raises(Unauthorized, match="revoked"):
            await ledger.authenticate(DEV_TOKEN)
        with pytest.raises(Missing, match="Agent identifier not found"):
            await ledger.read(lambda session: registry.read(session, NET, AGENT))
        token = control.new_token()
        wanted = Key(id="", name="made by an operator", can_pay=True)
        key = await ledger.write(lambda session: control.create_key(session, wanted, [(5, "")], token))
        assert key == await ledger.authenticate(token)
        assert token not in (tmp_path / "ledger.db").read_bytes().decode("latin-1")
        with pytest.raises(Exists):
            await ledger.write(lambda session: control.create_key(session, wanted, [], control.new_token()))
    async with benched(tmp_path) as bench:
        assert DEV_KEY_ID == bench.dev.id


async def test_faults_have_bounds(bench: Bench) -> None:
    """A delay that is longer than a call's deadline, or a success that is called an error, is refused."""
    for wrong in ({"delay_s": 21.0}, {"status": 404}, {"count": 0}):
        with pytest.raises(BadRequest):
            bench.ledger.inject(Fault(call="*", kind=FaultKind.ERROR, **wrong))


async def test_an_invalid_datum_says_why(bench: Bench) -> None:
    """On both sides, in the words that were ordered."""
    deal = await bench.payment()
    await bench.tamper(deal.blockchain_identifier, Tampering(invalid_datum="reference script"))
    await bench.purchase(deal)

    for record in (await bench.deal(deal)).records:
        assert (State.FUNDS_OR_DATUM_INVALID, "reference script") == (record.state, record.error_note)


async def test_a_state_can_be_forced(bench: Bench) -> None:
    """On one side's record; what is no state is refused."""
    deal = await bench.payment()
    forced = await bench.tamper(deal.blockchain_identifier, Tampering(force_state="Disputed"))

    assert State.DISPUTED == forced.payment.state
    with pytest.raises(BadRequest, match="Nowhere"):
        await bench.tamper(deal.blockchain_identifier, Tampering(force_state="Nowhere"))
    with pytest.raises(Missing):
        await bench.tamper(deal.blockchain_identifier, Tampering(side=Side.PURCHASE))


@pytest.mark.parametrize(
    ("host", "development"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("mesh.example.com", False)],
)
def test_development_is_loopback(host: str, development: bool) -> None:
    """The alias of the notebook's key goes with it."""
    options = Config(host=host).options

    assert development == options.development
    assert (DEMO_VKEY if development else "") == options.vkey_alias


def test_the_default_lock_takes_two_seconds() -> None:
    """In two phases."""
    pace = Config().options.pace

    assert 2000 == pace.worker_delay_ms + pace.confirm_delay_ms


async def test_a_refund_request_races_a_result(tmp_path: pathlib.Path) -> None:
    """Both are sent for the same output: one confirms, the other is sent again, and it ends in a dispute."""
    async with benched(tmp_path, Pace(worker_delay_ms=500, confirm_delay_ms=1500)) as bench:
        deal = await bench.payment()
        await bench.create_purchase(bench.dev, bench.purchase_ask(deal))
        await bench.advance(2000)
        await bench.submit(deal)
        await bench.request_refund(deal)
        await bench.advance(2000)
        between = (await bench.deal(deal)).state
        await bench.advance(2000 + MINUTE_MS)

        assert between in (State.RESULT_SUBMITTED, State.REFUND_REQUESTED)
        assert State.DISPUTED == (await bench.deal(deal)).state
