"""Every ledger store keeps the same promises."""

import asyncio
import dataclasses
import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from meshkit.databases import PostgresDatabase
from meshkit.errors import AlreadyExists
from meshkit.idempotency import Request
from meshkit.masumi.identifiers import new_wallet
from meshkit.sqlite import Database
from services.ledger.domain import books
from services.ledger.domain.accounts import PURCHASING, SELLING, Agent, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import State
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Record
from services.ledger.domain.errors import BadRequest
from services.ledger.domain.options import Options
from services.ledger.domain.queries import Changed, Filter
from services.ledger.ports.store import LedgerStore, Session
from services.ledger.stores import postgres
from services.ledger.stores.memory import MemoryStore
from services.ledger.stores.sqlite import MIGRATIONS, SqliteStore

NET = "Preprod"
NOON = 1_765_445_305_000
STILL = Clock(wall=0, at=NOON, scale=0)
ALL = Filter()


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[LedgerStore]:
    """Each kind of store, empty, at noon."""
    if request.param == "memory":
        memory = MemoryStore(Options())
        await memory.write(lambda session: session.set_clock(STILL))
        yield memory
        return
    if request.param == "postgres":
        place = PostgresDatabase(request.getfixturevalue("postgres"))
        async with postgres.opened(place, Options()) as kept:
            await kept.write(lambda session: session.set_clock(STILL))
            yield kept
        return
    database = Database(tmp_path / "ledger.db", MIGRATIONS)
    database.open()
    sqlite = SqliteStore(database, Options())
    await sqlite.write(lambda session: session.set_clock(STILL))
    yield sqlite
    await database.close()


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


async def test_a_deal_comes_back_as_it_went_in(store: LedgerStore) -> None:
    """Every field; by its identifier in any case, on its network alone."""
    made = deal(1)
    made.purchase = record(1, Side.PURCHASE)
    made.state = made.payment.state = State.FUNDS_LOCKED
    await save(store, made)
    found = await store.read(lambda session: session.deal("AB0001"))

    assert found == made
    assert found is not made
    assert await store.read(lambda session: session.deal("ab0001", NET)) == made
    assert await store.read(lambda session: session.deal("ab0001", "Mainnet")) is None
    assert await store.read(lambda session: session.deal("ab0002")) is None


async def test_a_transaction_that_raises_has_changed_nothing(store: LedgerStore) -> None:
    """Not the money, not the deals, not the clock."""

    def half(session: Session) -> None:
        session.save(deal(1))
        session.hand_out(NET, "vkey", [(10, "")])
        session.set_clock(Clock(wall=0, at=NOON + 5, scale=0))
        session.save_key(Key(id="k", name="k"), "token")
        session.keep_request(Request(owner="o", request_id="r", body_hash="h"))
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await store.write(half)

    def look(session: Session) -> list[object]:
        return [session.deal("ab0001"), session.balances(), session.key("token"), session.request("o", "r")]

    assert await store.read(look) == [None, [], None, None]
    assert await store.read(lambda session: session.now) == NOON


async def test_transactions_come_one_after_the_other(store: LedgerStore) -> None:
    """Of many at once none is lost."""
    await store.write(lambda session: session.hand_out(NET, "a", [(100, "")]))

    def move(session: Session) -> None:
        session.move(books.wallet("a"), books.wallet("b"), "", 1, "test")

    await asyncio.gather(*(store.write(move) for _ in range(50)))

    def look(session: Session) -> list[tuple[str, str, int]]:
        return session.balances()

    assert await store.read(look) == [(f"genesis:{NET}", "", -100), ("wallet:a", "", 50), ("wallet:b", "", 50)]
    assert await store.read(lambda session: session.holdings("b")) == [(50, "")]


