"""How jobs are born and changed in PostgreSQL: as many as wait, in one transaction and by few statements.

Each row is found by its own key (`postgres_rows.each`), never by a list of them: the plan for a list that was made
while a table was small would be kept while it grows.  Rows are locked in the order of their ids.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from meshkit.errors import NotFound
from meshkit.idempotency import Request
from meshkit.postgres import Alone, Connection
from meshkit.postgres import requests as postgres_requests
from services.runner.domain import Birth, Change, Event, Job, LockEnd, LockState, pages, webhooks
from services.runner.ports.store import Written
from services.runner.stores.postgres import jobs as postgres_jobs
from services.runner.stores.postgres import records
from services.runner.stores.postgres import webhooks as postgres_webhooks
from services.runner.stores.postgres.jobs import LOCK_COLUMNS, LOCK_FIELDS, SEALED_COLUMNS, Wanted
from services.runner.stores.postgres.rows import each, places, rows
from services.runner.stores.remains import WAS_THERE
from services.runner.stores.rows import INSERT, SELECT, UPDATE, inserted, job_exists, job_of, lock_exists, updated

_INSERT = INSERT.replace("?", "%s") + " ON CONFLICT DO NOTHING RETURNING job_id"
_WAS_THERE = f"SELECT %s::text WHERE EXISTS ({WAS_THERE.format(job_id='%s')})"
_UPDATE = UPDATE.replace("?", "%s")
_LOCKED = f"{SELECT} WHERE job_id = %s FOR UPDATE"
_OPEN_LOCK = (
    f"INSERT INTO locks ({LOCK_COLUMNS}) VALUES ({places(len(LOCK_FIELDS))}) ON CONFLICT DO NOTHING RETURNING lock_id"
)
_END_LOCK = (
    "UPDATE locks SET state = %s, answered_at = %s, answered_by = %s, result_json = %s, sealed = %s WHERE lock_id = %s"
)
_LIGHT_BYTES = 2 * 1024 * 1024
_LIGHT = f"{SELECT} WHERE job_id = %s AND stored_bytes <= {_LIGHT_BYTES} FOR UPDATE"
"""Whoever has more is changed alone: what is changed together is in memory at once."""
_TOGETHER_BYTES_MAX = 8 * 1024 * 1024
"""Of what is written by one transaction, but for one that is more by itself."""
# What webhooks are to be told of is looked for behind the rows' locks: one that was added before we had them is told.
# Locked: one that is being deleted or disabled is waited for, and then told nothing; no other change is.  Each owner by
# itself, as above; the OFFSET keeps the planner from making a join of it.
_LOG = f"""
    WITH logged AS (
      INSERT INTO events (job_id, {SEALED_COLUMNS}) SELECT * FROM unnest(
        %s::text[], %s::bigint[], %s::text[], %s::double precision[], %s::text[], %s::text[], %s::bytea[])
    )
    SELECT found.* FROM unnest(%s::text[]) AS owners (name) CROSS JOIN LATERAL (
      {postgres_webhooks.SELECT} WHERE webhooks.owner = owners.name AND enabled
      ORDER BY webhook_id OFFSET 0 FOR KEY SHARE
    ) AS found
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """What `JobStore.create` is asked for."""

    births: Sequence[Birth]
    request: Request | None
    open_max: int | None
    stored_max: int | None

    def wanted(self) -> Wanted:
        """Return what it is of its owner's share."""
        size = sum(map(pages.kept_at_birth, self.births))
        return Wanted(self.births[0].job.owner, len(self.births), size, self.open_max, self.stored_max)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What `JobStore.update` is asked for."""

    job_id: str
    rule: Callable[[Job], Change]
    request: Request | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    """One change of a job, or its birth."""

    before: Job | None
    change: Change
    job: Job
    events: list[Event]


async def create(connection: Connection, asked: Sequence[Creation]) -> list[list[Written] | Exception | Alone]:
    """Keep new jobs, of each creation all or none.  Raises `AlreadyExists`."""
    outcomes: list[list[Written] | Exception | Alone] = [Alone.ALONE for _ in asked]
    room = _Room(alone=len(asked) == 1)
    chosen = [(place, one) for place, one in enumerate(asked) if room.for_births(one.births)]
    wanted = [one.wanted() for _, one in chosen]
    taken: list[tuple[int, Creation]] = []
    for (place, one), error in zip(chosen, await postgres_jobs.check_shares(connection, wanted), strict=True):
        if error is None:
            taken.append((place, one))
        else:
            outcomes[place] = error
    births = [birth for _, one in taken for birth in one.births]
    if not births:
        return outcomes
    requests = [one.request for _, one in taken if one.request is not None]
    await postgres_requests.keep_all(connection, requests, births[0].job.created_at)
    written = iter(await _insert(connection, births))
    for place, one in taken:
        outcomes[place] = [next(written) for _ in one.births]
    return outcomes


async def update(connection: Connection, asked: Sequence[Update]) -> list[Written | Exception | Alone]:
    """Apply rules to jobs under their rows' locks, in order.  Raises `AlreadyExists`."""
    is_alone = len(asked) == 1
    ids = sorted({one.job_id for one in asked})
    found = await each(connection, _LOCKED if is_alone else _LIGHT, [[job_id] for job_id in ids])
    jobs = {job.job_id: job for job in map(job_of, found)}
    room = _Room(alone=is_alone)
    outcomes: list[Written | Exception | Alone] = []
    steps: list[_Step] = []
    for one in asked:
        job = jobs.get(one.job_id)
        if job is None:  # too large, or not there
            gone = NotFound("job not found", resource=f"jobs/{one.job_id}")
            outcomes.append(gone if is_alone else Alone.ALONE)
            continue
        try:
            change = one.rule(job)
        except Exception as error:  # nothing of it is written; whoever asked hears of it
            outcomes.append(error)
            continue
        step = _step(job, change)
        if not room.for_step(step, one.request):
            del jobs[one.job_id]  # what comes behind it stays behind it
            outcomes.append(Alone.ALONE)
            continue
        if one.request is not None:
            await postgres_requests.keep(connection, one.request, change.job.updated_at)
        jobs[one.job_id] = step.job
        steps.append(step)
        outcomes.append((step.job, step.events))
    await _write(connection, steps)
    return outcomes


