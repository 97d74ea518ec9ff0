"""How much an owner keeps in files: measured now and then, and counted in between."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable

from meshkit.errors import Exhausted
from meshkit.tasks import OneAtATime
from services.runner.domain import files
from services.runner.ports.files import FileStore

_FRESH_S = 60.0
"""How long a measure is good; other replicas write and delete, too."""
_REFUSED_S = 3.0
"""How long it is remembered that there was no room: a measure walks through all that an owner has."""
_OWNERS_MAX = 10_000
_RETRY_S = 60.0


@dataclasses.dataclass(slots=True)
class _Measure:
    """What an owner keeps."""

    bytes_count: int
    at: float
    """When it was measured; seconds of a clock that goes on."""
    refused_until: float = 0.0
    """Until when it is not measured again for who would be refused."""


class Usage:
    """The share that every owner has of what is kept in files."""

    def __init__(self, store: FileStore, owner_max: int, now: Callable[[], float] = time.monotonic) -> None:
        """`owner_max` is in bytes; 0 is for any."""
        self._store = store
        self._max = owner_max
        self._now = now
        self._known: dict[str, _Measure] = {}
        self._under_way: collections.Counter[str] = collections.Counter()
        """Bytes that owners may write and have not written yet: no measure finds them."""
        self._landed: dict[str, int] = {}
        """Bytes that were written while an owner was measured: the measure may have been there before."""
        self._measuring = OneAtATime()

    @contextlib.asynccontextmanager
    async def taking(self, owner: str, more: int) -> AsyncIterator[None]:
        """Let an owner write so many bytes more for the length of the block; they are kept if it does not raise.

        Raises `Exhausted` if there is no room for them, beside what others write at the same time.
        """
        if not self._max:
            yield
            return
        if not self._is_answered(owner, more):
            async with self._measuring(owner):
                if not self._is_answered(owner, more):  # else whoever was here before has measured
                    await self._measure(owner)
        if not self._fits(owner, more):
            self._refuse(owner)
        self._under_way[owner] += more
        try:
            yield
            self._land(owner, more)
        finally:
            self._under_way[owner] -= more
            if not self._under_way[owner]:
                del self._under_way[owner]

    def give(self, owner: str, less: int) -> None:
        """Count that an owner keeps so many bytes less."""
        if (known := self._known.get(owner)) is not None:
            known.bytes_count = max(0, known.bytes_count - less)

    def forget(self, owner: str) -> None:
        """Know that much has changed: measure when it matters."""
        self._known.pop(owner, None)

    def _is_answered(self, owner: str, more: int) -> bool:
        """Return whether there need be no measure, to say that there is room or that there is none."""
        known, now = self._known.get(owner), self._now()
        if known is None or known.at + _FRESH_S < now:
            return False
        # Measured before one is refused, too: another replica may have deleted something.
        return now < known.refused_until or self._fits(owner, more)

    def _fits(self, owner: str, more: int) -> bool:
        known = self._known.get(owner)
        kept = known.bytes_count if known is not None else 0
        return kept + self._under_way[owner] + more <= self._max

    def _refuse(self, owner: str) -> None:
        now = self._now()
        if (known := self._known.get(owner)) is not None and known.refused_until <= now:
            known.refused_until = now + _REFUSED_S
        raise Exhausted(
            f"an owner may keep {self._max:,} bytes of files: delete jobs or files that are not needed any more, "
            "or have the operator raise AGENTMESH_FILE_BYTES_PER_OWNER",
            retry_after_s=_RETRY_S,
            limit=str(self._max),
        )

    def _land(self, owner: str, more: int) -> None:
        self.give(owner, -more)
        if owner in self._landed:
            self._landed[owner] += more

    async def _measure(self, owner: str) -> None:
        self._landed[owner] = 0
        try:
            folders = (files.folder_of_owner(owner), files.uploads_of(owner))
            bytes_count = sum([await self._store.size(folder) for folder in folders])
        finally:
            landed = self._landed.pop(owner)
        if len(self._known) >= _OWNERS_MAX:
            self._known.clear()
        self._known[owner] = _Measure(bytes_count + landed, self._now())
