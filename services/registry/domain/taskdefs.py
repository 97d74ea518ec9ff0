"""Task definitions: what an agent of a crew is asked to do, and what must be done before."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from meshkit.errors import FailedPrecondition, Invalid
from services.registry.domain.checks import Checks
from services.registry.domain.records import Draft, Kind, Record, check_etag

NAME_CHARS_MAX = 200
TEXT_CHARS_MAX = 20_000
CONTEXTS_MAX = 64
DEPENDENCIES_MAX = 64
TOOLS_MAX = 64
_TITLE_CHARS_MAX = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDefDraft(Draft):
    """What somebody writes of a task definition."""

    crew: str = ""
    """An id; empty if it is of no crew."""
    agent: str = ""
    """An id; empty if a manager chooses."""
    display_name: str = ""
    description: str
    expected_output: str = ""
    depends_on: tuple[str, ...] = ()
    """Ids of the same crew's."""
    context: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Ids of tools, of which a built-in's is its own name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDef(Record, TaskDefDraft):
    """A task definition as it is kept."""

    kind: ClassVar[Kind] = Kind.TASK_DEFS
    word: ClassVar[str] = "task definition"

    @property
    def title(self) -> str:
        """What people call it: its display name, or else the first line of its description."""
        if self.display_name:
            return self.display_name
        first = self.description.strip().splitlines()[0].strip()
        return first if len(first) <= _TITLE_CHARS_MAX else f"{first[: _TITLE_CHARS_MAX - 1].rstrip()}…"


def create(
    draft: TaskDefDraft,
    *,
    task_id: str,
    owner: str,
    now: datetime.datetime,
    prefix: str = "task_def",
) -> TaskDef:
    """Return a new task definition; raise `Invalid` with the fields, named behind `prefix`."""
    check(draft, prefix)
    return TaskDef(**_values(draft), id=task_id, owner=owner, created_at=now, updated_at=now)


def update(stored: TaskDef, wanted: TaskDefDraft, *, etag: str, now: datetime.datetime) -> TaskDef:
    """Return a task definition after a change.

    Raises `Invalid` with the fields, for one of a crew also if it should change to another, and `Conflict` if `etag`
    is old.
    """
    check_etag(stored, etag)
    check(wanted, "task_def")
    if stored.crew and wanted.crew != stored.crew:
        raise Invalid("a task definition stays in its crew", {"task_def.crew": ["cannot be changed: make a new one"]})
    return dataclasses.replace(stored, **_values(wanted), version=stored.version + 1, updated_at=now)


def archive(stored: TaskDef, now: datetime.datetime) -> TaskDef:
    """Return a task definition that is archived."""
    return dataclasses.replace(stored, version=stored.version + 1, updated_at=now, deleted_at=now)


def check(draft: TaskDefDraft, prefix: str) -> None:
    """Raise `Invalid` with all that is wrong with what somebody wrote."""
    checks = Checks(prefix)
    checks.text("display_name", draft.display_name, chars_max=NAME_CHARS_MAX, lines=False)
    checks.text("description", draft.description, chars_min=1, chars_max=TEXT_CHARS_MAX)
    checks.text("expected_output", draft.expected_output, chars_max=TEXT_CHARS_MAX)
    checks.several("depends_on", draft.depends_on, DEPENDENCIES_MAX)
    checks.several("tools", draft.tools, TOOLS_MAX)
    if len(draft.context) > CONTEXTS_MAX:
        checks.refuse("context", f"at most {CONTEXTS_MAX} texts")
    elif sum(map(len, draft.context)) > TEXT_CHARS_MAX:
        checks.refuse("context", f"at most {TEXT_CHARS_MAX:,} characters together")
    else:
        for index, text in enumerate(draft.context):
            checks.text(f"context[{index}]", text, chars_max=TEXT_CHARS_MAX)
    checks.done("the task definition")


def check_place(task: TaskDef, agents: tuple[str, ...] | None, *, hands_out: bool, prefix: str) -> None:
    """Raise `Invalid` if nobody in its crew would do it; `agents` are the crew's, None if it is of no crew."""
    if agents is None:
        if not task.agent:
            raise Invalid("a task is of a crew or for an agent", {f"{prefix}.agent": ["give an agent or a crew"]})
        if task.depends_on:
            raise Invalid(
                "only a task of a crew can depend on others", {f"{prefix}.depends_on": ["give the crew, too"]}
            )
        return
    if task.agent and task.agent not in agents:
        raise Invalid(f"agents/{task.agent} is not of the crew", {f"{prefix}.agent": ["must be an agent of the crew"]})
    if agent_needed(task, hands_out=hands_out):
        raise Invalid(
            "a task of a sequential crew is for an agent", {f"{prefix}.agent": ["say which agent of the crew does it"]}
        )


def agent_needed(task: TaskDef, *, hands_out: bool) -> bool:
    """Return whether it is for no agent, and no manager chooses one."""
    return not task.agent and not hands_out


def check_circles(tasks: Iterable[TaskDef], prefix_of: Mapping[str, str]) -> None:
    """Raise `Invalid` if tasks of a crew wait for each other.  `prefix_of` says where some were given, by id."""
    waits = {task.id: set(task.depends_on) for task in tasks}
    while free := [task_id for task_id, others in waits.items() if not others & waits.keys()]:
        for task_id in free:
            del waits[task_id]
    if waits:
        field = f"{next((prefix_of[one] for one in waits if one in prefix_of), 'task_def')}.depends_on"
        circle = ", ".join(f"taskDefs/{one}" for one in list(waits)[:5])
        raise Invalid("tasks depend on each other in a circle", {field: [f"a circle: {circle}"]})


def check_unneeded(task: TaskDef, others: Iterable[TaskDef]) -> None:
    """Raise `FailedPrecondition` if another task depends on it."""
    for other in others:
        if task.id in other.depends_on:
            raise FailedPrecondition(
                f"{other.name} depends on {task.name}: change that first", resource=task.name, needed_by=other.name
            )


def _values(draft: TaskDefDraft) -> dict[str, Any]:
    return {field.name: getattr(draft, field.name) for field in dataclasses.fields(TaskDefDraft)}
