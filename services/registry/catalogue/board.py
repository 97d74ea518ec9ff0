"""The catalogue as a whole, kept up to date for those who watch it.

One task looks again whenever it is told of a change.  Each watcher remembers what it was sent; what it gets next is the
difference, however much has happened in between.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from meshkit.bus import Bus
from services.registry import documents
from services.registry.domain import flows
from services.registry.domain.flows import Changes, Flow
from services.registry.ports.apps import APPS
from services.registry.ports.exposes import EXPOSES, ExposeStore
from services.registry.standings import Standings

_BOARD = "board"
"""What is published when the board has changed."""
_WHOLE_S = 5.0
"""How long a change may go unseen whose news was lost."""
_GAP_S = 0.05
"""Between two looks: a boot changes an expose several times within moments."""


class Board:
    """Every flow of enabled exposes, by name."""

    def __init__(self, store: ExposeStore, apps: Standings, bus: Bus, *, heartbeat_s: float = 10.0) -> None:
        self._store = store
        self._apps = apps
        self._bus = bus
        self._heartbeat_s = heartbeat_s
        self._looking = asyncio.Lock()
        self._flows: Mapping[str, Flow] = {}

    async def run(self) -> None:
        """Keep looking until the bus is closed."""
        async with self._bus.subscribe(EXPOSES, APPS) as waker:
            while not waker.closed:
                started = time.monotonic()
                await self._look()
                took_s = time.monotonic() - started
                await asyncio.sleep(max(_GAP_S, took_s))  # of a catalogue that takes long, at most every other moment
                await waker.wait(_WHOLE_S)

    async def watch(self) -> AsyncIterator[Changes]:
        """Yield the whole catalogue, then what changes; an empty change when nothing has for a while.

        Ends when the bus is closed.
        """
        async with self._bus.subscribe(_BOARD) as waker:
            await self._look()  # what was saved before we were asked must be in it
            known = self._flows
            yield flows.changes({}, known)
            while not waker.closed:
                heard = await waker.wait(self._heartbeat_s)
                current = self._flows
                changes = flows.changes(known, current)
                if changes or not heard:
                    yield changes
                known = current

    async def _look(self) -> None:
        """Look at the apps and the exposes."""
        async with self._looking:
            snapshot = await self._apps.current()
            exposes = await self._store.select()
            current = await asyncio.to_thread(flows.known, exposes, snapshot, documents.about)  # texts may be long
            if current != self._flows:
                self._flows = current
                await self._bus.publish(_BOARD)
