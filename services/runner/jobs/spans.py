"""What OpenTelemetry hears of a job: a span for it, one for each attempt, and those that its flow has told of.

They are read off the log when the job has ended (`domain.traces`), and whichever replica writes the end tells of it.
What of the log was written here is remembered until then, if it is little: a job whose log that is, whole, is not read
back.  Ids follow from the job's, so that a flow knows the span it is in.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from meshkit import telemetry
from meshkit.errors import NotFound, Unavailable
from meshkit.tasks import Apart
from meshkit.telemetry import CONSUMER, Place, nanoseconds
from services.runner.domain import TERMINAL, Event, Job, State, pages, traces
from services.runner.ports.store import JobStore

log = structlog.get_logger()
_WAITING_MAX = 1_000
"""Jobs that have ended and are not told of yet; of more, nothing is told."""
_SPANS_MAX = 2_000
"""Of one job."""
_FOLLOWED_MAX = 1_000
"""Jobs whose logs are remembered; of more, the oldest is read back."""
_FOLLOWED_BYTES_MAX = 16 * 1024
"""Of the events of one."""
_KINDS = frozenset({*traces.KINDS, "status"})
_ID = re.compile(r"[0-9a-f]{16}")
_GOES_ON = frozenset({State.AWAITING_INPUT, State.PAUSED})
_ENDS = frozenset({State.RETRYING, State.QUEUED, State.SUCCEEDED, State.FAILED, State.CANCELLED})
_STEPS = frozenset({"provider_call", "tool_call", "memory_hit", "retrieval_hit", "agent_step", "task", "audit"})
_SAID_OF_STEPS = ("model", "provider", "tool", "layer", "category", "score")
"""Of an agent's steps; prompts, arguments and answers stay in the log."""


def handed(job: Job) -> str:
    """Return what a host is told of the next attempt's span; empty if nobody traces the job."""
    place = telemetry.parse(job.traceparent)
    return place.inner(_attempt(job, job.attempt + 1)).traceparent if place is not None else ""


class Spans:
    """Tells of jobs that have ended."""

    def __init__(self, store: JobStore, to: telemetry.Telemetry) -> None:
        self._store = store
        self._to = to
        self._waiting: asyncio.Queue[tuple[Job, Sequence[Event] | None]] = asyncio.Queue(_WAITING_MAX)
        self._followed: dict[str, _Followed] = {}
        self._events = 0
        self._ended = dict.fromkeys(TERMINAL, 0)
        to.gauge("agentmesh.events", "Events written to logs", lambda: [(self._events, {})], total=True)
        to.gauge("agentmesh.jobs.ended", "Jobs that have ended", self._ends, total=True)

    def written(self, job: Job, events: Sequence[Event]) -> None:
        """Count what stands in a log now; tell of a job that has ended, but later; never waits."""
        self._events += len(events)
        if job.ended:
            self._ended[job.state] += 1
        if not job.traceparent:
            return
        known = self._follow(job.job_id, events)
        if job.ended:
            self._followed.pop(job.job_id, None)
            if not self._waiting.full():
                self._waiting.put_nowait((job, known))

    def _follow(self, job_id: str, events: Sequence[Event]) -> Sequence[Event] | None:
        """Remember what a log says of spans; return it if that is all that the log says, `None` if some is missing."""
        followed = self._followed.get(job_id)
        if followed is None:
            if events[0].seq != 1:
                return None
            if len(self._followed) >= _FOLLOWED_MAX:  # one that goes on elsewhere, perhaps, and will not end here
                del self._followed[next(iter(self._followed))]
            followed = self._followed[job_id] = _Followed()
        if followed.take(events):
            return followed.events
        del self._followed[job_id]
        return None

    def _ends(self) -> Sequence[tuple[float, Mapping[str, str]]]:
        return [(count, {"state": state}) for state, count in self._ended.items()]

    async def run(self) -> None:
        """Tell of those that have ended, for ever."""
        apart = Apart("spans")
        while True:
            job, known = await self._waiting.get()
            try:
                with apart(job.job_id), contextlib.suppress(NotFound):  # it has been deleted
                    await self._tell(job, known)
            except Unavailable as error:  # the store is away: it is not worth another look
                log.debug("a job is not told of", job=job.job_id, why=str(error))

    async def _tell(self, job: Job, events: Sequence[Event] | None) -> None:
        born_in = telemetry.parse(job.traceparent)
        if born_in is None:
            return
        if events is None:
            events = await self._store.events_of(job.job_id, tuple(_KINDS))
        root, *spans = traces.spans_of(job, [event for event in events if event.kind in traces.KINDS])
        spans = spans[:_SPANS_MAX]
        job_place = born_in.inner(_hashed(job.job_id))
        common = {"agentmesh.job": f"jobs/{job.job_id}", "agentmesh.flow": job.flow}
        self._to.span(_span("job", job_place, born_in.span_id, root, common, CONSUMER))
        attempts = list(_attempts(job, events))
        for attempt in attempts:
            inside = [span for span in spans if span.parent == traces.ROOT and _during(attempts, span) == attempt]
            self._to.span(
                telemetry.Span(
                    name=f"run {job.flow}",
                    place=born_in.inner(_attempt(job, attempt.number)),
                    parent=job_place.span_id,
                    # The log has the time of the first event, which tells of something that had begun before.
                    start=nanoseconds(min([attempt.start, *(span.start for span in inside)])),
                    end=nanoseconds(attempt.end),
                    attributes={**common, "agentmesh.attempt": attempt.number, "agentmesh.host": job.host_id},
                )
            )
        for span in spans:
            within = _during(attempts, span) if span.parent == traces.ROOT else None
            parent = _attempt(job, within.number) if within is not None else _own(job, span.parent)
            self._to.span(_span(span.name, born_in.inner(_own(job, span.id)), parent, span, common))


