"""What a job says and nobody can keep is that job's own: its host, and the other jobs of it, go on."""

import itertools
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from tests.runner.playing import Host, Stages, Stream, staged

DONE = host_pb2.Outcome(state=job_pb2.JOB_STATE_SUCCEEDED, result_json='{"str":"done"}')
_NUMBERS = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stages]:
    """Run a runner."""
    async with staged(tmp_path_factory.mktemp("reports")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(stages: Stages) -> tuple[Host, Stream]:
    """A host whose stream is to last through all of these tests."""
    return await stages.place()


def lock(lock_id: str, **more: Any) -> dict[str, Any]:
    """Return the lock of a report."""
    return {"lock": host_pb2.OpenLock(**{"lock_id": lock_id, "title": "t", "data_json": "{}", **more})}


TAKEN = "a lock that another job has"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    TAKEN: (lock("taken"), "a lock of this id exists"),
    "a lock of two words": (lock("a b"), "the id of lock 't' must be"),
    "a lock of no JSON": (lock("l1", data_json="nope"), "the data of lock 't' is no JSON"),
    "no end": ({"outcome": host_pb2.Outcome(state=job_pb2.JOB_STATE_STOPPING)}, "STOPPING, which is no end"),
    "no state": ({"outcome": host_pb2.Outcome()}, "UNSPECIFIED, which is no end"),
    "an unknown state": ({"outcome": host_pb2.Outcome(state=99)}, "99, which is no end"),  # type: ignore[arg-type]
    "no JSON": ({"outcome": host_pb2.Outcome(state=DONE.state, result_json="nope")}, "the job's result is no JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_report_that_cannot_be_kept_ends_its_job_only(
    stages: Stages, ours: tuple[Host, Stream], name: str
) -> None:
    """In words; its host is told to drop it, however often it says it, and all else that it says is taken."""
    said, words = REFUSED[name]
    stream = ours[1]
    other, other_run = await stages.run(*ours)
    opened = "taken" if name == TAKEN else f"free-{next(_NUMBERS)}"
    assert await stream.report(other_run, **lock(opened))
    job, run = await stages.run(*ours)
    assert not await stream.report(run, **said)
    assert not await stream.report(run, **said)
    assert not await stream.report(run, 2, outcome=DONE)
    assert await stream.report(other_run, 2, outcome=DONE)

    found = await stages.mesh.get(job)
    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_ERROR) == (found.state, found.reason)
    assert words in found.error
    assert job_pb2.JOB_STATE_SUCCEEDED == (await stages.mesh.get(other)).state


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("memory", "[" * 200_000), ("progress", r'{"text":"\ud800"}'), ("progress", f'{{"percent":1{"0" * 400}}}')],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_flow_says_wrongly_is_no_end_of_it(
    stages: Stages, ours: tuple[Host, Stream], kind: str, payload: str
) -> None:
    """By the methods that every flow has."""
    job, run = await stages.run(*ours)
    assert await ours[1].report(run, events=[job_pb2.Event(kind=kind, payload=payload, time=1.0)])
    assert await ours[1].report(run, 2, outcome=DONE)

    assert job_pb2.JOB_STATE_SUCCEEDED == (await stages.mesh.get(job)).state


@pytest.mark.asyncio(loop_scope="module")
async def test_a_number_that_nobody_counts_to_is_a_gap(stages: Stages, ours: tuple[Host, Stream]) -> None:
    """Also the largest, behind which there is none."""
    job, run = await stages.run(*ours)
    events = [job_pb2.Event(kind="debug", payload="a", time=1.0)] * 2
    assert not await ours[1].report(run, 2**63 - 1, events=events)

    assert "left out" in (await stages.mesh.get(job)).error


@pytest.mark.parametrize(
    "said",
    [
        {"lock": host_pb2.OpenLock(title="t", data_json=json.dumps("x" * 300_000))},
        {"step": host_pb2.StepResult(name="a", result_json=json.dumps("x" * 300_000))},
        {"events": [job_pb2.Event(kind="debug", payload="x", detail="x" * 300_000, time=1.0)]},
    ],
    ids=["locks", "steps", "details"],
)
async def test_all_that_is_kept_of_a_job_is_of_its_owners_share(tmp_path: pathlib.Path, said: dict[str, Any]) -> None:
    """Not its events' payloads alone."""
    async with staged(tmp_path, stored_bytes_per_owner=2_000_000) as stages:
        host, stream = await stages.place()
        job, run = await stages.run(host, stream)
        for number in range(1, 30):
            if "lock" in said:
                said["lock"].lock_id = f"l{number}"
            await stream.report(run, number, **said)
        ended = await stages.mesh.get(job)

        assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_BUDGET_EXCEEDED) == (ended.state, ended.reason)
