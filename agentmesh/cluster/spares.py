"""Actors that have a nursery ready before anybody knows for which host.

Ray takes a second or more to make an actor, and a nursery takes as long to import what apps need; a host that is
forked from one that is there starts as fast as on one machine.  Only a host that asks for no resource and no
environment of its own can have one: what Ray has reserved or installed for an actor is settled when it is made.

On a cluster of one node hosts share such a nursery, as they share the one of a machine without Ray.  On one of several
each has its own, that Ray may spread them.
"""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ray

_KEEP_S = 20.0
"""How often they are told to wait on, and looked at."""
_ASK_S = 30.0
_QUIET_S = 1.0
"""How long the next is not made: the app whose host has taken one is being loaded."""


class Unmade(Exception):
    """One cannot be made now."""


@dataclasses.dataclass(eq=False, slots=True)
class Spare:
    """An actor that is ready for hosts."""

    actor: Any
    room: int
    """How many it takes yet."""
    is_shared: bool


class Spares:
    """As many as are wanted, made one after the other."""

    def __init__(
        self,
        count: int,
        make: Callable[[], Awaitable[Spare]],
        end: Callable[[Any], None],
        tell: Callable[[int], None],
    ) -> None:
        """`make` makes one or raises `Unmade`, `end` ends an actor; `tell` hears for how many hosts there is room."""
        self._count = count
        self._make = make
        self._end = end
        self._tell = tell
        self._ready: list[Spare] = []
        self._making: asyncio.Future[None] | None = None
        self._taken = asyncio.Event()

    async def keep(self) -> None:
        """Have them ready until cancelled."""
        while self._count:
            for spare in list(self._ready):
                await self._look_at(spare)
            while len(self._ready) < self._count and await self._make_one():
                pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KEEP_S):
                    await self._taken.wait()
                    await asyncio.sleep(_QUIET_S)
            self._taken.clear()

    async def _look_at(self, spare: Spare) -> None:
        try:
            if spare.is_shared and len(await asyncio.to_thread(nodes)) > 1:
                self.drop(spare)  # its hosts go on; it ends when they have
                return
            async with asyncio.timeout(_ASK_S):
                await spare.actor.keep.remote()
        except (ray.exceptions.RayError, TimeoutError):
            if spare in self._ready:  # nobody has taken it meanwhile
                self.drop(spare)
                self._end(spare.actor)

    async def _make_one(self) -> bool:
        self._making = asyncio.get_running_loop().create_future()
        try:
            self._ready.append(await self._make())
            self._say()
        except Unmade as why:
            print(f"cluster: no host can be had ready: {why}", file=sys.stderr)
            return False
        finally:
            self._making.set_result(None)
            self._making = None
        return True

    async def take(self) -> Spare | None:
        """Return one that has room, or will have before another could be made; None if there is none."""
        if not self._ready and self._making is not None:
            await asyncio.shield(self._making)
        if not self._ready:
            return None
        spare = self._ready[0]
        spare.room -= 1
        if not spare.room:
            self.drop(spare)
            self._taken.set()
        self._say()
        return spare

    def give_back(self, actor: Any) -> None:
        """A host of this actor has ended."""
        for spare in self._ready:
            if spare.actor == actor:
                spare.room += 1
        self._say()

    def drop(self, spare: Spare) -> None:
        """Give it to no further host."""
        with contextlib.suppress(ValueError):
            self._ready.remove(spare)
        self._taken.set()
        self._say()

    def _say(self) -> None:
        self._tell(sum(spare.room for spare in self._ready))


def nodes() -> list[dict[str, Any]]:
    """Return the nodes that live, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]
