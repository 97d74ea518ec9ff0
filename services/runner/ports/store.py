"""What the runner keeps, as ports.  `tests/runner/stores` holds every adapter to them.

An adapter that knows it is the only writer may answer from a cache of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from meshkit.idempotency import Request
from services.runner.domain import (
    Asked,
    Birth,
    Change,
    Event,
    Job,
    Layer,
    Lock,
    LockEnd,
    Memory,
    PlacedApp,
    Retrying,
    State,
)
from services.runner.domain.conversations import Conversation, Message
from services.runner.domain.memories import Ranked

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


EVENTS_BYTES_MAX = 32 * 1024 * 1024
"""Of the events of some kinds: what is behind is left out."""
ASKED_BYTES_MAX = 4 * 1024 * 1024
"""Of what a job has asked before and was answered: it is told in one message, with its inputs."""


class TooManyOpen(Exception):
    """An owner has as many jobs that have not ended as they may have."""


class TooMuchStored(Exception):
    """An owner keeps as many bytes as they may."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to find; empty is no condition."""

    targets: tuple[str, ...] = ()
    """`agents/{id}`, `crews/{id}`, `flows/…`; `agents/-` is every agent, and so on."""
    states: tuple[State, ...] = ()
    conversation: str = ""

    def takes(self, job: Job) -> bool:
        """Return whether a job is one of them."""
        return (
            (not self.targets or any(_is_target(job, target) for target in self.targets))
            and (not self.states or job.state in self.states)
            and self.conversation in ("", job.conversation)
        )


def _is_target(job: Job, target: str) -> bool:
    return job.target.startswith(target[:-1]) if target.endswith("/-") else job.target == target


ANY = JobFilter()
"""Every job."""


