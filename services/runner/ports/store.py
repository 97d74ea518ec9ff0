"""What the runner keeps, as ports.  `tests/runner/stores` holds every adapter to them.

An adapter that knows it is the only writer may answer from a cache of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from meshkit.idempotency import Request
from services.runner.domain import Birth, Change, Event, Job, Lock, PlacedApp

DELETED_KEPT_S = 7 * 86400.0
"""How long it is remembered that a job was deleted."""
Written = tuple[Job, list[Event]]
"""A job as it is kept now, and the events of the write as they were numbered."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockQuery:
    """Which locks to list."""

    owner: str = ""
    """Only those of this owner; empty for all."""
    job_id: str = ""
    """Only those of this job; empty for all."""
    ended: bool = False
    """Also those that are not pending any more."""
    before: tuple[float, str] | None = None
    """Only those behind this (created_at, lock_id) in the order of the list."""


class TooManyOpen(Exception):
    """An owner has as many jobs that have not ended as they may have."""


class JobStore(Protocol):
    """Keeps jobs and their logs.  When a method returns, what it wrote is on disk."""

    async def create(
        self, births: Sequence[Birth], request: Request | None, *, open_max: int | None = None
    ) -> list[Written]:
        """Keep new jobs of one owner with the heads of their logs, numbered from 1, all or none.

        Raises `AlreadyExists` if a job's id is taken, or the request's id by the same owner, and `TooManyOpen` if the
        owner would have more than `open_max` jobs that have not ended.
        """

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return the request of that id, or `None` if the owner has made none."""

    async def forget_requests(self, before: float) -> None:
        """Forget requests that were made before a moment: their ids may be used anew."""

    async def update(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Written:
        """Apply a rule to the job as it is, in one step; return the job and the events as numbered.

        Raises `NotFound`, `AlreadyExists` if `request` was made before, and whatever the rule raises; then nothing has
        changed.
        """

    async def get(self, job_id: str) -> Job:
        """Return a job, or raise `NotFound`."""

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """Return up to `limit` events behind `after_seq`, in order; none for a job that is not there.

        Fewer where they are large: up to the one that is too much for a page (`domain.pages`).
        """

    async def find(self, owner: str | None, query: str, before: str, limit: int) -> list[Job]:
        """Return jobs, newest first: of `owner` or all, older than the id `before` if given, holding `query`.

        Fewer than `limit` where they are large: up to the one that is too much for a page (`domain.pages`).
        """

    async def open_jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""

    async def todo_jobs(self) -> list[Job]:
        """Return every job of which the payments service must still be told something, oldest first."""

    async def get_lock(self, lock_id: str) -> Lock:
        """Return a lock, or raise `NotFound`."""

    async def job_locks(self, job_id: str) -> list[Lock]:
        """Return every lock of a job, oldest first."""

    async def pending_locks(self, owner: str = "") -> list[Lock]:
        """Return the locks that wait for an answer, of one owner or all, the first to expire first."""

    async def due_locks(self, before: float, limit: int) -> list[Lock]:
        """Return up to `limit` locks that wait for an answer and expire before a moment, the first to expire first."""

    async def next_expiry(self) -> float | None:
        """Return when the next lock expires that waits for an answer, or `None` if none does."""

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """Return locks, newest first."""

    async def delete(self, job_id: str, at: float) -> None:
        """Forget a job, its log and its locks, but for `DELETED_KEPT_S` that there was one.  Raises `NotFound`."""

    async def deleted(self, owner: str, since: float, limit: int) -> list[str]:
        """Return the ids of an owner's jobs that were deleted at or after a moment, the last first."""


class AppStore(Protocol):
    """Keeps which apps shall be served."""

    async def save_app(self, app: PlacedApp) -> None:
        """Keep an app, in place of the one its expose had."""

    async def delete_app(self, expose: str) -> None:
        """Forget an app; nothing happens if there is none."""

    async def apps(self) -> list[PlacedApp]:
        """Return every app, by expose."""