async def test_money_is_not_owed(store: LedgerStore) -> None:
    """Only genesis may; empty accounts are forgotten."""
    await store.write(lambda session: session.hand_out(NET, "a", [(3, "unit")]))
    with pytest.raises(ValueError, match="less than"):
        await store.write(lambda session: session.move("wallet:a", "wallet:b", "unit", 4, "test"))
    await store.write(lambda session: session.move("wallet:a", "wallet:b", "unit", 3, "test"))

    assert await store.read(lambda session: session.balance("wallet:a", "unit")) == 0
    assert [account for account, *_ in await store.read(lambda session: session.balances())] == [
        f"genesis:{NET}",
        "wallet:b",
    ]


async def test_what_is_due_next_is_known(store: LedgerStore) -> None:
    """The earliest, and when; after the last there is none."""
    assert await store.read(lambda session: session.next_due()) is None
    first, second = deal(1), deal(0)
    await save(store, first, second)
    at = await store.read(lambda session: session.next_due())
    assert at is not None

    assert await store.read(lambda session: session.due_deal(at - 1)) is None
    found = await store.read(lambda session: session.due_deal(at))
    assert found is not None
    assert (found[0].id, found[1]) == ("deal0", at)
    for each in (first, second):
        each.payment.state, each.payment.action = State.FUNDS_OR_DATUM_INVALID, Action.NONE
        each.state = State.WITHDRAWN
    await save(store, first, second)
    assert await store.read(lambda session: session.next_due()) is None


async def test_records_come_newest_first(store: LedgerStore) -> None:
    """From the one that the cursor names, of one side and network, a page at a time."""
    await save(store, *(deal(number) for number in range(5)), deal(9, "Mainnet"))
    page = await store.read(lambda session: session.records(Side.PAYMENT, NET, "", 3, ALL))
    rest = await store.read(lambda session: session.records(Side.PAYMENT, NET, page[-1].payment.id, 3, ALL))

    assert names(page) == ["deal4", "deal3", "deal2"]
    assert names(rest) == ["deal2", "deal1", "deal0"]
    assert await store.read(lambda session: session.records(Side.PURCHASE, NET, "", 3, ALL)) == []
    assert await store.read(lambda session: session.count(Side.PAYMENT, NET)) == 5
    assert await store.read(lambda session: session.count(Side.PAYMENT, "Mainnet")) == 1
    assert len(await store.read(lambda session: session.records(Side.PAYMENT, NET, "", 0, ALL))) == 5


async def test_records_are_narrowed(store: LedgerStore) -> None:
    """By state, by whether they wait for a person, by a text in their id or in what they say."""
    made = [deal(number) for number in range(4)]
    made[1].payment.state = State.DISPUTED
    made[2].payment.action = Action.MANUAL
    await save(store, *made)

    async def found(wanted: Filter) -> list[str]:
        return names(await store.read(lambda session: session.records(Side.PAYMENT, NET, "", 10, wanted)))

    assert await found(Filter(state="Disputed")) == ["deal1"]
    assert await found(Filter(needs_manual_action=True)) == ["deal2"]
    assert await found(Filter(search="AGENT 3")) == ["deal3"]
    assert await found(Filter(search="payment0")) == ["deal0"]
    assert await found(Filter(search="%")) == []
    assert await found(Filter(search="agent_3")) == []
    assert await found(Filter(search="blockchain_identifier")) == []  # the name of a field is no text of a record
    assert await found(Filter(search="nothing of the kind")) == []


async def test_records_are_one_keys(store: LedgerStore) -> None:
    """However they are asked for; without a key they are everybody's."""
    other = deal(2)
    assert other.payment is not None
    other.payment.key_id = "another"
    await save(store, deal(1), other)

    def look(session: Session, key_id: str) -> list[object]:
        return [
            names(session.records(Side.PAYMENT, NET, "", 10, Filter(key_id=key_id))),
            names(session.changes(Side.PAYMENT, NET, 0, "", 10, Changed.EITHER, key_id)),
            names(session.payments_of(NET, "job0", 0, 10, key_id)),
            session.count(Side.PAYMENT, NET, key_id),
        ]

    assert await store.read(lambda session: look(session, "key")) == [["deal1"], ["deal1"], [], 1]
    assert await store.read(lambda session: look(session, "another")) == [["deal2"], ["deal2"], ["deal2"], 1]
    assert await store.read(lambda session: look(session, "nobody")) == [[], [], [], 0]
    assert await store.read(lambda session: look(session, "")) == [["deal2", "deal1"], ["deal1", "deal2"], ["deal2"], 2]


