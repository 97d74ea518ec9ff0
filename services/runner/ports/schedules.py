"""Where schedules and their history are kept, and who owns them, as ports."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from meshkit.idempotency import Request
from services.runner.domain.schedules import Fired, Firing, Schedule

Rule = Callable[[Schedule, Sequence[Firing]], Fired]
"""Decides what becomes of a schedule, of which some firings are open (oldest first)."""


class TooManySchedules(Exception):
    """An owner has as many schedules as they may have."""


class ScheduleStore(Protocol):
    """Keeps schedules.  `tests/runner/stores/test_schedules.py` holds every one to this."""

    async def add(self, schedule: Schedule, request: Request | None, *, count_max: int | None = None) -> None:
        """Keep a new schedule.

        Raises `AlreadyExists` if `request` was made before, `TooManySchedules` if its owner has `count_max` already.
        """

    async def get(self, schedule_id: str) -> Schedule:
        """Return a schedule, or raise `NotFound`."""

    async def find(self, owner: str | None, target: str, before: str, limit: int) -> list[Schedule]:
        """Return schedules of `owner` or all, newest first: of `target`, older than the id `before`, if given.

        Fewer where they are too much for a page.
        """

    async def change(self, schedule_id: str, rule: Rule, request: Request | None = None) -> Fired:
        """Apply a rule to a schedule as it is, in one step: firings that it returns are added, or replaced by number.

        Of its history the last `FIRINGS_KEPT` stay.  Raises `NotFound`, `AlreadyExists` if `request` was made before,
        and what the rule raises; then nothing has changed.
        """

    async def delete(self, schedule_id: str) -> None:
        """Forget a schedule with its firings.  Raises `NotFound`."""

    async def due(self, before: float, limit: int) -> list[str]:
        """Return the ids of schedules that fire at or before a moment, the first to fire first."""

    async def next_due(self) -> float | None:
        """Return when a schedule fires next, or `None` if none does."""

    async def firing(self, schedule_id: str, number: int) -> Firing:
        """Return a firing, or raise `NotFound`."""

    async def firings(self, schedule_id: str, before: int, limit: int) -> list[Firing]:
        """Return firings of a schedule, the last first, with numbers below `before` (0: all)."""

    async def open_firings(self, schedule_id: str) -> list[Firing]:
        """Return those of a schedule of which something is to be done still, oldest first."""

    async def unsettled(self, before: float) -> list[str]:
        """Return the ids of schedules that have open firings of before a moment."""

    async def last_launched(self, schedule_id: str, before: int) -> Firing | None:
        """Return the last firing with a number below `before` that launched a job, or `None`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What a user may, as it is now."""

    operator: bool
    tier: str


class Owners(Protocol):
    """Knows users."""

    async def find(self, user: str) -> Owner | None:
        """Return what `users/{uuid}` may, or `None` if there is no such user or they are not active.

        Raises `Unavailable` if that cannot be told now.
        """
