"""Crews: agents that work on tasks together.  Where one stands is never kept: it is reckoned from its agents."""

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from meshkit.errors import FailedPrecondition
from services.registry.domain.agents import CONCURRENCY_MAX, DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, Model, check_model
from services.registry.domain.checks import Checks
from services.registry.domain.records import ALIVE, Draft, Kind, Record, check_etag
from services.registry.domain.taskdefs import TaskDef, agent_needed

AGENTS_MAX = 64
TASKS_MAX = 200
"""Task definitions of a crew that are not archived."""
MANAGER_API_KEY = "manager_api_key"
"""The field that holds its secret."""


class Process(enum.Enum):
    """In which way the tasks of a crew are worked on."""

    SEQUENTIAL = "SEQUENTIAL"
    HIERARCHICAL = "HIERARCHICAL"


class CrewState(enum.Enum):
    """Where a crew stands."""

    CONFIGURING = "CONFIGURING"
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrewDraft(Draft):
    """What somebody writes of a crew."""

    display_name: str
    description: str = ""
    process: Process = Process.SEQUENTIAL
    agents: tuple[str, ...] = ()
    """Ids, in order."""
    manager: Model | None = None
    memory: bool = False
    concurrency_limit: int = 0
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crew(Record, CrewDraft):
    """A crew as it is kept."""

    kind: ClassVar[Kind] = Kind.CREWS
    word: ClassVar[str] = "crew"

    has_manager_api_key: bool = False

    @property
    def hands_out(self) -> bool:
        """Whether a manager hands the tasks out."""
        return self.process is Process.HIERARCHICAL


def create(draft: CrewDraft, *, crew_id: str, owner: str, has_key: bool, now: datetime.datetime) -> Crew:
    """Return a new crew; raise `Invalid` with the fields."""
    check(draft)
    return Crew(**_values(draft), id=crew_id, owner=owner, has_manager_api_key=has_key, created_at=now, updated_at=now)


def update(
    stored: Crew, wanted: CrewDraft, tasks: Iterable[TaskDef], *, etag: str, has_key: bool, now: datetime.datetime
) -> Crew:
    """Return a crew after a change.

    Raises `Invalid` with the fields, `Conflict` if `etag` is old, and `FailedPrecondition` if one of its `tasks` would
    be left without anybody to do it.
    """
    check_etag(stored, etag)
    check(wanted)
    values = {**_values(wanted), "has_manager_api_key": has_key}
    crew = dataclasses.replace(stored, **values, version=stored.version + 1, updated_at=now)
    for task in tasks:
        if task.agent and task.agent not in crew.agents:
            raise FailedPrecondition(
                f"{task.name} is for agents/{task.agent}: give it to another agent of the crew first",
                resource=task.name,
            )
        if agent_needed(task, hands_out=crew.hands_out):
            raise FailedPrecondition(
                f"{task.name} is for no agent, which only a hierarchical crew allows: give it to one first",
                resource=task.name,
            )
    return crew


def archive(stored: Crew, now: datetime.datetime) -> Crew:
    """Return a crew that is archived; its key is forgotten."""
    return dataclasses.replace(
        stored, version=stored.version + 1, updated_at=now, deleted_at=now, has_manager_api_key=False
    )


def state(crew: Crew, standings: Mapping[str, str]) -> CrewState:
    """Return where a crew stands; `standings` are those of its agents, by id."""
    if crew.deleted_at is not None:
        return CrewState.ARCHIVED
    ready = bool(crew.agents) and all(standings.get(agent) == ALIVE for agent in crew.agents)
    return CrewState.ACTIVE if ready else CrewState.CONFIGURING


def check(draft: CrewDraft) -> None:
    """Raise `Invalid` with all that is wrong with what somebody wrote."""
    checks = Checks("crew")
    checks.text("display_name", draft.display_name, chars_min=1, chars_max=NAME_CHARS_MAX, lines=False)
    checks.text("description", draft.description, chars_max=DESCRIPTION_CHARS_MAX)
    checks.several("agents", draft.agents, AGENTS_MAX)
    check_model(checks, "manager", draft.manager)
    checks.number("concurrency_limit", draft.concurrency_limit, 0, CONCURRENCY_MAX)
    checks.labels(draft.labels)
    checks.done("the crew")


def _values(draft: CrewDraft) -> dict[str, Any]:
    return {field.name: getattr(draft, field.name) for field in dataclasses.fields(CrewDraft)}
