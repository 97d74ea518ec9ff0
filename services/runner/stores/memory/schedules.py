"""Schedules in the process's memory: the twin of `stores.schedules`."""

import collections

from meshkit import paging
from meshkit.errors import AlreadyExists, NotFound
from meshkit.idempotency import Request
from services.runner.domain.schedules import FIRINGS_KEPT, OPEN, Fired, Firing, FiringState, Schedule
from services.runner.ports.schedules import Rule, TooManySchedules
from services.runner.stores.memory.forgetful import Note

_SCHEDULE_BYTES = 1000


class MemorySchedules:
    """A `ScheduleStore`."""

    def __init__(self, note: Note, stored: collections.Counter[str]) -> None:
        """`stored` is how many bytes are kept of an owner."""
        self._note = note
        self._stored = stored
        self._schedules: dict[str, Schedule] = {}
        self._firings: dict[str, dict[int, Firing]] = {}

    async def add(self, schedule: Schedule, request: Request | None, *, count_max: int | None = None) -> None:
        """As `ScheduleStore.add`."""
        owned = sum(each.owner == schedule.owner for each in self._schedules.values())
        if count_max is not None and owned >= count_max:
            raise TooManySchedules
        if schedule.schedule_id in self._schedules:
            raise AlreadyExists("schedule exists", resource=schedule.name)
        self._note(request, schedule.created_at)
        self._schedules[schedule.schedule_id] = schedule
        self._firings[schedule.schedule_id] = {}
        self._stored[schedule.owner] += _bytes(schedule)

    async def get(self, schedule_id: str) -> Schedule:
        """As `ScheduleStore.get`."""
        try:
            return self._schedules[schedule_id]
        except KeyError:
            raise NotFound("schedule not found", resource=f"schedules/{schedule_id}") from None

    async def find(self, owner: str | None, target: str, before: str, limit: int) -> list[Schedule]:
        """As `ScheduleStore.find`."""
        found = [
            each
            for schedule_id, each in sorted(self._schedules.items(), reverse=True)
            if owner in (None, each.owner) and target in ("", each.target) and (not before or schedule_id < before)
        ]
        return list(paging.until_full(found[:limit]))

    async def change(self, schedule_id: str, rule: Rule, request: Request | None = None) -> Fired:
        """As `ScheduleStore.change`."""
        before = await self.get(schedule_id)
        fired = rule(before, await self.open_firings(schedule_id))
        self._note(request, fired.schedule.updated_at)
        self._schedules[schedule_id] = fired.schedule
        self._stored[before.owner] += _bytes(fired.schedule) - _bytes(before)
        kept = {**self._firings[schedule_id], **{each.number: each for each in fired.firings}}
        oldest = fired.schedule.firing_count - FIRINGS_KEPT
        self._firings[schedule_id] = {
            number: each for number, each in kept.items() if number > oldest or each.state in OPEN
        }
        return fired

    async def delete(self, schedule_id: str) -> None:
        """As `ScheduleStore.delete`."""
        gone = await self.get(schedule_id)
        self._stored[gone.owner] -= _bytes(gone)
        del self._schedules[schedule_id], self._firings[schedule_id]

    async def due(self, before: float, limit: int) -> list[str]:
        """As `ScheduleStore.due`."""
        found = sorted((each.next_at, each.schedule_id) for each in self._schedules.values() if each.next_at)
        return [schedule_id for at, schedule_id in found if at <= before][:limit]

    async def next_due(self) -> float | None:
        """As `ScheduleStore.next_due`."""
        return min((each.next_at for each in self._schedules.values() if each.next_at), default=None)

    async def firing(self, schedule_id: str, number: int) -> Firing:
        """As `ScheduleStore.firing`."""
        try:
            return self._firings[schedule_id][number]
        except KeyError:
            raise NotFound("firing not found", resource=f"schedules/{schedule_id}/firings/{number}") from None

    async def firings(self, schedule_id: str, before: int, limit: int) -> list[Firing]:
        """As `ScheduleStore.firings`."""
        found = sorted(self._firings.get(schedule_id, {}).items(), reverse=True)
        return [each for number, each in found if not before or number < before][:limit]

    async def open_firings(self, schedule_id: str) -> list[Firing]:
        """As `ScheduleStore.open_firings`."""
        found = sorted(self._firings.get(schedule_id, {}).items())
        return [each for _, each in found if each.state in OPEN]

    async def unsettled(self, before: float) -> list[str]:
        """As `ScheduleStore.unsettled`."""
        return sorted(
            schedule_id
            for schedule_id, firings in self._firings.items()
            if any(each.state in OPEN and each.at <= before for each in firings.values())
        )

    async def last_launched(self, schedule_id: str, before: int) -> Firing | None:
        """As `ScheduleStore.last_launched`."""
        for firing in await self.firings(schedule_id, before, FIRINGS_KEPT):
            if firing.state == FiringState.LAUNCHED:
                return firing
        return None


def _bytes(schedule: Schedule) -> int:
    return _SCHEDULE_BYTES + len(schedule.inputs_json.encode("utf-8", "surrogatepass")) + len(schedule.sealed)
