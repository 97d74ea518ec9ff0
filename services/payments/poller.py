"""Reads a provider's changes once each, in order, whatever page they came on.

A page begins with what the last one ended with , and a poll reaches back a little, because a change may
become visible after a later one.  So what was seen is remembered for as long as it can come again.
"""

from collections.abc import Awaitable, Callable

import structlog

from services.payments.domain import MINUTE_MS, Escrow
from services.payments.ports.provider import PAGE, Provider
from services.payments.ports.store import PaymentStore

log = structlog.get_logger()
_PAGES_MAX = 1000


class Poller:
    """The cursor of one network."""

    def __init__(self, network: str, provider: Provider, store: PaymentStore, overlap_ms: int) -> None:
        self._network = network
        self._provider = provider
        self._store = store
        self._overlap_ms = overlap_ms
        self._cursor = f"{network}/{provider.name}"
        self._since = 0
        self._begun = False
        self._seen: dict[str, Escrow] = {}

    async def poll(self, take: Callable[[Escrow], Awaitable[None]]) -> None:
        """Give `take` everything that has changed since the last poll.  Raises what the provider raises."""
        if not self._begun:
            # A provider whose clock has been set back (a new ledger, say) must not be asked about its future only.
            self._since = min(await self._store.cursor(self._cursor), await self._provider.time())
            self._begun = True
        if not self._since:
            self._since = await self._oldest()
        start = self._since
        since, cursor = max(0, start - self._overlap_ms), ""
        for _ in range(_PAGES_MAX):
            page = await self._provider.changes(since, cursor)
            for escrow in page:
                if self._seen.get(escrow.id) != escrow:  # by more than its time: two changes may share a millisecond
                    await take(escrow)
                    self._seen[escrow.id] = escrow
                    self._since = max(self._since, escrow.changed_at)
            if len(page) < PAGE:
                break
            last = page[-1]
            if last.changed_at > since:
                since, cursor = last.changed_at, ""
            elif cursor != last.id:
                cursor = last.id  # more than a page at one moment
            else:
                log.error("changes do not go on", network=self._network, since=since)
                break
        floor = self._since - self._overlap_ms
        self._seen = {key: escrow for key, escrow in self._seen.items() if escrow.changed_at >= floor}
        if self._since > start:
            await self._store.save_cursor(self._cursor, self._since)

    async def _oldest(self) -> int:
        """Return from when on the first poll ever must look."""
        open_now = await self._store.unended(self._network, limit=1)
        return max(0, open_now[0].created_at - MINUTE_MS) if open_now else 0