async def apply(connection: Connection, changes: Sequence[tuple[Job, Change]]) -> list[Written]:
    """Write what rules have decided of jobs whose rows are ours."""
    steps = [_step(before, change) for before, change in changes]
    await _write(connection, steps)
    return [(step.job, step.events) for step in steps]


class _Room:
    """What goes into one transaction with others, and what is to be apart."""

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._bytes = 0

    def for_births(self, births: Sequence[Birth]) -> bool:
        """Return whether these are written with what there is already."""
        # Conversations are rows of others: two transactions must not lock several of them in whatever order.
        mixes = not any(birth.said for birth in births)
        return self._takes(sum(map(pages.kept_at_birth, births)), mixes=mixes)

    def for_step(self, step: "_Step", request: Request | None) -> bool:
        """As `for_births`, for a change."""
        mixes = not step.change.said and not step.change.remembered and request is None
        return self._takes(sum(map(pages.bytes_of_event, step.events)), mixes=mixes)

    def _takes(self, size: int, *, mixes: bool) -> bool:
        if not self._alone and (not mixes or (self._bytes and self._bytes + size > _TOGETHER_BYTES_MAX)):
            return False
        self._bytes += size
        return True


def _step(before: Job, change: Change) -> _Step:
    numbered = [event.numbered(seq) for seq, event in enumerate(change.events, start=before.last_seq + 1)]
    last_seq, stored_bytes = before.last_seq + len(numbered), pages.kept(before, change)
    job = dataclasses.replace(change.job, last_seq=last_seq, stored_bytes=stored_bytes)
    return _Step(before, change, job, numbered)


def _birth(birth: Birth) -> _Step:
    numbered = [event.numbered(seq) for seq, event in enumerate(birth.events, start=1)]
    job = dataclasses.replace(birth.job, last_seq=len(numbered), stored_bytes=pages.kept_at_birth(birth))
    return _Step(None, Change(job=job), job, numbered)


async def _insert(connection: Connection, births: Sequence[Birth]) -> list[Written]:
    steps = list(map(_birth, births))
    kept = {row[0] for row in await each(connection, _INSERT, [inserted(step.job) for step in steps])}
    if len(kept) < len(steps):
        raise job_exists(next((step.job.job_id for step in steps if step.job.job_id not in kept), steps[0].job.job_id))
    # Asked behind the insert, which waits for a transaction that is deleting such a job.
    for (deleted,) in await each(connection, _WAS_THERE, [[job_id] * 3 for job_id in kept]):
        raise job_exists(deleted)
    briefs = [(birth.job.job_id, birth.brief) for birth in births if birth.brief]
    await each(connection, "INSERT INTO briefs (job_id, brief) VALUES (%s, %s)", briefs)
    for birth in births:
        await records.append(connection, birth.said)
    await _log(connection, steps)
    return [(step.job, step.events) for step in steps]


async def _write(connection: Connection, steps: Sequence[_Step]) -> None:
    """Write changes; of a job that changes several times, once what it comes to."""
    jobs = {step.job.job_id: step.job for step in steps}
    await each(connection, _UPDATE, list(map(updated, jobs.values())))
    for step in steps:
        await records.append(connection, step.change.said)
        await records.remember(connection, step.change.remembered)
    opened = [[getattr(lock, name) for name in LOCK_FIELDS] for step in steps for lock in step.change.opened]
    added = [row[0] for row in await each(connection, _OPEN_LOCK, opened)]
    if len(added) < len(opened):
        locks = [lock.lock_id for step in steps for lock in step.change.opened]
        raise lock_exists(next((lock_id for lock_id in locks if lock_id not in added), locks[0]))
    await each(connection, _END_LOCK, [_ended(end) for step in steps for end in step.change.ended])
    await _log(connection, steps)


def _ended(end: LockEnd) -> list[Any]:
    answered_at = end.at if end.state == LockState.ANSWERED else 0.0
    return [end.state, answered_at, end.by, end.result_json, end.sealed, end.lock_id]


async def _log(connection: Connection, steps: Sequence[_Step]) -> None:
    """Append to logs, and write down what webhooks are to be told."""
    events = [(step.job.job_id, event) for step in steps for event in step.events]
    if not events and not any(True for step in steps for _ in webhooks.notices(step.before, step.job, step.change)):
        return
    found = await rows(
        connection,
        _LOG,
        [job_id for job_id, _ in events],
        [event.seq for _, event in events],
        [event.kind for _, event in events],
        [event.time for _, event in events],
        [event.payload for _, event in events],
        [event.detail for _, event in events],
        [event.sealed for _, event in events],
        sorted({step.job.owner for step in steps}),
    )
    if found:
        await postgres_webhooks.tell(connection, found, [(step.before, step.job, step.change) for step in steps])
