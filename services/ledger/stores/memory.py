"""The ledger in memory: gone with its process, for tests and trials.

A transaction works on a copy of everything, which takes the place of the original if it does not raise: simple, and
fast enough for as many deals as somebody makes by hand.
"""

import copy
import dataclasses
from collections.abc import Callable
from typing import TypeVar

from meshkit import clock as machine
from meshkit.idempotency import MemoryRequests, Request
from meshkit.masumi.identifiers import Wallet
from services.ledger.domain import books, deals
from services.ledger.domain.accounts import Agent, Key, digest
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Funds, Record
from services.ledger.domain.options import Options
from services.ledger.domain.queries import SEARCHED, Changed, Filter, size
from services.ledger.domain.steps import due
from services.ledger.ports.store import Held, Session

T = TypeVar("T")
_FIELDS = {Changed.ACTION: "action_at", Changed.STATE: "state_at"}


@dataclasses.dataclass(slots=True)
class _Kept:
    """Everything there is.  Deals are kept as text, so that nobody holds one that changes; the rest is replaced."""

    clock: Clock = dataclasses.field(default_factory=Clock)
    deals: dict[str, str] = dataclasses.field(default_factory=dict)
    by_identifier: dict[str, str] = dataclasses.field(default_factory=dict)
    due: dict[str, int] = dataclasses.field(default_factory=dict)
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)
    """Of records, by their id: the order in which they were made."""
    keys: dict[str, Key] = dataclasses.field(default_factory=dict)
    tokens: dict[str, str] = dataclasses.field(default_factory=dict)
    wallets: dict[str, Held] = dataclasses.field(default_factory=dict)
    agents: dict[str, Agent] = dataclasses.field(default_factory=dict)
    money: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    requests: MemoryRequests = dataclasses.field(default_factory=MemoryRequests)

    def copy(self) -> "_Kept":
        """Return one that can be changed without changing this."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return _Kept(**{name: value if name == "clock" else value.copy() for name, value in values.items()})


class MemoryStore:
    """A ledger that is gone with its process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._kept = _Kept()

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run work that only reads."""
        return work(MemorySession(self._kept, self._options))

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run work, and keep what it did unless it raises."""
        draft = self._kept.copy()
        value = work(MemorySession(draft, self._options))
        self._kept = draft
        return value