async def test_a_key_may_get_another_token(store: LedgerStore) -> None:
    """The one before is nobody's then."""
    await store.write(lambda session: session.save_key(Key(id="k", name="k"), "old"))
    await store.write(lambda session: session.save_key(Key(id="k", name="k", revoked=True), "new"))

    assert await store.read(lambda session: session.key("old")) is None
    assert await store.read(lambda session: session.key("new")) == Key(id="k", name="k", revoked=True)


async def test_changes_come_oldest_first(store: LedgerStore) -> None:
    """Each once, where it changed last; by kind; from the record that the cursor names."""
    made = [deal(number) for number in range(3)]
    await save(store, *made)
    since = await store.read(lambda session: session.now)
    made[0].payment.set_action(Action.SUBMIT_RESULT_REQUESTED)
    await save(store, made[0])
    made[1].payment.state = State.FUNDS_LOCKED
    await save(store, made[1])

    async def changed(since: int, by: Changed, cursor: str = "", limit: int = 10) -> list[str]:
        return names(await store.read(lambda session: session.changes(Side.PAYMENT, NET, since, cursor, limit, by)))

    assert await changed(0, Changed.EITHER) == ["deal2", "deal0", "deal1"]
    assert await changed(since, Changed.EITHER) == ["deal2", "deal0", "deal1"]
    assert await changed(since + 1, Changed.EITHER) == ["deal0", "deal1"]
    assert await changed(since + 1, Changed.ACTION) == ["deal0"]
    assert await changed(since + 1, Changed.STATE) == ["deal1"]
    assert await changed(0, Changed.EITHER, cursor="payment0") == ["deal0", "deal1"]
    assert await changed(0, Changed.EITHER, limit=1) == ["deal2"]


async def test_changes_at_one_moment_come_by_id(store: LedgerStore) -> None:
    """So that a page can go on within it."""
    for number in (2, 0, 1):
        await store.write(saving(deal(number)))

    def look(session: Session) -> list[Deal]:
        return session.changes(Side.PAYMENT, NET, NOON, "payment1", 10, Changed.EITHER)

    assert names(await store.read(look)) == ["deal1", "deal2"]


async def test_payments_are_found_by_their_metadata(store: LedgerStore) -> None:
    """Oldest first; of one network, and not before a time."""
    await save(store, *(deal(number) for number in (1, 3, 5, 2)), deal(7, "Mainnet"))

    def look(since: int, limit: int = 10) -> Callable[[Session], list[str]]:
        return lambda session: names(session.payments_of(NET, "job1", since, limit))

    assert await store.read(look(0)) == ["deal1", "deal3", "deal5"]
    assert await store.read(look(0, 2)) == ["deal1", "deal3"]
    assert await store.read(look(NOON + 1)) == []


async def test_a_record_says_when_it_changed(store: LedgerStore) -> None:
    """What stays as it is keeps its times."""
    made = deal(1)
    await save(store, made)
    made_at = made.payment.updated_at
    await save(store, made)
    made.payment.set_action(Action.SUBMIT_RESULT_REQUESTED)
    await save(store, made)
    found = await store.read(lambda session: session.deal("ab0001"))
    assert found is not None

    assert (found.payment.action_at, found.payment.state_at) == (made_at + 2000, made_at)


