"""What a job may say through its host, which passes it on unread: every store can keep what is taken of it."""

import asyncio
import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from meshkit.errors import AlreadyExists
from services.runner import domain
from services.runner.domain import Birth, Change, Event, Job, Lease, Reason, State
from services.runner.domain.conversations import Conversation
from services.runner.report_wire import report_from_pb
from tests.runner.stores.conftest import Store
from tests.runner.stores.test_stores import job

FAILED = job_pb2.JOB_STATE_FAILED
DEEP = "[" * 200_000
HALF = r'{"str":"a \ud800 b \\ud800 \ud83d\ude00"}'
TERMS = {
    "agent_identifier": "a" * 60,
    "network": "Preprod",
    "purchaser_identifier": "ab" * 10,
    "input_hash": "ab",
    "hashes": "",
}
PAID = {"payment_json": json.dumps(TERMS)}
PAID_LEGACY = {"payment_json": json.dumps({**TERMS, "hashes": "kodosumi"})}
TALKING = {"conversation": "conversations/c1"}
AGENT = {"target": "agents/x"}


def lock(lock_id: str = "l1", **more: Any) -> dict[str, Any]:
    """Return the lock of a report."""
    return {"lock": host_pb2.OpenLock(**{"lock_id": lock_id, "title": "t", "data_json": "{}", **more})}


def end(result_json: str = "{}", state: int = job_pb2.JOB_STATE_SUCCEEDED) -> dict[str, Any]:
    """Return the outcome of a report."""
    return {"outcome": host_pb2.Outcome(state=state, result_json=result_json)}  # type: ignore[arg-type]


def event(kind: str, payload: str) -> dict[str, Any]:
    """Return the event of a report."""
    return {"events": [job_pb2.Event(kind=kind, payload=payload, time=2.0)]}


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "a lock of no id": (lock(""), "the id of lock 't'"),
    "a lock of two words": (lock("a b"), "the id of lock 't'"),
    "a lock of a path": (lock("../b"), "the id of lock 't'"),
    "a lock of a long id": (lock("x" * 65), "the id of lock 't'"),
    "a lock of no JSON": (lock(data_json="nope"), "the data of lock 't'"),
    "a deep lock": (lock(data_json=DEEP), "the data of lock 't'"),
    "a form of no JSON": (lock(elements_json="nope"), "the form of lock 't'"),
    "a form of no array": (lock(elements_json="{}"), "the form of lock 't'"),
    "a deep form": (lock(elements_json=DEEP), "the form of lock 't'"),
    "no state": (end(state=0), "UNSPECIFIED, which is no end"),
    "an unknown state": (end(state=99), "99, which is no end"),
    **{
        f"the state {state}": (end(state=job_pb2.JobState.Value(f"JOB_STATE_{state.name}")), "which is no end")
        for state in State
        if state not in (*domain.TERMINAL, State.RUNNING)
    },
    "a result of no JSON": (end("nope"), "the job's result is no JSON"),
    "a deep result": (end(DEEP), "the job's result is no JSON"),
}


async def held(store: Store, number: int, **more: Any) -> Job:
    """Keep a job that a host holds."""
    new = job(number, **more)
    await store.create([Birth(job=new)], None)
    leased, _ = await store.update(new.job_id, lambda found: domain.lease(found, "h", 2.0))
    return leased


async def reported(store: Store, held: Job, **said: Any) -> tuple[Job, list[Event], bool]:
    """Take a report; return the job, its log, and whether the report was refused."""
    read = report_from_pb(host_pb2.Report(job=f"jobs/{held.job_id}", epoch=1, source_seq=held.source_seq + 1, **said))

    def rule(found: Job) -> Change:
        seq = found.source_seq + 1
        return domain.report(found, Lease("h", 1), seq, read.events, read.outcome, 3.0, read.opening, read.step)

    kept, _ = await store.update(held.job_id, rule)
    return kept, await store.events(held.job_id, 0, 100), read.is_refused


@pytest.mark.parametrize("name", UNUSABLE)
async def test_what_cannot_be_kept_ends_its_job(store: Store, name: str) -> None:
    """With words, behind the events that the job sent before it; it is told apart from an end of the job's own."""
    said, words = UNUSABLE[name]
    said = {**event("debug", "before"), **said}
    ended, log, is_refused = await reported(store, await held(store, 1, **PAID, **TALKING), **said)

    assert (State.FAILED, Reason.ERROR, True) == (ended.state, ended.reason, is_refused)
    assert words in ended.error
    assert ["status", "debug", "error", "status"] == [each.kind for each in log]
    assert () == ended.pending_locks
    assert 2 == ended.source_seq


