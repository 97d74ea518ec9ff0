"""Every store finds records alike: newest first, changes oldest first, and only those of one's key."""

from collections.abc import Callable

from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import State
from services.ledger.domain.deals import Deal
from services.ledger.domain.queries import Changed, Filter
from services.ledger.ports.store import LedgerStore, Session
from tests.ledger.stores.making import ALL, NET, NOON, deal, names, save, saving


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
