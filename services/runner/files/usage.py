"""How much an owner keeps in files: measured now and then, and counted in between."""

import time
from collections.abc import Callable

from meshkit.errors import Exhausted
from services.runner.domain import files
from services.runner.ports.files import FileStore

_FRESH_S = 60.0
"""How long a measure is good; other replicas write and delete, too."""
_OWNERS_MAX = 10_000
_RETRY_S = 60.0


class Usage:
    """The share that every owner has of what is kept in files."""

    def __init__(self, store: FileStore, owner_max: int, now: Callable[[], float] = time.monotonic) -> None:
        """`owner_max` is in bytes; 0 is for any."""
        self._store = store
        self._max = owner_max
        self._now = now
        self._known: dict[str, tuple[int, float]] = {}
        """Bytes of owners, and when they were measured."""

    async def take(self, owner: str, more: int) -> None:
        """Count that an owner keeps so many bytes more, or raise `Exhausted`."""
        if not self._max:
            return
        known = self._known.get(owner)
        if known is None or known[1] + _FRESH_S < self._now() or known[0] + more > self._max:
            await self._measure(owner)  # before one is refused, too: another replica may have deleted something
        if self._known[owner][0] + more > self._max:
            raise Exhausted(
                f"an owner may keep {self._max:,} bytes of files: delete jobs or files that are not needed any more, "
                "or have the operator raise AGENTMESH_FILE_BYTES_PER_OWNER",
                retry_after_s=_RETRY_S,
                limit=str(self._max),
            )
        self.give(owner, -more)

    def give(self, owner: str, less: int) -> None:
        """Count that an owner keeps so many bytes less."""
        if (known := self._known.get(owner)) is not None:
            self._known[owner] = (max(0, known[0] - less), known[1])

    def forget(self, owner: str) -> None:
        """Know that much has changed: measure when it matters."""
        self._known.pop(owner, None)

    async def _measure(self, owner: str) -> None:
        folders = (files.folder_of_owner(owner), files.uploads_of(owner))
        bytes_count = sum([await self._store.size(folder) for folder in folders])
        if len(self._known) >= _OWNERS_MAX:
            self._known.clear()
        self._known[owner] = (bytes_count, self._now())
