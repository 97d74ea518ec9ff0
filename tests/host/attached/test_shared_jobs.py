"""Jobs that share a worker, as the runner hears of them."""

import asyncio
import json
import os
import pathlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, job_pb2

from tests.host.stage import DEADLINE_S, Stage, stage, until

APP = "tests.host.flows:app"
FLOWS = "tests.host.flows:"

CANCELLED, FAILED, SUCCEEDED = job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_SUCCEEDED


@pytest_asyncio.fixture
async def host(tmp_path: pathlib.Path) -> AsyncIterator[Stage]:
    """Run a host of the app, where it may reach the test's folder."""
    async with stage(APP, bounds=app_pb2.Bounds(write_paths=[str(tmp_path)])) as running:
        yield running


@pytest.fixture
def gate(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a named pipe at which flows wait."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def start(host: Stage, flow: str, **inputs: Any) -> str:
    """Start a job in the worker."""
    return host.run(FLOWS + flow, shared=True, inputs_json=json.dumps(inputs))


async def waiting(host: Stage) -> str:
    """Start a job that waits for ever, and see that it does."""
    job = start(host, "wait")
    await host.until(lambda: host.events(job))
    return job


async def pid(host: Stage) -> int:
    """Return the process that a new job gets."""
    return int(result(await host.end(start(host, "count")))[0])


def result(outcome: host_pb2.Outcome) -> Any:
    """Return what a flow returned."""
    (value,) = json.loads(outcome.result_json).values()
    return [next(iter(item.values())) for item in value] if isinstance(value, list) else value


async def test_jobs_share_a_process(host: Stage) -> None:
    """The environment is nobody's; the tracer knows which job it is."""
    jobs = [start(host, "count") for _ in range(20)]

    results = [result(await host.end(job)) for job in jobs]

    assert 1 == len({found[0] for found in results})
    assert {"None"} == {found[2] for found in results}
    assert [job.removeprefix("jobs/") for job in jobs] == [found[3] for found in results]


async def test_without_fork_the_worker_is_an_interpreter_of_its_own() -> None:
    """Its jobs share it all the same."""
    async with stage(APP, fork=False) as host:
        jobs = [start(host, "count") for _ in range(2)]
        outcomes = [await host.end(job) for job in jobs]

        assert [SUCCEEDED] * 2 == [outcome.state for outcome in outcomes]
        assert 1 == len({result(outcome)[0] for outcome in outcomes})


async def test_each_job_has_its_own_output(host: Stage) -> None:
    """In its tasks, its threads and the app's log; in order."""
    names = ["ann", "bob", "eve"]
    jobs = {name: start(host, "output", name=name) for name in names}
    for job in jobs.values():
        await host.end(job)

    for name, job in jobs.items():
        assert [f"{name} prints", f"{name} in a thread", f"{name} in a task"] * 3 == host.events(job, "stdout")
        assert [f"{name} to stderr", f"{name} logs"] * 3 == host.events(job, "stderr")


async def test_locks_are_answered(host: Stage) -> None:
    """Each job gets the answer to its own, whatever the order."""
    jobs = [start(host, "ask_once") for _ in range(3)]
    for job in jobs:
        await host.until(lambda job=job: host.locks(job))  # type: ignore[misc]
    for number, job in reversed(list(enumerate(jobs))):
        host.answer(job, host.locks(job)[0].lock_id, json.dumps({"number": number}))

    results = [result(await host.end(job)) for job in jobs]

    assert [{"number": 0}, {"number": 1}, {"number": 2}] == results


async def test_a_cancelled_job_cleans_up(host: Stage) -> None:
    """And only that one; one that is told before it has begun ends as well."""
    jobs = [await waiting(host) for _ in range(3)]
    early = start(host, "wait")
    host.cancel(early)
    host.cancel(jobs[1])

    outcomes = [await host.end(job) for job in (jobs[1], early)]

    assert [CANCELLED] * 2 == [outcome.state for outcome in outcomes]
    assert ["waiting", "cleaned up"] == host.events(jobs[1])
    assert [["waiting"], ["waiting"]] == [host.events(jobs[0]), host.events(jobs[2])]
    assert host.outcome(jobs[0]) is None


@pytest.mark.parametrize("flow", ["ask_once", "ask_in_a_thread"])
async def test_a_cancelled_job_waits_no_more_for_an_answer(host: Stage, flow: str) -> None:
    """Wherever it waits; its worker goes on."""
    other = await waiting(host)
    job = start(host, flow)
    await host.until(lambda: host.locks(job))
    host.cancel(job)

    assert CANCELLED == (await host.end(job)).state
    host.cancel(other)
    assert CANCELLED == (await host.end(other)).state
    assert ["waiting", "cleaned up"] == host.events(other)


@pytest.mark.parametrize("flow", ["stubborn", "in_a_thread"])
async def test_a_job_that_does_not_stop_ends_with_its_worker(host: Stage, gate: pathlib.Path, flow: str) -> None:
    """Not before nothing else runs there; new jobs run in another worker meanwhile."""
    first = await pid(host)
    other = await waiting(host)
    stuck = start(host, flow, gate=str(gate))
    await host.until(lambda: host.events(stuck))

    host.cancel(stuck, grace_s=0.1)
    async with asyncio.timeout(DEADLINE_S):
        while await pid(host) == first:
            pass
    before = host.outcome(stuck)
    host.cancel(other)

    assert before is None
    assert CANCELLED == (await host.end(other)).state
    assert CANCELLED == (await host.end(stuck)).state


async def test_what_a_job_leaves_behind_is_cancelled(host: Stage, tmp_path: pathlib.Path) -> None:
    """The job has ended all the same, and so has what it left."""
    trace = tmp_path / "trace"
    outcome = await host.end(start(host, "leave_behind", trace=str(trace)))

    assert SUCCEEDED == outcome.state
    await asyncio.to_thread(until, lambda: trace.exists() and "cancelled" == trace.read_text())


async def test_a_task_that_ends_the_program_ends_itself(host: Stage) -> None:
    """Neither its job nor the worker."""
    other = await waiting(host)
    outcome = await host.end(start(host, "raise_in_a_task"))
    host.cancel(other)

    assert (SUCCEEDED, "left") == (outcome.state, result(outcome))
    assert CANCELLED == (await host.end(other)).state


async def test_a_worker_that_dies_loses_its_jobs_and_is_replaced(host: Stage) -> None:
    """They say how it ended."""
    jobs = [await waiting(host) for _ in range(2)]
    jobs.append(start(host, "leave"))

    outcomes = [await host.end(job) for job in jobs]
    after = await host.end(start(host, "noop"))

    for outcome in outcomes:
        assert (FAILED, job_pb2.JOB_REASON_WORKER_LOST) == (outcome.state, outcome.reason)
        assert "exited with status 3" in outcome.error
    assert SUCCEEDED == after.state


async def test_a_blocked_loop_is_named_and_others_run_elsewhere(host: Stage, gate: pathlib.Path) -> None:
    """The job that blocks says so itself, with the place; heartbeats go on, and so do others, after it or elsewhere."""
    first = await pid(host)
    other = await waiting(host)
    blocking = start(host, "block", gate=str(gate))
    await host.until(lambda: host.events(blocking))
    behind = [start(host, "noop") for _ in range(5)]
    beats = host.heartbeats

    elsewhere = [await host.end(job) for job in behind]
    await host.until(lambda: host.heartbeats > beats + 2)
    second = await pid(host)
    (said,) = await host.until(lambda: host.events(blocking, "stderr"))
    await asyncio.to_thread(gate.write_text, "go on")
    outcome = await host.end(blocking)
    host.cancel(other)

    assert [SUCCEEDED] * 5 == [outcome.state for outcome in elsewhere]
    assert first != second
    assert re.search(r"tests.host.flows:block has blocked the event loop for [1-9]\d*\.\d s", said)
    assert "in _read" in said
    assert "agentmesh" not in said
    assert (SUCCEEDED, "go on") == (outcome.state, result(outcome))
    assert CANCELLED == (await host.end(other)).state


async def test_a_job_that_computes_is_named_too(host: Stage, tmp_path: pathlib.Path) -> None:
    """It need not wait for anything to block."""
    enough = tmp_path / "enough"
    job = start(host, "hog", gate=str(enough))

    said = await host.until(lambda: host.events(job, "stderr"))
    enough.touch()

    assert "tests.host.flows:hog has blocked" in said[0]
    assert SUCCEEDED == (await host.end(job)).state


async def test_a_job_that_says_too_much_waits_alone(host: Stage) -> None:
    """While the runner acknowledges nothing, it waits with what it has to say, and another is heard."""
    host.acknowledging = False
    talking = start(host, "talk", count=300, size=100_000)
    await host.until(lambda: len(host.events(talking)) >= 80)
    other = await waiting(host)
    silent = await host.end(start(host, "noop"))
    heard = len(host.events(talking))

    host.acknowledging = True
    await host.hang_up()
    outcome = await host.end(talking)
    host.cancel(other)

    assert SUCCEEDED == silent.state
    assert heard < 250
    assert SUCCEEDED == outcome.state
    assert [str(number) for number in range(300)] == [payload.split()[0] for payload in host.events(talking)]
    assert CANCELLED == (await host.end(other)).state


async def test_thousands_of_jobs_wait_in_one_worker(host: Stage) -> None:
    """All of them are told to stop, and all end."""
    jobs = [start(host, "wait") for _ in range(2000)]
    await host.until(lambda: all(host.events(job) for job in jobs))
    for job in jobs:
        host.cancel(job)

    outcomes = [await host.end(job) for job in jobs]

    assert {CANCELLED} == {outcome.state for outcome in outcomes}
    assert 1 == len(host.hellos)