class _Followed:
    """What of a job's log was written here, from its first event on."""

    __slots__ = ("_bytes", "_next", "events")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._next = 1
        self._bytes = 0

    def take(self, events: Sequence[Event]) -> bool:
        """Take what follows; return False if something is missing in between, or it is too much."""
        if events[0].seq != self._next:
            return False
        self._next = events[-1].seq + 1
        wanted = [event for event in events if event.kind in _KINDS]
        self._bytes += sum(map(pages.bytes_of_event, wanted))
        self.events += wanted
        return self._bytes <= _FOLLOWED_BYTES_MAX


@dataclasses.dataclass(frozen=True, slots=True)
class _Attempt:
    """Times are seconds since 1970."""

    number: int
    start: float
    end: float


def _during(attempts: Sequence[_Attempt], span: traces.Span) -> _Attempt | None:
    """Return the attempt in which a span has ended."""
    return next((attempt for attempt in attempts if span.end <= attempt.end), attempts[-1] if attempts else None)


def _span(
    name: str, place: Place, parent: str, span: traces.Span, common: Mapping[str, Any], kind: str = telemetry.INTERNAL
) -> telemetry.Span:
    said = {key: value for key, value in span.attributes.items() if isinstance(value, bool | int | float | str)}
    if span.kind in _STEPS:
        said = {key: value for key, value in said.items() if key in _SAID_OF_STEPS}
        said |= {"agentmesh.kind": span.kind, "agentmesh.agent": span.agent_name, "agentmesh.task": span.task_def}
    said |= {f"gen_ai.usage.{key}": count for key, count in span.usage.items()}
    failed = span.status in ("error", "lost")
    return telemetry.Span(
        name=name or span.kind,
        place=place,
        parent=parent,
        kind=kind,
        start=nanoseconds(span.start),
        end=nanoseconds(max(span.start, span.end)),
        error=str(span.attributes.get("error") or span.status) if failed else "",
        attributes={**common, **{key: value for key, value in said.items() if value != ""}},
    )


def _attempts(job: Job, events: Sequence[Event]) -> Iterator[_Attempt]:
    """Yield the attempts, as the log's states tell them."""
    number, start, before = 0, 0.0, ""
    for event in events:
        if event.kind != "status":
            continue
        if event.payload == State.RUNNING and not start and before not in _GOES_ON:
            number, start = number + 1, event.time
        elif start and event.payload in _ENDS:
            yield _Attempt(number, start, event.time)
            start = 0.0
        before = event.payload
    if start:
        yield _Attempt(number, start, job.finished_at)


def _own(job: Job, span_id: str) -> str:
    """Return the id of a span of a flow, which may have chosen it in our form."""
    if span_id == traces.ROOT:
        return _hashed(job.job_id)
    return span_id if _ID.fullmatch(span_id) else _hashed(f"{job.job_id}/{span_id}")


def _attempt(job: Job, number: int) -> str:
    return _hashed(f"{job.job_id} {number}")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