class JobStore(Protocol):
    """Keeps jobs and their logs.  When a method returns, what it wrote is on disk."""

    async def create(
        self,
        births: Sequence[Birth],
        request: Request | None,
        *,
        open_max: int | None = None,
        stored_max: int | None = None,
    ) -> list[Written]:
        """Keep new jobs of one owner with the heads of their logs, numbered from 1, all or none.

        Raises `AlreadyExists` if a job's id is taken, or was one's that was deleted, as long as that is remembered and
        as long as something of it is left; or if the request's id is, by the same owner; `TooManyOpen` if the owner
        would have more than `open_max` jobs that have not ended, and `TooMuchStored` if the owner keeps `stored_max`
        bytes already.
        """

    async def stored_bytes(self, owner: str) -> int:
        """Return how many bytes are kept of an owner: jobs, their logs and locks, conversations and memory."""

    async def request(self, owner: str, request_id: str) -> Request | None:
        """Return the request of that id, or `None` if the owner has made none."""

    async def forget_requests(self, before: float) -> None:
        """Forget requests that were made before a moment: their ids may be used anew."""

    async def update(self, job_id: str, rule: Callable[[Job], Change], request: Request | None = None) -> Written:
        """Apply a rule to the job as it is, in one step; return the job and the events as numbered.

        Raises `NotFound`, `AlreadyExists` if `request` was made before or the id of a lock is taken, and whatever the
        rule raises; then nothing has changed.
        """

    async def get(self, job_id: str) -> Job:
        """Return a job, or raise `NotFound`."""

    async def events(self, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """Return up to `limit` events behind `after_seq`, in order; none for a job that is not there.

        Fewer where they are large: up to the one that is too much for a page (`meshkit.paging`).
        """

    async def events_of(self, job_id: str, kinds: Sequence[str]) -> list[Event]:
        """Return the events of some kinds, in order: all, or the first that have more than `EVENTS_BYTES_MAX`.

        These alone have what is sealed of them.
        """

    async def brief(self, job_id: str) -> bytes:
        """Return what an agent's or crew's job runs (`Birth.brief`); empty if it has none."""

    async def find(
        self,
        owner: str | None,
        query: str,
        before: str,
        limit: int,
        only: JobFilter = ANY,
        *,
        text_bytes_max: int = 0,
    ) -> list[Job]:
        """Return jobs such as `only` says, newest first: of `owner` or all, older than the id `before` if given,
        holding `query`.

        Fewer than `limit` where they are large: up to the one that is too much for a page (`meshkit.paging`).  With
        `text_bytes_max` their texts are cut to that before they are counted (`domain.cuts`).
        """

    async def count(self, owner: str | None, targets: Sequence[str]) -> dict[tuple[str, State], int]:
        """Return how many jobs of `owner` or all have a target and a state; where there is none, no number."""

    async def retrying_jobs(self, after: str, limit: int) -> list[Retrying]:
        """Return up to `limit` jobs that wait for another attempt and have an id behind `after`, oldest first."""

    async def late_jobs(self, before: float, limit: int) -> list[str]:
        """Return the ids of up to `limit` jobs whose deadline is before a moment, the first first.

        Not of those that have ended or are being stopped.
        """

    async def next_deadline(self) -> float | None:
        """Return the first deadline of a job that `late_jobs` would name, or `None` if there is none."""

    async def open_jobs(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""

    async def todo_jobs(self, after: str, limit: int) -> list[str]:
        """Return the ids of up to `limit` jobs of which the payments service must still be told something.

        Those behind `after`, oldest first.
        """

    async def unpaid_jobs(self, after: str, limit: int) -> list[str]:
        """Return the ids of up to `limit` jobs whose purchaser was asked to pay and has not, as far as is known.

        Those behind `after`, oldest first.
        """

    async def sold_jobs(self) -> list[str]:
        """Return the ids of jobs that have ended and whose sale has not, as far as is known, oldest first."""

    async def get_lock(self, lock_id: str) -> Lock:
        """Return a lock, or raise `NotFound`."""

    async def asked(self, job_id: str) -> list[Asked]:
        """Return what a job has asked that was not closed, oldest first.

        All, or the first that have more than `ASKED_BYTES_MAX` (`pages.bytes_of_asked`).
        """

    async def lock_ends(self, job_id: str, after: str, limit: int) -> list[LockEnd]:
        """Return how up to `limit` locks of a job have ended, of those that have, in the order of their ids.

        Of those with an id behind `after`; fewer where their answers are too much for a page.
        """

    async def pending_locks(self, owner: str = "") -> list[str]:
        """Return the ids of the locks that wait for an answer, of one owner or all, the first to expire first."""

    async def due_locks(self, before: float, limit: int) -> list[tuple[str, str]]:
        """Return up to `limit` locks that wait for an answer and expire before a moment, the first to expire first.

        The id of each and of its job.
        """

    async def next_expiry(self) -> float | None:
        """Return when the next lock expires that waits for an answer, or `None` if none does."""

    async def bring_back_locks(self, now: float) -> None:
        """Have locks that wait, and were opened at a moment that is to come, be opened `now`, for as long as before."""

    async def find_locks(self, query: LockQuery, limit: int) -> list[Lock]:
        """Return up to `limit` locks, newest first; fewer where they are too much for a page."""

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


class ConversationStore(Protocol):
    """Keeps conversations; what jobs say in them comes with the jobs' writes (`Birth.said`, `Change.said`)."""

    async def add(self, conversation: Conversation, request: Request | None) -> None:
        """Keep a new conversation.  Raises `AlreadyExists` if `request` was made before."""

    async def get(self, conversation_id: str) -> Conversation:
        """Return a conversation, or raise `NotFound`."""

    async def find(
        self, owner: str | None, target: str, before: tuple[float, str] | None, limit: int
    ) -> list[Conversation]:
        """Return conversations, those with the newest messages first.

        Of `owner` or all, with a job of `target` if given, behind `before` (last_message_at, id) in that order.
        """

    async def update(self, conversation_id: str, rule: Callable[[Conversation], Conversation]) -> Conversation:
        """Change title, summary or whether it is active, in one step.  Raises `NotFound`, and what the rule raises."""

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation with its messages.  Raises `NotFound`."""

    async def messages(self, conversation_id: str, after: int, limit: int) -> list[Message]:
        """Return up to `limit` messages behind the number `after` (-1: all), in order.

        Fewer where they are too much for a page.
        """

    async def last_messages(self, conversation_id: str, before_job: str, limit: int) -> list[Message]:
        """Return the last messages that were said before a job's own first, in order."""


class MemoryRecords(Protocol):
    """Keeps what agents and crews remember; what jobs write comes with the jobs' writes (`Change.remembered`).

    Owner and scope (`agents/{id}`, `crews/{id}`) are part of every question: there is no way to ask across them.
    """

    async def add(self, record: Memory, request: Request | None) -> Memory:
        """Keep a record; return it with its number, which is kept as the request's answer.

        Raises `AlreadyExists` if `request` was made before.
        """

    async def get(self, owner: str, number: int) -> Memory | None:
        """Return a record of an owner, or `None`."""

    async def find(self, owner: str, scope: str, layer: Layer | None, before: int, limit: int) -> list[Memory]:
        """Return records, newest first, with numbers below `before` (0: all)."""

    async def search(self, owner: str, scope: str, layer: Layer | None, query: str, limit: int) -> list[Ranked]:
        """Return the records that fit a query best, the best first."""

    async def clear(self, owner: str, scope: str, layer: Layer | None) -> int:
        """Delete records for good; return how many there were."""
