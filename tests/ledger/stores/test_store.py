"""Every ledger store keeps the same promises."""

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from meshkit.errors import AlreadyExists
from meshkit.idempotency import Request
from meshkit.masumi.identifiers import new_wallet
from services.ledger import control
from services.ledger.domain import books
from services.ledger.domain.accounts import PURCHASING, SELLING, Agent, Key
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.chain import State
from services.ledger.domain.clock import Clock
from services.ledger.domain.errors import BadRequest
from services.ledger.ports.store import LedgerStore, Session
from tests.ledger.stores.making import NET, NOON, STILL, deal, record, save


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


async def test_the_clock_goes_on_behind_what_has_happened(store: LedgerStore) -> None:
    """The machine's may have been fast while the ledger ran, and right when it begins again."""
    assert 0 == await store.read(lambda session: session.last_change())
    await save(store, deal(1), deal(2))
    await store.write(control.go_on)
    assert NOON + 2000 == await store.read(lambda session: session.now)

    await store.write(lambda session: session.set_clock(STILL))
    await store.write(control.go_on)

    assert NOON + 2000 == await store.read(lambda session: session.last_change())
    assert NOON + 2000 == await store.read(lambda session: session.now)


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


async def test_a_key_may_get_another_token(store: LedgerStore) -> None:
    """The one before is nobody's then."""
    await store.write(lambda session: session.save_key(Key(id="k", name="k"), "old"))
    await store.write(lambda session: session.save_key(Key(id="k", name="k", revoked=True), "new"))

    assert await store.read(lambda session: session.key("old")) is None
    assert await store.read(lambda session: session.key("new")) == Key(id="k", name="k", revoked=True)


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