async def test_keys_are_known_by_their_tokens(store: LedgerStore) -> None:
    """Which are not kept; a key that is changed keeps its token."""
    first, second = Key(id="k1", name="one", credits={"": "5"}), Key(id="k2", name="two", can_pay=True)
    await store.write(lambda session: session.save_key(first, "token one"))
    await store.write(lambda session: session.save_key(second, "token two"))
    changed = dataclasses.replace(first, revoked=True)
    await store.write(lambda session: session.save_key(changed))

    assert await store.read(lambda session: session.key("token one")) == changed
    assert await store.read(lambda session: session.key("token three")) is None
    assert await store.read(lambda session: session.key_by_id("k2")) == second
    assert await store.read(lambda session: session.all_keys()) == [changed, second]


async def test_a_key_that_is_read_is_a_copy(store: LedgerStore) -> None:
    """What a caller does to it is not kept unless it says so."""
    await store.write(lambda session: session.save_key(Key(id="k1", name="one", credits={"": "5"}), "token"))

    def spend(session: Session) -> None:
        key = session.key_by_id("k1")
        assert key is not None
        key.credits[""] = "0"

    await store.write(spend)
    found = await store.read(lambda session: session.key_by_id("k1"))

    assert found is not None
    assert found.credits == {"": "5"}


async def test_wallets_are_found_by_kind_and_owner(store: LedgerStore) -> None:
    """Oldest first."""
    sold, bought, other = new_wallet(NET), new_wallet(NET), new_wallet("Mainnet")

    def keep(session: Session) -> None:
        session.add_wallet(sold, SELLING, "k1")
        session.add_wallet(bought, PURCHASING, "k2")
        session.add_wallet(other, SELLING, "k1")

    await store.write(keep)

    assert await store.read(lambda session: session.wallet(bought.vkey)) == (bought, PURCHASING, "k2")
    assert await store.read(lambda session: session.wallet("nobody")) is None
    assert await store.read(lambda session: session.wallets(NET, SELLING)) == [sold]
    assert await store.read(lambda session: session.wallets(NET, SELLING, "k2")) == []
    assert await store.read(lambda session: session.wallets("Mainnet", SELLING, "k1")) == [other]


async def test_agents_are_listed_newest_first(store: LedgerStore) -> None:
    """Of one network, from an entry on; and found by either of their names."""
    agents = [
        Agent(
            id=f"a{number}",
            agent_identifier=f"AB{number}",
            network=NET if number else "Mainnet",
            holder_vkey="vkey",
            name=f"{number}",
            pricing=[(5, "")],
            key_id="k1",
            created_at=NOON,
            updated_at=0,
        )
        for number in range(4)
    ]

    def keep(session: Session) -> None:
        for agent in agents:
            session.save_agent(agent)

    await store.write(keep)
    await store.write(lambda session: session.delete_agent("a2"))

    def ids(before: str) -> Callable[[Session], list[str]]:
        return lambda session: [agent.id for agent in session.agents(NET, before, 10)]

    assert await store.read(ids("")) == ["a3", "a1"]
    assert await store.read(ids("a1")) == ["a1"]
    assert await store.read(lambda session: session.agent_by_id("a2")) is None
    found = await store.read(lambda session: session.agent_by_id("a3"))
    assert found is not None
    assert (found.updated_at, found.pricing) == (NOON, [(5, "")])
    assert await store.read(lambda session: session.agent(NET, "ab3")) == found
    assert await store.read(lambda session: session.agent("Mainnet", "ab3")) is None


async def test_a_request_is_remembered(store: LedgerStore) -> None:
    """By its name; it is kept once."""
    request = Request(owner="keys/k1", request_id="r1", body_hash="h", answer=b"deal1")
    await store.write(lambda session: session.keep_request(request))
    with pytest.raises(AlreadyExists):
        await store.write(lambda session: session.keep_request(request))

    assert await store.read(lambda session: session.request("keys/k1", "r1")) == request
    assert await store.read(lambda session: session.request("keys/k2", "r1")) is None
