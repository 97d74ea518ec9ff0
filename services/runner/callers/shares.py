"""The share that every owner has: of jobs that have not ended, and of bytes that are kept."""

import collections

from meshkit.errors import Exhausted
from services.runner.ports.store import JobStore

_RETRY_S = 10.0
"""When who has no share left may try again."""
_RETRY_STORED_S = 60.0
"""The same for who has to delete something first."""
_MARGIN = 10
"""What runs may go on until a tenth more is kept: a job that was let in may end."""
_LOOK_BYTES_MAX = 1024 * 1024
"""So much is taken of an owner between two looks."""


class Shares:
    """Every owner has the same."""

    def __init__(self, store: JobStore, *, open_max: int = 0, stored_max: int = 0) -> None:
        """`open_max` is a number of jobs, `stored_max` is in bytes; 0 is for any."""
        self.open_max = open_max or None
        self.stored_max = stored_max or None
        self._store = store
        self._look_bytes = min(_LOOK_BYTES_MAX, stored_max // (2 * _MARGIN))
        self._taken: collections.Counter[str] = collections.Counter()
        """Bytes of owners since they were looked at."""

    async def check_stored(self, owner: str) -> None:
        """Raise `Exhausted` if an owner keeps as much as they may."""
        if self.stored_max is not None and await self._store.stored_bytes(owner) >= self.stored_max:
            raise self.too_much_stored()

    async def is_beyond(self, owner: str, taken_bytes: int) -> bool:
        """Return whether an owner, of whom so much more was kept, keeps so much that what runs is to be ended."""
        if self.stored_max is None:
            return False
        self._taken[owner] += taken_bytes
        if self._taken[owner] < self._look_bytes:
            return False
        del self._taken[owner]
        return await self._store.stored_bytes(owner) > self.stored_max + self.stored_max // _MARGIN

    def too_many_open(self) -> Exhausted:
        """Return the error for who has as many jobs as they may."""
        return Exhausted(
            f"an owner may have {self.open_max} jobs that have not ended: wait until some have, or cancel some",
            retry_after_s=_RETRY_S,
            limit=str(self.open_max),
        )

    def too_much_stored(self) -> Exhausted:
        """Return the error for who keeps as much as they may."""
        return Exhausted(self.words(), retry_after_s=_RETRY_STORED_S, limit=str(self.stored_max))

    def words(self) -> str:
        """Return what is wrong when too much is kept, and what to do."""
        return (
            f"an owner may have {self.stored_max:,} bytes of jobs, logs and memory kept: delete jobs that are not "
            "needed any more, or have the operator raise AGENTMESH_STORED_BYTES_PER_OWNER"
        )
