"""The provider that is the embedded ledger, in this process: the same port, without the wire."""

import contextlib
from collections.abc import Iterator

from meshkit.errors import MeshError
from services.payments.domain import Amount, Escrow, Terms
from services.payments.ledger.errors import LedgerError
from services.payments.ledger.ledger import Ledger
from services.payments.provider import PAGE, kind_of


class LedgerProvider:
    """The ledger's view of one network."""

    name = "ledger"

    def __init__(self, network: str, ledger: Ledger) -> None:
        self._network = network
        self._ledger = ledger

    def now(self) -> int:
        """Return the ledger's time, which tests may have set ahead."""
        return self._ledger.now()

    async def check(self) -> None:
        """Pass: it has opened."""

    async def price(self, agent_identifier: str) -> tuple[Amount, ...]:
        """See `Provider.price`."""
        with _as_provider():
            return self._ledger.price(self._network, agent_identifier)

    async def request(self, terms: Terms) -> Escrow:
        """See `Provider.request`."""
        with _as_provider():
            return await self._ledger.request(terms)

    async def find(self, job_id: str, since_ms: int) -> list[Escrow]:
        """See `Provider.find`."""
        with _as_provider():
            return await self._ledger.find(self._network, job_id, since_ms)

    async def resolve(self, blockchain_identifier: str) -> Escrow:
        """See `Provider.resolve`."""
        with _as_provider():
            return await self._ledger.resolve(self._network, blockchain_identifier)

    async def changes(self, since_ms: int, cursor: str) -> list[Escrow]:
        """See `Provider.changes`."""
        with _as_provider():
            return await self._ledger.changes(self._network, since_ms, cursor, PAGE)

    async def submit_result(self, blockchain_identifier: str, result_hash: str) -> None:
        """See `Provider.submit_result`."""
        with _as_provider():
            await self._ledger.submit_result(self._network, blockchain_identifier, result_hash)

    async def authorize_refund(self, blockchain_identifier: str) -> None:
        """See `Provider.authorize_refund`."""
        with _as_provider():
            await self._ledger.authorize_refund(self._network, blockchain_identifier)

    async def recover(self, blockchain_identifier: str, updated_at: int, *, retry: bool) -> None:
        """See `Provider.recover`."""
        with _as_provider():
            await self._ledger.recover(self._network, blockchain_identifier, updated_at, retry=retry)


@contextlib.contextmanager
def _as_provider() -> Iterator[None]:
    """Re-raise what the ledger refuses as the class that its HTTP status would have over the wire."""
    try:
        yield
    except LedgerError as error:
        status = error.metadata.get("http", "")
        kind: type[MeshError] = kind_of(int(status) if status.isdigit() else error.status)
        raise kind(str(error)) from None
