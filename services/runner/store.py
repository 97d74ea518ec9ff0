"""What the runner keeps, as ports.  `tests/runner/test_store.py` holds every adapter to them."""

from collections.abc import Callable, Sequence
from typing import Protocol

from services.runner.domain import Change, Event, Job, PlacedApp, Request


class JobStore(Protocol):
    """Keeps jobs and their logs.  When a method returns, what it wrote is on disk."""

    async def create(self, job: Job, events: Sequence[Event], request: Request | None) -> tuple[Job, list[Event]]:
        """Keep a new job with the head of its log, numbered from 1.

        Raises `AlreadyExists` if the job's id is taken, or the request's id by the same owner.
        """

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return the request of that id, or `None` if the owner has made none."""

    async def update(self, job_id: str, rule: Callable[[Job], Change]) -> tuple[Job, list[Event]]:
        """Apply a rule to the job as it is, in one step; return the job and the events as numbered.

        Raises `NotFound`, and whatever the rule raises; then nothing has changed.
        """

    def get(self, job_id: str) -> Job:
        """Return a job, or raise `NotFound`."""

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """Return up to `limit` events behind `after_seq`, in order; none for a job that is not there."""

    async def find(self, owner: str | None, query: str, before: str, limit: int) -> list[Job]:
        """Return jobs, newest first: of `owner` or all, older than the id `before` if given, holding `query`."""

    def open_jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""

    async def delete(self, job_id: str) -> None:
        """Forget a job and its log.  Raises `NotFound`."""


class AppStore(Protocol):
    """Keeps which apps shall be served."""

    async def save_app(self, app: PlacedApp) -> None:
        """Keep an app, in place of the one its expose had."""

    async def delete_app(self, expose: str) -> None:
        """Forget an app; nothing happens if there is none."""

    def apps(self) -> list[PlacedApp]:
        """Return every app, by expose."""