class MemorySession:
    """The ledger within one transaction, at one moment of its clock."""

    def __init__(self, kept: _Kept, options: Options) -> None:
        self.options = options
        self.clock = kept.clock
        self.now = self.clock.now()
        self._kept = kept

    def set_clock(self, clock: Clock) -> None:
        """Go by another clock from now on."""
        self._kept.clock = clock
        self.clock, self.now = clock, clock.now()

    # -- requests that may be repeated

    def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return self._kept.requests.find(owner, request_id)

    def keep_request(self, request: Request) -> None:
        """Keep a request with what it has made."""
        self._kept.requests.keep(request, machine.now())

    # -- deals

    def deal(self, blockchain_identifier: str, network: str = "") -> Deal | None:
        """Return a deal, or None."""
        deal_id = self._kept.by_identifier.get(blockchain_identifier.lower())
        found = deals.load(self._kept.deals[deal_id]) if deal_id else None
        return found if found is not None and network in ("", found.network) else None

    def due_deal(self, until: int) -> tuple[Deal, int] | None:
        """Return the deal that moves next, and when; None if that is after `until`."""
        moment, deal_id = min(((at, deal_id) for deal_id, at in self._kept.due.items()), default=(until + 1, ""))
        return (deals.load(self._kept.deals[deal_id]), moment) if moment <= until else None

    def next_due(self) -> int | None:
        """Return when a deal moves next by itself."""
        return min(self._kept.due.values(), default=None)

    def last_change(self) -> int:
        """Return the latest moment at which a deal has changed; 0 if there is none."""
        records = (record for doc in self._kept.deals.values() for record in deals.load(doc).records)
        return max((max(record.action_at, record.state_at) for record in records), default=0)

    def save(self, deal: Deal) -> None:
        """Keep the deal as it is now."""
        deals.stamp(deal, self.deal(deal.blockchain_identifier), self.now)
        self._kept.deals[deal.id] = deals.dump(deal)
        self._kept.by_identifier[deal.blockchain_identifier] = deal.id
        self._kept.due.pop(deal.id, None)
        if (at := due(deal)) is not None:
            self._kept.due[deal.id] = at
        for record in deal.records:
            self._kept.numbers.setdefault(record.id, len(self._kept.numbers) + 1)

    def records(self, side: Side, network: str, cursor: str, limit: int, wanted: Filter) -> list[Deal]:
        """Return records, newest first."""
        first = self._kept.numbers.get(cursor, 2**62)
        text = wanted.search.lower()
        found = []
        for deal, record in self._side(side, network, wanted.key_id):
            state = record.state.value if record.state else None
            if (
                self._kept.numbers[record.id] <= first
                and (not wanted.state or state == wanted.state)
                and (not wanted.needs_manual_action or record.action == Action.MANUAL)
                and any(text in said.lower() for said in (record.id, *(getattr(deal, name) for name in SEARCHED)))
            ):
                found.append((self._kept.numbers[record.id], deal))
        return [deal for _, deal in sorted(found, key=lambda item: -item[0])[: size(limit)]]

    def changes(
        self, side: Side, network: str, since: int, cursor: str, limit: int, by: Changed, key_id: str = ""
    ) -> list[Deal]:
        """Return what changed at or after `since`, oldest change first."""
        lines = []
        for deal, record in self._side(side, network, key_id):
            at = max(record.action_at, record.state_at) if by == Changed.EITHER else getattr(record, _FIELDS[by])
            lines.append((at, record.id, deal))
        start = next(((at, record_id) for at, record_id, _ in lines if record_id == cursor), (since, ""))
        found = [line for line in lines if line[0] >= since and line[:2] >= start]
        return [deal for *_, deal in sorted(found, key=lambda line: line[:2])[: size(limit)]]

    def payments_of(self, network: str, metadata: str, since: int, limit: int, key_id: str = "") -> list[Deal]:
        """Return the payments that were asked for with this metadata, oldest first."""
        found = [
            (self._kept.numbers[record.id], deal)
            for deal, record in self._side(Side.PAYMENT, network, key_id)
            if record.metadata == metadata and record.created_at >= since
        ]
        return [deal for _, deal in sorted(found, key=lambda item: item[0])[:limit]]

    def count(self, side: Side, network: str, key_id: str = "") -> int:
        """Return how many records there are."""
        return len(self._side(side, network, key_id))

    def _side(self, side: Side, network: str, key_id: str) -> list[tuple[Deal, Record]]:
        loaded = [deals.load(text) for text in self._kept.deals.values()]
        sides = [(deal, deal.record(side)) for deal in loaded if deal.network == network]
        return [(deal, record) for deal, record in sides if record is not None and key_id in ("", record.key_id)]

    # -- keys and wallets

    def key(self, token: str) -> Key | None:
        """Return the key of a token."""
        return self.key_by_id(self._kept.tokens.get(digest(token), ""))

    def key_by_id(self, key_id: str) -> Key | None:
        """Return a key."""
        found = self._kept.keys.get(key_id)
        return copy.deepcopy(found)

    def all_keys(self) -> list[Key]:
        """Return all keys, oldest first."""
        return copy.deepcopy(list(self._kept.keys.values()))

    def save_key(self, key: Key, token: str = "") -> None:
        """Keep a key; a new one comes with its token, and one that comes with another has that."""
        if token:
            self._kept.tokens = {each: of for each, of in self._kept.tokens.items() if of != key.id}
            self._kept.tokens[digest(token)] = key.id
        self._kept.keys[key.id] = copy.deepcopy(key)

    def add_wallet(self, wallet: Wallet, kind: str, key_id: str) -> None:
        """Keep a wallet."""
        self._kept.wallets[wallet.vkey] = (wallet, kind, key_id)

    def wallet(self, vkey: str) -> Held | None:
        """Return a wallet, its kind and whose it is."""
        return self._kept.wallets.get(vkey)

    def wallets(self, network: str, kind: str, key_id: str = "") -> list[Wallet]:
        """Return wallets of a network, oldest first; of one key, or of all."""
        return [
            wallet
            for wallet, its_kind, owner in self._kept.wallets.values()
            if wallet.network == network and its_kind == kind and key_id in ("", owner)
        ]

    # -- agents

    def agent(self, network: str, agent_identifier: str) -> Agent | None:
        """Return an entry of the registry."""
        wanted = (network, agent_identifier.lower())
        found = (agent for agent in self._kept.agents.values() if (agent.network, _key(agent)) == wanted)
        return copy.deepcopy(next(found, None))

    def agents(self, network: str, before: str, limit: int) -> list[Agent]:
        """Return entries, newest first, from the one with id `before` on."""
        ids = list(self._kept.agents)
        upto = ids.index(before) + 1 if before in self._kept.agents else len(ids)
        mine = [agent for agent in list(self._kept.agents.values())[:upto] if agent.network == network]
        return copy.deepcopy(mine[::-1][:limit])

    def agent_by_id(self, agent_id: str) -> Agent | None:
        """Return an entry of the registry by its own id."""
        return copy.deepcopy(self._kept.agents.get(agent_id))

    def save_agent(self, agent: Agent) -> None:
        """Keep an entry."""
        agent.updated_at = self.now
        self._kept.agents[agent.id] = copy.deepcopy(agent)

    def delete_agent(self, agent_id: str) -> None:
        """Forget an entry."""
        self._kept.agents.pop(agent_id, None)

    # -- books.Books

    def balance(self, account: str, unit: str) -> int:
        """Return what an account holds."""
        return self._kept.money.get((account, unit), 0)

    def move(self, source: str, target: str, unit: str, amount: int, why: str) -> None:
        """Move money."""
        books.check_move(source, amount, self.balance(source, unit))
        for account, change in ((source, -amount), (target, amount)):
            left = self._kept.money.pop((account, unit), 0) + change
            if left:
                self._kept.money[account, unit] = left

    def balances(self) -> list[tuple[str, str, int]]:
        """Return every account that is not empty: account, unit, amount."""
        return [(account, unit, amount) for (account, unit), amount in sorted(self._kept.money.items())]

    def holdings(self, vkey: str) -> Funds:
        """Return what a wallet holds."""
        mine = books.wallet(vkey)
        return [(amount, unit) for (account, unit), amount in self._kept.money.items() if account == mine]

    def hand_out(self, network: str, vkey: str, funds: Funds) -> None:
        """Give a wallet imitated money."""
        books.move_all(self, f"genesis:{network}", books.wallet(vkey), funds, "handed out")


def _key(agent: Agent) -> str:
    return agent.agent_identifier.lower()
