"""What definitions have in common: an id, an owner, times and a version; who may see them; how one is looked up."""

import dataclasses
import datetime
import enum
from typing import ClassVar

from meshkit.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound

ALIVE = "ACTIVE"
ARCHIVED = "ARCHIVED"
"""Standings in a table: ALIVE or, of an agent, its state; ARCHIVED."""


class Kind(enum.StrEnum):
    """The collections of definitions, as resource names begin."""

    AGENTS = "agents"
    CREWS = "crews"
    TASK_DEFS = "taskDefs"
    TOOLS = "tools"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A definition as it is kept."""

    kind: ClassVar[Kind]
    word: ClassVar[str]
    """What people call it."""

    id: str
    """A UUID of version 7."""
    owner: str
    """`users/{uuid}`."""
    version: int = 1
    created_at: datetime.datetime
    updated_at: datetime.datetime
    deleted_at: datetime.datetime | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{self.kind}/{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return str(self.version)

    @property
    def handle(self) -> str:
        """What else names it among its owner's living ones; empty if nothing does."""
        return ""

    @property
    def standing(self) -> str:
        """What lists choose by."""
        return ARCHIVED if self.deleted_at is not None else ALIVE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """The part of a record that people write."""


def check_etag(record: Record, etag: str) -> None:
    """Raise `Conflict` if somebody changed it since `etag` was read; an empty one is of nobody's concern."""
    if etag and etag != record.etag:
        raise Conflict(
            f"{record.name} was changed meanwhile: read it again, then retry", resource=record.name, etag=record.etag
        )


def missing(name: str, field: str = "") -> NotFound:
    """Return the error for a name that leads nowhere; `field` is where it was given."""
    where = f" ({field})" if field else ""
    return NotFound(f"{name[:120]} not found{where}", resource=name, **({"field": field} if field else {}))


def taken(record: Record) -> AlreadyExists:
    """Return the error for a handle that another one has."""
    return AlreadyExists(
        f"another {record.word} of yours is called {record.handle!r}: choose another name",
        resource=f"{record.kind}/{record.handle}",
    )


class NotActive(FailedPrecondition):
    """A target that cannot be run: it says in which state it is, and what to do."""

    reason = "TARGET_NOT_ACTIVE"

    def __init__(self, message: str, *, target: str, state: str) -> None:
        # Also a fact of its own: an error that has crossed a service keeps those, but not the reason.
        super().__init__(message, reason=self.reason, resource=target, state=state)
