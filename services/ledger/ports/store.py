"""Where the ledger is kept: a store of transactions, and what one transaction can read and write.

The rules of the ledger are functions of a `Session`, run by the store one after the other: two calls never see each
other half done, and one that raises has changed nothing.  `tests/ledger/stores/test_store.py` holds every store to
this.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from meshkit.idempotency import Request
from meshkit.masumi.identifiers import Wallet
from services.ledger.domain.accounts import Agent, Key
from services.ledger.domain.actions import Side
from services.ledger.domain.books import Books
from services.ledger.domain.clock import Clock
from services.ledger.domain.deals import Deal, Funds
from services.ledger.domain.options import Options
from services.ledger.domain.queries import Changed, Filter

T = TypeVar("T")
Held = tuple[Wallet, str, str]
"""A wallet, its kind, and the id of the key whose it is."""


class Session(Books, Protocol):
    """The ledger within one transaction, at one moment of its clock."""

    options: Options
    clock: Clock
    now: int
    """In ms since 1970."""

    def set_clock(self, clock: Clock) -> None:
        """Go by another clock from now on."""

    # -- requests that may be repeated

    def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out, if it is remembered."""

    def keep_request(self, request: Request) -> None:
        """Keep a request with what it has made."""

    # -- deals

    def deal(self, blockchain_identifier: str, network: str = "") -> Deal | None:
        """Return a deal of a network (empty: of any), or None."""

    def due_deal(self, until: int) -> tuple[Deal, int] | None:
        """Return the deal that moves next, and when; None if that is after `until`."""

    def next_due(self) -> int | None:
        """Return when a deal moves next by itself."""

    def last_change(self) -> int:
        """Return the latest moment at which a deal has changed; 0 if there is none."""

    def save(self, deal: Deal) -> None:
        """Keep the deal as it is now; the times of what has changed are set."""

    def records(self, side: Side, network: str, cursor: str, limit: int, wanted: Filter) -> list[Deal]:
        """Return records, newest first; `cursor` is the id of the first one."""

    def changes(
        self, side: Side, network: str, since: int, cursor: str, limit: int, by: Changed, key_id: str = ""
    ) -> list[Deal]:
        """Return what changed at or after `since`, oldest change first, then by id; `cursor` is the id of the first.

        `key_id` is whose records; empty for everybody's, here and in what follows.
        """

    def payments_of(self, network: str, metadata: str, since: int, limit: int, key_id: str = "") -> list[Deal]:
        """Return the payments that were asked for with this metadata at or after `since`, oldest first."""

    def count(self, side: Side, network: str, key_id: str = "") -> int:
        """Return how many records there are."""

    # -- keys and wallets

    def key(self, token: str) -> Key | None:
        """Return the key of a token."""

    def key_by_id(self, key_id: str) -> Key | None:
        """Return a key."""

    def all_keys(self) -> list[Key]:
        """Return all keys, oldest first."""

    def save_key(self, key: Key, token: str = "") -> None:
        """Keep a key; a new one comes with its token, and one that comes with another has that.

        Of a token only the digest is kept.
        """

    def add_wallet(self, wallet: Wallet, kind: str, key_id: str) -> None:
        """Keep a wallet."""

    def wallet(self, vkey: str) -> Held | None:
        """Return a wallet, its kind and whose it is."""

    def wallets(self, network: str, kind: str, key_id: str = "") -> list[Wallet]:
        """Return wallets of a network, oldest first; of one key, or of all."""

    # -- agents

    def agent(self, network: str, agent_identifier: str) -> Agent | None:
        """Return an entry of the registry."""

    def agents(self, network: str, before: str, limit: int) -> list[Agent]:
        """Return entries, newest first, from the one with id `before` on."""

    def agent_by_id(self, agent_id: str) -> Agent | None:
        """Return an entry of the registry by its own id."""

    def save_agent(self, agent: Agent) -> None:
        """Keep an entry; `updated_at` is set."""

    def delete_agent(self, agent_id: str) -> None:
        """Forget an entry."""

    # -- money, beyond `Books`

    def balances(self) -> list[tuple[str, str, int]]:
        """Return every account that is not empty: account, unit, amount, by account and unit."""

    def holdings(self, vkey: str) -> Funds:
        """Return what a wallet holds."""

    def hand_out(self, network: str, vkey: str, funds: Funds) -> None:
        """Give a wallet imitated money."""


class LedgerStore(Protocol):
    """Runs transactions on a ledger."""

    async def read(self, work: Callable[[Session], T]) -> T:
        """Run work that only reads, and shortly."""

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run work alone, and return its value once it is on disk; if it raises, nothing has changed."""
