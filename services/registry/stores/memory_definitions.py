"""Definitions in memory, for as long as the process lives."""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from meshkit import clock
from meshkit.clock import Now
from meshkit.idempotency import MemoryRequests, Request
from services.registry import definition_rows
from services.registry.domain.agents import Agent
from services.registry.domain.crews import Crew
from services.registry.domain.records import ARCHIVED, Kind, Record, taken
from services.registry.domain.taskdefs import TaskDef
from services.registry.ports.definitions import PAGE_BYTES_MAX, Transaction

R = TypeVar("R", bound=Record)
T = TypeVar("T")


@dataclasses.dataclass
class _Tables:
    records: dict[tuple[Kind, str], Record] = dataclasses.field(default_factory=dict)
    secrets: dict[tuple[str, str], bytes] = dataclasses.field(default_factory=dict)
    requests: MemoryRequests = dataclasses.field(default_factory=MemoryRequests)

    def copy(self) -> "_Tables":
        return _Tables(dict(self.records), dict(self.secrets), self.requests.copy())


class MemoryDefinitions:
    """A store in memory; a write works on a copy, which takes the place of the original if nothing was raised."""

    def __init__(self, now: Now = clock.now) -> None:
        self._now = now
        self._tables = _Tables()

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return a request that has been carried out."""
        return self._tables.requests.find(owner, request_id)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Return what `work` makes of the definitions as they are."""
        return work(_Transaction(self._tables, self._now))

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, and keep its changes unless it raises."""
        tables = self._tables.copy()
        result = work(_Transaction(tables, self._now))
        self._tables = tables
        return result


class _Transaction:
    def __init__(self, tables: _Tables, now: Now) -> None:
        self._tables = tables
        self._now = now

    def find(self, kind: type[R], record_id: str, owner: str | None) -> R | None:
        found = self._tables.records.get((kind.kind, record_id))
        return found if isinstance(found, kind) and owner in (None, found.owner) else None

    def find_handle(self, kind: type[R], handle: str, owner: str) -> R | None:
        for record in self._all(kind, owner):
            if handle and record.handle == handle and record.standing != ARCHIVED:
                return record
        return None

    def select(
        self, kind: type[R], owner: str | None, standings: Collection[str], before: str, limit: int
    ) -> tuple[list[R], bool]:
        chosen = [
            one for one in self._all(kind, owner) if one.standing in standings and (not before or one.id < before)
        ]
        return _cut(sorted(chosen, key=lambda one: one.id, reverse=True), limit)

    def count(self, kind: type[Record], owner: str | None, standings: Collection[str]) -> int:
        return sum(record.standing in standings for record in self._all(kind, owner))

    def tasks(self, crew: str) -> list[TaskDef]:
        return [task for task in self._tasks_of(crew) if task.deleted_at is None]

    def select_tasks(self, crew: str, standings: Collection[str], after: str, limit: int) -> tuple[list[TaskDef], bool]:
        return _cut((one for one in self._tasks_of(crew) if one.standing in standings and one.id > after), limit)

    def count_tasks(self, crew: str, standings: Collection[str]) -> int:
        return sum(task.standing in standings for task in self._tasks_of(crew))

    def first_crew(self, agent: str) -> str:
        crews = [crew.id for crew in self._all(Crew, None) if crew.deleted_at is None and agent in crew.agents]
        return min(crews, default="")

    def standings(self, agents: Iterable[str]) -> dict[str, str]:
        found = {agent: self.find(Agent, agent, None) for agent in agents}
        return {agent: record.standing for agent, record in found.items() if record is not None}

    def put(self, record: Record) -> None:
        other = self.find_handle(type(record), record.handle, record.owner)
        if other is not None and other.id != record.id and record.standing != ARCHIVED:
            raise taken(record)
        self._tables.records[record.kind, record.id] = record

    def keep_secret(self, name: str, field: str, key_id: str, sealed: bytes) -> None:
        self._tables.secrets[name, field] = sealed

    def secret(self, name: str, field: str) -> bytes | None:
        return self._tables.secrets.get((name, field))

    def forget_secret(self, name: str, field: str) -> None:
        self._tables.secrets.pop((name, field), None)

    def keep_request(self, request: Request | None) -> None:
        self._tables.requests.keep(request, self._now())

    def _all(self, kind: type[R], owner: str | None) -> list[R]:
        return [
            record
            for record in self._tables.records.values()
            if isinstance(record, kind) and owner in (None, record.owner)
        ]

    def _tasks_of(self, crew: str) -> list[TaskDef]:
        found = [task for task in self._all(TaskDef, None) if crew and task.crew == crew]
        return sorted(found, key=lambda task: task.id)


def _cut(records: Iterable[R], limit: int) -> tuple[list[R], bool]:
    """Return the first ones, no more than a page takes, and whether there are others."""
    chosen: list[R] = []
    size = 0
    for record in records:
        size += len(definition_rows.dump(record).encode())
        if chosen and (len(chosen) == limit or size > PAGE_BYTES_MAX):
            return chosen, True
        chosen.append(record)
    return chosen, False
