"""The rules by which a job moves.

Every rule is a function from the stored job to a `Change`.  A store applies a change in one step
(`services.runner.store`), so a rule always sees the job as it is.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from services.runner.domain import attempts, ends, kinds, locks, memories, readings, steps, talk
from services.runner.domain.records import Birth, Change, End, Event, Job, Lease, OpenLock, Step
from services.runner.domain.states import HELD, Reason, State

_USAGE = ("input_tokens", "output_tokens", "cost_micros")
_COUNT_MAX = 2**53
_PROGRESS_CHARS_MAX = 200


class Stale(Exception):
    """Said of a job by who does not hold it (any more), or of one that has ended: refuse it."""


class Gap(Exception):
    """A report that leaves out what should have come before it: refuse it, the host still has that."""


def born(job: Job, upload: str = "") -> Birth:
    """Return a new job with the head of its log: its status, inputs and meta, and an `upload` that tells of its files.

    One to be paid for says that it waits.
    """
    at = job.created_at
    head: tuple[Event, ...] = (
        Event(kind="status", payload=State.PENDING if job.state == State.PENDING else State.QUEUED, time=at),
        # Both are JSON objects: wrapped as typed JSON without a look inside.
        Event(kind="inputs", payload=f'{{"dict":{job.inputs_json}}}', time=at),
        Event(kind="meta", payload=f'{{"dict":{job.meta_json}}}', time=at),
    )
    if upload:
        head = (*head, Event(kind="upload", payload=upload, time=at))
    if job.state == State.AWAITING_PAYMENT:
        head = (*head, Event(kind="status", payload=State.AWAITING_PAYMENT, time=at))
    return Birth(job=job, events=head, said=talk.asked(job))


def lease(job: Job, host_id: str, now: float) -> Change:
    """Give the job to a host: a queued one, or one that its host never took up."""
    if job.state != State.STARTING:
        ends.move(job, State.STARTING)
    leased = dataclasses.replace(
        job, state=State.STARTING, host_id=host_id, epoch=job.epoch + 1, source_seq=0, updated_at=now
    )
    return Change(job=leased)


def check_lease(job: Job, holder: Lease) -> None:
    """Raise `Stale` unless `holder` holds the job: whatever a host says of a job is taken only if this passes."""
    if job.ended or holder != Lease(job.host_id, job.epoch):
        raise Stale


def break_off(job: Job, holder: Lease, end: End, now: float) -> Change:
    """Take in that what a host says of a job cannot be used: the job is lost.  Raises `Stale` as `report` does."""
    check_lease(job, holder)
    return attempts.lose(job, end, now)


def stop(job: Job, reason: Reason, now: float) -> Change:
    """Begin to stop a job for somebody: one that no host holds ends at once."""
    return give_up(job, End(state=State.CANCELLED, reason=reason, error=ends.STOPPED[reason]), now)


def give_up(job: Job, end: End, now: float) -> Change:
    """Begin to stop a job that shall end as `end` says once nothing of it runs: one that no host holds ends at once."""
    if job.ended or job.state == State.STOPPING:
        return Change(job=job)
    if job.state not in HELD or job.parked:
        return ends.finish(job, end, now)
    stopping = dataclasses.replace(job, state=State.STOPPING, reason=end.reason, error=end.error, updated_at=now)
    return Change(job=stopping)


def report(
    job: Job,
    holder: Lease,
    source_seq: int,
    events: Sequence[Event],
    outcome: End | None,
    now: float,
    opening: OpenLock | None = None,
    step: Step | None = None,
) -> Change:
    """Take what a lease's holder says: `events` are numbered from `source_seq`, outcome, lock or step as one more.

    The first report of a lease says that the job runs, whatever is in it; one with nothing else in it has the outcome
    RUNNING.  What was taken before is dropped, and what a job may not say is refused in words (`kinds`).  Raises
    `Stale` if the job is not in these hands, `Gap` if something is missing.
    """
    check_lease(job, holder)
    if source_seq > job.source_seq + 1:
        raise Gap
    known = job.source_seq - source_seq + 1
    fresh = _in_order(kinds.taken(events[max(known, 0) :]), job.updated_at, now)
    last = source_seq + len(events) - 1
    if outcome is not None or opening is not None or step is not None:
        last += 1
        if job.source_seq >= last:
            outcome = opening = step = None
    if step is not None:
        fresh = (*fresh, steps.event(step, fresh[-1].time if fresh else max(now, job.updated_at)))
    outcome = outcome and kinds.taken_outcome(outcome)
    taken = dataclasses.replace(job, source_seq=max(job.source_seq, last), **_measured(job, fresh))
    said = bool(fresh) or outcome is not None or opening is not None
    if said and job.state == State.STARTING:  # else it is being stopped: the process has not heard of it yet
        at = fresh[0].time if fresh else max(now, job.updated_at)
        taken = dataclasses.replace(
            taken, state=State.RUNNING, started_at=job.started_at or at, updated_at=at, attempt=job.attempt + 1
        )
        fresh = (Event(kind="status", payload=State.RUNNING, time=at), *fresh)
    if fresh:
        taken = dataclasses.replace(taken, updated_at=fresh[-1].time)
    remembered = memories.of_events(taken, fresh)
    if opening is not None:
        return dataclasses.replace(locks.open_lock(taken, fresh, opening, now), remembered=remembered)
    if outcome is None or outcome.state == State.RUNNING:
        return Change(job=taken, events=fresh, remembered=remembered)
    now = max(now, taken.updated_at)
    if outcome.state == State.FAILED:
        ended = attempts.lose(taken, outcome, now)
    else:
        ended = ends.finish(taken, ends.stopped_outcome(job, outcome), now)
    return dataclasses.replace(ended, events=(*fresh, *ended.events), remembered=remembered)


def _measured(job: Job, events: Sequence[Event]) -> dict[str, Any]:
    """Return what events of usage and progress change of the job; what a host says wrongly changes nothing."""
    changed: dict[str, Any] = {}
    for event in events:
        if event.kind not in ("usage", "progress"):
            continue
        try:
            said = readings.parsed(event.payload)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        if event.kind == "progress":
            percent = said.get("percent")
            if isinstance(percent, int | float) and readings.is_finite(percent):
                changed["progress"] = min(100.0, max(0.0, float(percent)))
            changed["progress_text"] = str(said.get("text") or "")[:_PROGRESS_CHARS_MAX]
            changed.setdefault("progress", max(0.0, job.progress))
            continue
        for name in _USAGE:
            count = said.get(name)
            if isinstance(count, int) and 0 <= count <= _COUNT_MAX:
                changed[name] = min(_COUNT_MAX, changed.get(name, getattr(job, name)) + count)
    return changed


def _in_order(events: Iterable[Event], at: float, now: float) -> tuple[Event, ...]:
    """Return events whose times never go back behind `at`, the log's last, nor are to come.

    The host has a clock of its own, which may be hours wrong, and a flow may play with it: when another attempt is made
    is reckoned from these times.
    """
    ordered = []
    for event in events:
        if not at <= event.time <= now:
            event = dataclasses.replace(event, time=max(at, now) if event.time > now else at)
        at = event.time
        ordered.append(event)
    return tuple(ordered)


def lost(why: str) -> End:
    """Return the end of a job whose host is gone."""
    return End(state=State.FAILED, reason=Reason.WORKER_LOST, error=why)


SHUT_DOWN = End(state=State.CANCELLED, reason=Reason.SHUTDOWN, error=ends.STOPPED[Reason.SHUTDOWN])
"""The end of a job whose app is being removed."""


def end(job: Job, how: End, now: float) -> Change:
    """End a job that nobody reports on; one that is being stopped ends as stopped."""
    return ends.finish(job, ends.stopped_outcome(job, how), now)
