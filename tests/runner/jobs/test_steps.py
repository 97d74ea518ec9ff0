"""Steps that are done once, jobs that are started again, and what ends jobs at their limits; with real processes."""

import base64
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, job_pb2
from google.protobuf import struct_pb2

from tests.runner.jobs.test_jobs import kinds
from tests.runner.stack import DEADLINE_S, Stack, stack

PROCESS, SHARED = app_pb2.ISOLATION_PROCESS, app_pb2.ISOLATION_SHARED
APP = "tests.runner.samples.stepping:app"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a runner with the app in each isolation, and spawned."""
    async with stack(tmp_path_factory.mktemp("steps"), app_patience_s=60, cancel_grace_s=0.5) as running:
        await running.deploy("process", APP, isolation=PROCESS)
        await running.deploy("shared", APP, isolation=SHARED)
        await running.deploy("spawned", APP, isolation=PROCESS, fork=False)
        yield running


async def start(mesh: Stack, flow: str, path: pathlib.Path, **more: Any) -> job_pb2.Job:
    """Start a job."""
    inputs = struct_pb2.Struct()
    inputs.update({"path": str(path), **{key: more.pop(key) for key in ("end", "gate", "secret") if key in more}})
    request = job_pb2.CreateJobRequest(target=f"flows/{flow}", inputs=inputs, **more)
    job: job_pb2.Job = await mesh.jobs.CreateJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    return job


@pytest.fixture
def path(mesh: Stack, request: pytest.FixtureRequest) -> pathlib.Path:
    """Return a file that jobs may write."""
    found = mesh.folder / f"did-{abs(hash(request.node.nodeid))}"
    found.touch()
    found.chmod(0o666)
    return found


def lines(path: pathlib.Path) -> list[str]:
    """Return what jobs have done."""
    return path.read_text().splitlines()


def steps(events: list[job_pb2.Event]) -> list[str]:
    """Return the names of the steps in a log."""
    return [json.loads(event.payload)["name"] for event in events if event.kind == "step"]


@pytest.mark.parametrize("expose", ["process", "shared", "spawned"])
async def test_another_attempt_takes_up_behind_what_is_recorded(mesh: Stack, path: pathlib.Path, expose: str) -> None:
    """The process is killed after four steps: they are in the log, and are not done again."""
    job = await start(mesh, expose, path, end="kill", secret="a-long-secret")
    events = await mesh.events(job)
    done = await mesh.get(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == done.state, done.error
    did = lines(path)
    assert ["begun", "first", "second"] == did[:3]
    assert ["a", "b"] == sorted(did[3:5])
    assert ["begun", "last 2"] == did[5:]
    assert {"same": True, "steps": ["second", "a", "b", "last 2"]} == json.loads(done.result_json)["dict"]
    assert ["first", "second", "side", "side", "last"] == steps(events)
    statuses = [event.payload for event in events if event.kind == "status"]
    assert ["queued", "running", "retrying", "queued", "running", "succeeded"] == statuses
    assert not any("a-long-secret" in event.payload for event in events)


@pytest.mark.parametrize("expose", ["process", "shared"])
async def test_a_secret_in_a_step_is_replayed_and_not_shown(mesh: Stack, path: pathlib.Path, expose: str) -> None:
    """Wherever it stands: in its name, as a number, in a form that only the job's process looks for."""
    secret = "8121318151"
    job = await start(mesh, f"{expose}/told", path, end="kill" if expose == "process" else "once", secret=secret)
    events = await mesh.events(job)
    done = await mesh.get(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == done.state, done.error
    assert ["begun", "first", "begun"] == lines(path)
    assert {"same": True} == json.loads(done.result_json)["dict"]
    (step,) = (json.loads(event.payload) for event in events if event.kind == "step")
    assert {"name": "sign in with [REDACTED]", "result": "[REDACTED]", "place": 1} == step
    forms = (secret, base64.b64encode(secret.encode()).decode())
    assert not [event for event in events if any(form in event.payload for form in forms)]


async def test_a_flow_that_is_not_async_takes_up_too(mesh: Stack, path: pathlib.Path) -> None:
    """Its steps are taken in its own thread."""
    job = await start(mesh, "process/sync", path, end="kill")
    await mesh.events(job)

    assert ["begun", "first", "begun", "last 2"] == lines(path)


@pytest.mark.parametrize("expose", ["process", "shared"])
async def test_errors_that_a_policy_names_are_tried_again(mesh: Stack, path: pathlib.Path, expose: str) -> None:
    """By what they are derived from; the log says what it was."""
    job = await start(mesh, expose, path, end="once")
    events = await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_SUCCEEDED, 2, 3) == (done.state, done.attempt, done.attempts_max)
    assert ["attempt 1 of 3 failed, and is made again: ConnectionResetError: no line"] == [
        event.payload for event in events if event.kind == "stderr"
    ]
    assert 1 == lines(path).count("first")


