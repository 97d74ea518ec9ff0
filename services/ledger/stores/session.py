"""The ledger within one transaction, in SQL that SQLite and PostgreSQL both understand.

A deal is one JSON document; `records` has a line per side with what lists and diffs are selected and ordered by.
"""

import json
from dataclasses import asdict
from typing import Any

from meshkit import clock as machine
from meshkit.idempotency import Request
from meshkit.masumi.identifiers import Wallet
from meshkit.sql import Sql
from meshkit.sqlite import requests
from services.ledger.domain import books, deals
from services.ledger.domain.accounts import Agent, Key, digest
from services.ledger.domain.actions import Action, Side
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Funds
from services.ledger.domain.options import Options
from services.ledger.domain.queries import SEARCHED, Changed, Filter, size
from services.ledger.domain.steps import due
from services.ledger.ports.store import Held

_AT = {Changed.EITHER: "either_at", Changed.ACTION: "action_at", Changed.STATE: "state_at"}

_MINE = ":key_id IN ('', records.key_id)"
"""Whether a line of `records` is of a key; of an empty one all are."""


class SqlSession:
    """The ledger within one database transaction, at one moment of its clock."""

    def __init__(self, connection: Sql, options: Options) -> None:
        self.connection = connection
        self.options = options
        self.clock = self._clock()
        self.now = self.clock.now()
        self._one = connection.execute

    # -- the clock

    def _clock(self) -> Clock:
        row = self.connection.execute("SELECT wall, at, scale FROM clock").fetchone()
        return Clock(wall=row[0], at=row[1], scale=row[2]) if row else Clock()

    def set_clock(self, clock: Clock) -> None:
        """Go by another clock from now on."""
        sql = (
            "INSERT INTO clock (one, wall, at, scale) VALUES (1, ?, ?, ?)"
            " ON CONFLICT (one) DO UPDATE SET wall = excluded.wall, at = excluded.at, scale = excluded.scale"
        )
        self._one(sql, (clock.wall, clock.at, clock.scale))
        self.clock, self.now = clock, clock.now()

    # -- requests that may be repeated: by the machine's clock, since the ledger's may run a thousand times as fast

    def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return requests.find(self.connection, owner, request_id)

    def keep_request(self, request: Request) -> None:
        """Keep a request with what it has made."""
        requests.keep(self.connection, request, machine.now())

    # -- deals

    def deal(self, blockchain_identifier: str, network: str = "") -> Deal | None:
        """Return a deal, or None."""
        row = self._one(
            "SELECT doc FROM deals WHERE blockchain_identifier = ?", (blockchain_identifier.lower(),)
        ).fetchone()
        found = deals.load(row[0]) if row else None
        return found if found is not None and network in ("", found.network) else None

    def due_deal(self, until: int) -> tuple[Deal, int] | None:
        """Return the deal that moves next, and when; None if that is after `until`."""
        row = self._one("SELECT doc, due FROM deals WHERE due <= ? ORDER BY due LIMIT 1", (until,)).fetchone()
        return (deals.load(row[0]), row[1]) if row else None

    def next_due(self) -> int | None:
        """Return when a deal moves next by itself."""
        moment: int | None = self._one("SELECT MIN(due) FROM deals WHERE due IS NOT NULL").fetchone()[0]
        return moment

    def last_change(self) -> int:
        """Return the latest moment at which a deal has changed; 0 if there is none."""
        moment: int | None = self._one("SELECT MAX(either_at) FROM records").fetchone()[0]
        return moment or 0

    def save(self, deal: Deal) -> None:
        """Keep the deal as it is now."""
        before = self.deal(deal.blockchain_identifier)
        deals.stamp(deal, before, self.now)
        self._one(
            "INSERT INTO deals (id, blockchain_identifier, due, doc) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET due = excluded.due, doc = excluded.doc",
            (deal.id, deal.blockchain_identifier, due(deal), deals.dump(deal)),
        )
        for record in deal.records:
            values = {
                "id": record.id,
                "deal": deal.id,
                "side": record.side.value,
                "network": deal.network,
                "key_id": record.key_id,
                "metadata": record.metadata,
                "state": record.state.value if record.state else None,
                "action": record.action.value,
                "created_at": record.created_at,
                "action_at": record.action_at,
                "state_at": record.state_at,
                "either_at": max(record.action_at, record.state_at),
            }
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            changes = ", ".join(
                f"{name} = excluded.{name}" for name in ("state", "action", "action_at", "state_at", "either_at")
            )
            sql = f"INSERT INTO records ({names}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}"
            self._one(sql, values)

    def records(self, side: Side, network: str, cursor: str, limit: int, wanted: Filter) -> list[Deal]:
        """Return records, newest first."""
        conditions = ["records.side = :side", "records.network = :network", "records.number <= :first", _MINE]
        values = {
            "side": side.value,
            "network": network,
            "first": (self._position(cursor, "number") if cursor else None) or 2**62,
            "state": wanted.state,
            "key_id": wanted.key_id,
            "search": wanted.search.lower(),
        }
        if wanted.state:
            conditions.append("records.state = :state")
        if wanted.needs_manual_action:
            conditions.append(f"records.action = '{Action.MANUAL}'")
        if wanted.search:
            texts = ("records.id", *(f"json_extract(deals.doc, '$.{field}')" for field in SEARCHED))
            conditions.append(f"({' OR '.join(f'instr(lower({text}), :search) > 0' for text in texts)})")
        return self._select(" AND ".join(conditions), values, "records.number DESC", size(limit))

    def changes(
        self, side: Side, network: str, since: int, cursor: str, limit: int, by: Changed, key_id: str = ""
    ) -> list[Deal]:
        """Return what changed at or after `since`, oldest change first."""
        at = _AT[by]
        condition = f"records.side = :side AND records.network = :network AND records.{at} >= :since AND {_MINE}"
        values = {"side": side.value, "network": network, "since": since, "cursor": cursor, "key_id": key_id}
        position = self._position(cursor, at) if cursor else None
        if position is not None:
            values["since"] = max(since, position)
            values["position"] = position
            condition += f" AND (records.{at} > :position OR records.id >= :cursor)"
        return self._select(condition, values, f"records.{at}, records.id", size(limit))

    def payments_of(self, network: str, metadata: str, since: int, limit: int, key_id: str = "") -> list[Deal]:
        """Return the payments that were asked for with this metadata, oldest first."""
        condition = (
            "records.side = 'payment' AND records.metadata = :metadata"
            f" AND records.network = :network AND records.created_at >= :since AND {_MINE}"
        )
        values = {"metadata": metadata, "network": network, "since": since, "key_id": key_id}
        return self._select(condition, values, "records.number", limit)

    def _select(self, condition: str, values: dict[str, Any], order: str, limit: int) -> list[Deal]:
        """Return the deals of the matching lines of `records`.  `condition` and `order` are SQL of ours."""
        sql = f"SELECT doc FROM records JOIN deals ON deals.id = records.deal WHERE {condition} ORDER BY {order}"
        rows = self._one(f"{sql} LIMIT :limit", {**values, "limit": limit}).fetchall()
        return [deals.load(row[0]) for row in rows]

    def _position(self, record_id: str, column: str) -> int | None:
        """Return a number of one line of `records`, to continue a list behind it."""
        row = self._one(f"SELECT {column} FROM records WHERE id = ?", (record_id,)).fetchone()
        return row[0] if row else None

    def count(self, side: Side, network: str, key_id: str = "") -> int:
        """Return how many records there are."""
        sql = "SELECT COUNT(*) FROM records WHERE side = ? AND network = ? AND ? IN ('', key_id)"
        number: int = self._one(sql, (side.value, network, key_id)).fetchone()[0]
        return number

    # -- keys and wallets

    def key(self, token: str) -> Key | None:
        """Return the key of a token."""
        return self._key("token_hash", digest(token))

    def key_by_id(self, key_id: str) -> Key | None:
        """Return a key."""
        return self._key("id", key_id)

    def _key(self, column: str, value: str) -> Key | None:
        row = self._one(f"SELECT doc FROM api_keys WHERE {column} = ?", (value,)).fetchone()
        return Key(**json.loads(row[0])) if row else None

    def all_keys(self) -> list[Key]:
        """Return all keys, oldest first."""
        return [Key(**json.loads(row[0])) for row in self._one("SELECT doc FROM api_keys ORDER BY rowid").fetchall()]

    def save_key(self, key: Key, token: str = "") -> None:
        """Keep a key; a new one comes with its token, and one that comes with another has that."""
        doc = json.dumps(asdict(key))
        if token:
            sql = (
                "INSERT INTO api_keys (id, token_hash, doc) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET token_hash = excluded.token_hash, doc = excluded.doc"
            )
            self._one(sql, (key.id, digest(token), doc))
        else:
            self._one("UPDATE api_keys SET doc = ? WHERE id = ?", (doc, key.id))

    def add_wallet(self, wallet: Wallet, kind: str, key_id: str) -> None:
        """Keep a wallet."""
        sql = "INSERT INTO wallets (vkey, network, kind, key_id, id, seed) VALUES (?, ?, ?, ?, ?, ?)"
        self._one(sql, (wallet.vkey, wallet.network, kind, key_id, deals.new_id(), wallet.seed))

    def wallet(self, vkey: str) -> Held | None:
        """Return a wallet, its kind and whose it is."""
        row = self._one("SELECT seed, network, kind, key_id FROM wallets WHERE vkey = ?", (vkey,)).fetchone()
        return (Wallet(seed=row[0], network=row[1]), row[2], row[3]) if row else None

    def wallets(self, network: str, kind: str, key_id: str = "") -> list[Wallet]:
        """Return wallets of a network, oldest first; of one key, or of all."""
        sql = "SELECT seed, network FROM wallets WHERE network = ? AND kind = ? AND ? IN ('', key_id) ORDER BY rowid"
        return [Wallet(seed=row[0], network=row[1]) for row in self._one(sql, (network, kind, key_id)).fetchall()]

    # -- agents

    def agent(self, network: str, agent_identifier: str) -> Agent | None:
        """Return an entry of the registry."""
        sql = "SELECT doc FROM agents WHERE network = ? AND agent_identifier = ?"
        row = self._one(sql, (network, agent_identifier.lower())).fetchone()
        return _agent(row[0]) if row else None

    def agents(self, network: str, before: str, limit: int) -> list[Agent]:
        """Return entries, newest first, from the one with id `before` on."""
        row = self._one("SELECT number FROM agents WHERE id = ?", (before,)).fetchone()
        sql = "SELECT doc FROM agents WHERE network = ? AND number <= ? ORDER BY number DESC LIMIT ?"
        rows = self._one(sql, (network, row[0] if row else 2**62, limit)).fetchall()
        return [_agent(item[0]) for item in rows]

    def agent_by_id(self, agent_id: str) -> Agent | None:
        """Return an entry of the registry by its own id."""
        row = self._one("SELECT doc FROM agents WHERE id = ?", (agent_id,)).fetchone()
        return _agent(row[0]) if row else None

    def save_agent(self, agent: Agent) -> None:
        """Keep an entry."""
        agent.updated_at = self.now
        self._one(
            "INSERT INTO agents (id, agent_identifier, network, doc) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET doc = excluded.doc",
            (agent.id, agent.agent_identifier.lower(), agent.network, json.dumps(asdict(agent))),
        )

    def delete_agent(self, agent_id: str) -> None:
        """Forget an entry."""
        self._one("DELETE FROM agents WHERE id = ?", (agent_id,))

    # -- books.Books

    def balance(self, account: str, unit: str) -> int:
        """Return what an account holds."""
        row = self._one("SELECT amount FROM balances WHERE account = ? AND unit = ?", (account, unit)).fetchone()
        return int(row[0]) if row else 0

    def move(self, source: str, target: str, unit: str, amount: int, why: str) -> None:
        """Move money, and write down why."""
        books.check_move(source, amount, self.balance(source, unit))
        sql = "INSERT INTO postings (at, source, target, unit, amount, why) VALUES (?, ?, ?, ?, ?, ?)"
        self._one(sql, (self.now, source, target, unit, str(amount), why))
        for account, change in ((source, -amount), (target, amount)):
            left = self.balance(account, unit) + change
            if left:
                sql = (
                    "INSERT INTO balances (account, unit, amount) VALUES (?, ?, ?)"
                    " ON CONFLICT (account, unit) DO UPDATE SET amount = excluded.amount"
                )
                self._one(sql, (account, unit, str(left)))
            else:  # every deal has accounts of its own: do not keep them for ever
                self._one("DELETE FROM balances WHERE account = ? AND unit = ?", (account, unit))

    def balances(self) -> list[tuple[str, str, int]]:
        """Return every account that is not empty: account, unit, amount."""
        rows = self._one("SELECT account, unit, amount FROM balances ORDER BY account, unit").fetchall()
        return [(row[0], row[1], int(row[2])) for row in rows]

    def holdings(self, vkey: str) -> Funds:
        """Return what a wallet holds."""
        rows = self._one("SELECT amount, unit FROM balances WHERE account = ?", (books.wallet(vkey),)).fetchall()
        return [(int(row[0]), row[1]) for row in rows]

    def hand_out(self, network: str, vkey: str, funds: Funds) -> None:
        """Give a wallet imitated money."""
        books.move_all(self, f"genesis:{network}", books.wallet(vkey), funds, "handed out")


def _agent(doc: str) -> Agent:
    values = json.loads(doc)
    values["pricing"] = [(int(amount), str(unit)) for amount, unit in values["pricing"]]
    return Agent(**values)
