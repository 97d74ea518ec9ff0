"""What is left of what was deleted: gone for whoever reads, at once, and swept in slices that others write between.

Millions of rows in one write would keep every other write waiting for seconds.  What a store has to sweep is a row of
its table `remains` until nothing is left: who is killed meanwhile goes on after the next start.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable

from meshkit.errors import Unavailable
from meshkit.tasks import Apart

ROWS_MAX = 1000
BYTES_MAX = 4 * 1024 * 1024
"""Of one slice: a few milliseconds.  One row may have more."""
JOBS, CONVERSATIONS, WEBHOOKS = "jobs", "conversations", "webhooks"
Left = tuple[str, str]
"""The kind of what was deleted, and its name."""
FIRST: Left = ("", "")
"""Before all that may be left."""
_PAUSE_S = 0.01
_LOOK_AGAIN_S = 60.0
_RETRY_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows that go with what is deleted."""

    name: str
    whose: str
    """The column that names what they belong to."""
    order: str
    """The column in whose order they are swept: by an index, which begins with `whose`."""
    large: tuple[str, ...]
    """The columns that may be large."""


TABLES = {
    JOBS: (
        Table(name="events", whose="job_id", order="seq", large=("payload", "detail", "sealed")),
        Table(
            name="locks",
            whose="job_id",
            order="lock_id",
            large=("elements_json", "data_json", "result_json", "sealed"),
        ),
    ),
    CONVERSATIONS: (Table(name="messages", whose="conversation_id", order="number", large=("content",)),),
    WEBHOOKS: (Table(name="deliveries", whose="webhook_id", order="delivery_id", large=("payload",)),),
}
"""By the kind of what is deleted."""


def kept(kind: str, column: str) -> str:
    """Return the condition that what a column names was not deleted: for tables that hold it in their rows alone."""
    return f"{column} NOT IN (SELECT name FROM remains WHERE kind = '{kind}')"


def there(kind: str, value: str) -> str:
    """Return the condition that what a value of a statement names was not deleted: asked once, and not for each row."""
    return f"NOT EXISTS (SELECT 1 FROM remains WHERE kind = '{kind}' AND name = {value})"


WAS_THERE = (
    "SELECT 1 FROM deleted_jobs WHERE job_id = {job_id} "
    f"UNION ALL SELECT 1 FROM remains WHERE kind = '{JOBS}' AND name = {{job_id}}"
)
"""Finds a job that was deleted: one that took its id would be swept in its place.

Its remains may be there for longer than it is remembered.
"""


class Sweeper:
    """Sweeps what is left, when there is something."""

    def __init__(
        self,
        behind: Callable[[Left], Awaitable[Left | None]],
        sweep: Callable[[Left], Awaitable[bool]],
        *,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`behind` returns the next that is left, in order; `sweep` takes a slice of it, and says whether it has more.

        `pause_s` pass between two.
        """
        self._behind = behind
        self._sweep = sweep
        self._pause_s = pause_s
        self._apart = Apart("sweeper")
        self._is_left = asyncio.Event()

    def left(self) -> None:
        """Note that there is something to do."""
        self._is_left.set()

    async def run(self) -> None:
        """Sweep until cancelled; from time to time what another replica has left, too."""
        while True:
            self._is_left.clear()
            try:
                await self.settle()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._is_left.wait()

    async def settle(self) -> None:
        """Sweep all that is left, but for what cannot be: that stays for the next time.  Raises `Unavailable`."""
        left = await self._behind(FIRST)
        while left is not None:
            is_more = False
            with self._apart("/".join(left)):
                is_more = await self._sweep(left)
            if not is_more:
                left = await self._behind(left)
            await asyncio.sleep(self._pause_s)