ODD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "half a character in a result": (end(HALF), {}),
    "half a character in a paid result": (end(HALF), PAID),
    "half a character in a legacy result": (end(HALF), PAID_LEGACY),
    "half a character in an answer": (end(HALF), TALKING),
    "half a character in a lock": (lock(data_json=HALF, elements_json=f"[{HALF}]"), {}),
    "half a character in a step": ({"step": host_pb2.StepResult(name="a", result_json=HALF, shown_json=HALF)}, {}),
    "half a character in a memory": (event("memory", r'{"layer":"short","content":"\ud800","category":"\ud8"}'), AGENT),
    "half a character in what it is about": (
        event("memory", r'{"layer":"short","content":"a","category":"\udfff"}'),
        AGENT,
    ),
    "half a character in a progress": (event("progress", r'{"text":"\ud800"}'), {}),
    "a deep memory": (event("memory", DEEP), AGENT),
    "a deep memory of a flow": (event("memory", DEEP), {}),
    "a deep progress": (event("progress", DEEP), {}),
    "a long percentage": (event("progress", f'{{"percent":1{"0" * 400}}}'), {}),
    "a long importance": (event("memory", f'{{"layer":"short","content":"a","importance":1{"0" * 400}}}'), AGENT),
    "a step of no JSON": ({"step": host_pb2.StepResult(name="a", result_json="nope")}, {}),
    "a deep step": ({"step": host_pb2.StepResult(name="a", result_json=DEEP)}, {}),
    "no result": (end(""), {}),
    "no paid result": (end(""), PAID),
    "an unknown reason": ({"outcome": host_pb2.Outcome(state=FAILED, reason=99)}, {}),  # type: ignore[arg-type]
    "NUL in an event": (event("debug\0", "a\0b"), {}),
    "NUL in a progress": (event("progress", r'{"text":"a\u0000b"}'), {}),
    "NUL in a memory": (event("memory", r'{"layer":"short","content":"a\u0000b","category":"a\u0000b"}'), AGENT),
    "NUL in a lock": (lock(title="a\0b", data_json=r'{"a":"\u0000"}', elements_json=r'["\u0000"]'), {}),
    "NUL in a step": ({"step": host_pb2.StepResult(name="a\0b", result_json=r'"\u0000"')}, {}),
    "NUL in a result": (end(r'{"str":"a\u0000b"}'), {}),
    "NUL in a paid result": (end(r'{"str":"a\u0000b"}'), PAID),
    "NUL in an answer": (end(r'{"str":"a\u0000b"}'), TALKING),
    "NUL in an error": ({"outcome": host_pb2.Outcome(state=FAILED, error="a\0", detail="\0")}, {}),
}


@pytest.mark.parametrize("name", ODD)
async def test_whatever_else_a_job_says_is_kept(store: Store, name: str) -> None:
    """As it can be: half a character is replaced, what a job says wrongly of itself changes nothing else of it."""
    said, more = ODD[name]
    talk = Conversation(
        conversation_id="c1", owner="users/a", title="", summary="", created_at=1.0, updated_at=1.0, last_message_at=1.0
    )
    await store.conversations.add(talk, None)
    kept, log, is_refused = await reported(store, await held(store, 1, **more), **said)
    if not kept.ended:
        kept, log, _ = await reported(store, kept, **end('{"str":"done"}'))

    assert not is_refused
    assert (State.FAILED if "outcome" in said and said["outcome"].state == FAILED else State.SUCCEEDED) == kept.state
    for text in (kept.result_json, kept.progress_text, *(each.payload for each in log)):
        assert text == text.encode().decode()


async def test_only_half_a_character_is_replaced(store: Store) -> None:
    """Not a whole one, nor what only looks like half of one."""
    ended, _, _ = await reported(store, await held(store, 1), **end(HALF))

    assert {"str": "a \ufffd b \\ud800 \U0001f600"} == json.loads(ended.result_json)


async def test_the_id_of_a_lock_is_taken_once(store: Store) -> None:
    """By whatever job, also one that has ended; nothing of the change is kept then, and other jobs go on."""
    first, second, third = [await held(store, number) for number in (1, 2, 3)]
    first, _, _ = await reported(store, first, **lock("taken"))

    for one in (first, second):
        with pytest.raises(AlreadyExists):
            await reported(store, one, **lock("taken"))
    others, _, _ = await reported(store, third, **lock("free"))

    assert first == await store.get(first.job_id)
    assert second == await store.get(second.job_id)
    assert first.job_id == (await store.get_lock("taken")).job_id
    assert ("free",) == others.pending_locks


async def test_a_conflict_of_one_job_fails_no_other(store: Store) -> None:
    """Though what they say is written at once."""
    first, *others = [await held(store, number) for number in range(1, 8)]
    await reported(store, first, **lock("taken"))
    said = [lock("taken" if number == 3 else "both" if number > 3 else f"l{number}") for number in range(6)]
    done = await asyncio.gather(
        *(reported(store, one, **of) for one, of in zip(others, said, strict=True)),
        return_exceptions=True,
    )

    assert 2 == len([each for each in done if isinstance(each, AlreadyExists)])
    assert 4 == len([each for each in done if isinstance(each, tuple)])
