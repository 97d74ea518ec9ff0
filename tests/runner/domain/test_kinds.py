"""What a job may say: nothing that reads as if the mesh had said it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner import domain
from services.runner.domain import End, Event, Job, LockState, OpenLock, Reason, State, kinds

JOB = Job(job_id="0" * 24, flow="flows/demo/a", owner="users/u", state=State.QUEUED, created_at=1.0, updated_at=1.0)


def said(*events: Event) -> list[Event]:
    """Return what a report of a job's first lease adds to its log, behind the status that it runs."""
    change = domain.report(domain.lease(JOB, "h1", 2.0).job, domain.Lease("h1", 1), 1, events, None, 3.0)
    assert len(events) == change.job.source_seq
    return list(change.events[1:])


@pytest.mark.parametrize(
    "kind", sorted(kinds.MESH | {"alive", "eof", "Status", "sta-tus", "\uff46inal", "final\n", "", "x" * 65})
)
def test_what_the_mesh_writes_is_refused(kind: str) -> None:
    """Also under another spelling that some reader takes for it; the line stays, and says what was wrong."""
    refused, after = said(Event(kind=kind, payload="succeeded", time=2.5), Event(kind="debug", payload="x", time=2.5))

    assert ("stderr", "debug") == (refused.kind, after.kind)
    assert "was refused: the mesh alone writes such events" in refused.payload
    assert "succeeded" not in refused.payload
    assert len(refused.payload) < 400


@pytest.mark.parametrize("kind", ["debug", "result", "span", "my_kind", "Größe", "status_of_mine"])
def test_other_kinds_are_kept(kind: str) -> None:
    """Those of the SDK, and an author's own."""
    event = Event(kind=kind, payload="x", time=2.5)

    assert [event] == said(event)


def test_what_every_rule_writes_is_refused_to_jobs() -> None:
    """The list names all that the rules write themselves: one is not forgotten when a rule is added."""
    born = domain.born(JOB)
    ended = domain.end(domain.lease(JOB, "h1", 2.0).job, domain.lost("gone"), 3.0)

    assert {event.kind for event in (*born.events, *ended.events)} <= kinds.MESH


@given(st.text(max_size=70))
def test_whatever_is_kept_is_no_word_of_the_mesh(kind: str) -> None:
    """As the panel's stream spells it: without what is no small letter."""
    (kept,) = said(Event(kind=kind, payload="x", time=2.5))

    assert "".join(c for c in kept.kind if c in "abcdefghijklmnopqrstuvwxyz_") not in kinds.MESH | {"alive", "eof"}


def test_what_is_too_large_is_refused() -> None:
    """From a host that does not see to it itself: the line says so, a result is none, an error is its beginning."""
    large = "é" * kinds.PAYLOAD_BYTES_MAX
    (refused,) = said(Event(kind="debug", payload=large, time=2.5))
    leased = domain.lease(JOB, "h1", 2.0).job
    done = domain.report(leased, domain.Lease("h1", 1), 1, [], End(state=State.SUCCEEDED, result_json=large), 3.0)
    failed = domain.report(
        leased, domain.Lease("h1", 1), 1, [], End(state=State.FAILED, reason=Reason.ERROR, error=large), 3.0
    )
    lock = OpenLock(lock_id="1", title=large, elements_json=large, data_json="{}", timeout_s=1.0)
    asked = domain.report(leased, domain.Lease("h1", 1), 1, [], None, 3.0, lock)

    assert ("stderr", True) == (refused.kind, "was refused: keep it under 4 MiB" in refused.payload)
    assert State.FAILED == done.job.state
    assert "a result of 8388608 bytes was refused" in done.job.error
    assert large[:60_000] == failed.job.error[:60_000]
    assert len(failed.job.error) < 70_000
    assert [LockState.CLOSED] == [one.state for one in asked.opened]
    assert domain.pages.bytes_of_lock(asked.opened[0]) < 1000
    assert State.RUNNING == asked.job.state