async def test_other_errors_and_the_last_one_end_the_job(mesh: Stack, path: pathlib.Path) -> None:
    """A caller may want another policy than the author's."""
    other = await start(mesh, "process", path, end="value")
    twice = await start(mesh, "process", path, end="raise", retries=job_pb2.RetryPolicy(attempts=2))
    named = await start(mesh, "process", path, end="value", retries=job_pb2.RetryPolicy(attempts=2, on=["ValueError"]))
    for job in (other, twice, named):
        await mesh.events(job)
    ends = [await mesh.get(job) for job in (other, twice, named)]

    assert [1, 2, 2] == [job.attempt for job in ends]
    exhausted = job_pb2.JOB_REASON_RETRIES_EXHAUSTED
    assert [job_pb2.JOB_REASON_ERROR, exhausted, exhausted] == [job.reason for job in ends]
    assert "ConnectionError: no line; it was started 2 times" == ends[1].error


async def test_a_flow_that_goes_another_way_is_told_so(mesh: Stack, path: pathlib.Path) -> None:
    """Once: it would come out the same again."""
    job = await start(mesh, "process/moody", path, end="kill")
    await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_ERROR, 2) == (done.state, done.reason, done.attempt)
    assert "step 1 was 'step 1' in an attempt before this one, and now it is 'step 2'" in done.error
    assert 1 == lines(path).count("done")


async def test_a_job_ends_at_its_deadline(mesh: Stack, path: pathlib.Path) -> None:
    """It has failed when nothing of it runs any more, though it did not listen."""
    pids: list[int] = []
    while not pids:  # on a busy machine its time may be over before it begins
        job = await start(mesh, "process/slow", path)
        events = await mesh.events(job)
        done = await mesh.get(job)
        pids += [int(event.payload) for event in events if event.kind == "debug"]

        assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_TIMEOUT) == (done.state, done.reason)
        assert "the job took longer than it may: its deadline is over" == done.error
        assert ["error", "status"] == kinds(events)[-2:]
    assert not psutil.pid_exists(pids[0])


async def test_a_caller_may_set_a_deadline(mesh: Stack, path: pathlib.Path) -> None:
    """It holds for a job that waits, too."""
    gate = path.with_suffix(".gate")
    job = await start(mesh, "shared", path, gate=str(gate), deadline_s=0.5)
    await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_TIMEOUT) == (done.state, done.reason)


@pytest.mark.parametrize(("end", "words"), [("tokens", "its budget is 100"), ("log", "its budget is 100000")])
async def test_a_job_ends_at_its_budget(mesh: Stack, path: pathlib.Path, end: str, words: str) -> None:
    """With words that say which one."""
    job = await start(mesh, "process/greedy", path, end=end)
    await mesh.events(job)
    done = await mesh.get(job)

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_BUDGET_EXCEEDED) == (done.state, done.reason)
    assert words in done.error
