"""The catalogue as a whole, kept up to date for those who watch it.

One task looks again whenever it is told of a change, and every second at where apps stand.  Each watcher remembers
what it was sent; what it gets next is the difference, however much has happened in between.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from services.registry import documents
from services.registry.domain import flows
from services.registry.domain.flows import Changes, Flow
from services.registry.domain.standings import Snapshot
from services.registry.news import News, told
from services.registry.ports.exposes import ExposeStore
from services.registry.standings import Standings

_GAP_S = 0.05
"""Between two looks: a boot changes an expose several times within moments."""


class Board:
    """Every flow of enabled exposes, by name."""

    def __init__(
        self, store: ExposeStore, apps: Standings, news: News, *, look_s: float = 1.0, heartbeat_s: float = 10.0
    ) -> None:
        """`news` tells of changes that the registry made; the runner's are seen within `look_s`."""
        self._store = store
        self._apps = apps
        self._news = news
        self._look_s = max(look_s, _GAP_S)
        self._heartbeat_s = heartbeat_s
        self._flows: Mapping[str, Flow] | None = None
        self._snapshot: Snapshot | None = None
        self._changed = News()
        self._closed = False

    async def run(self) -> None:
        """Keep looking, for ever."""
        anything = True
        while True:
            news = self._news.next()
            started = time.monotonic()
            await self._look(anything=anything)
            took_s = time.monotonic() - started
            await asyncio.sleep(max(_GAP_S, took_s))  # of a catalogue that takes long, at most every other moment
            anything = await told(news, self._look_s)

    async def watch(self) -> AsyncIterator[Changes]:
        """Yield the whole catalogue, then what changes; nothing (an empty one) when nothing has for a while.

        Ends when the board is closed.
        """
        known: Mapping[str, Flow] | None = None
        while not self._closed:
            news = self._changed.next()
            current = self._flows
            if current is not None:
                changes = flows.changes(known or {}, current)
                if changes or known is None:
                    yield changes
                known = current
            if not news.is_set() and not await told(news, self._heartbeat_s) and known is not None:
                yield Changes()

    def close(self) -> None:
        """Let the watchers go."""
        self._closed = True
        self._changed.tell()

    async def _look(self, *, anything: bool) -> None:
        """Look at the apps and, if they or `anything` else changed, at the exposes."""
        snapshot = await self._apps.current()
        if not anything and self._snapshot is not None and snapshot.same(self._snapshot):
            return
        exposes = await self._store.select()
        current = await asyncio.to_thread(flows.known, exposes, snapshot, documents.about)  # texts may be long
        self._snapshot = snapshot
        if current != self._flows:
            self._flows = current
            self._changed.tell()
