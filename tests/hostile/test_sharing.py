"""What misbehaves in a worker that it shares: the others there go on, or are told in words why they cannot."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2

from tests.host.stage import stage
from tests.hostile.neighbourhood import APP, CANCELLED, FAILED, SUCCEEDED, Neighbourhood

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOST, ERROR = job_pb2.JOB_REASON_WORKER_LOST, job_pb2.JOB_REASON_ERROR


@pytest.mark.parametrize(
    ("flow", "inputs", "words"),
    [
        ("raise_huge", {}, "ValueError: xxx"),
        ("raise_strange", {}, "Strange: lone ?, null \x00"),
        ("raise_group", {}, "ExceptionGroup: yyy"),
        ("return_huge", {}, "keep it under 4 MiB"),
        ("lock_huge", {}, "keep it under 4 MiB"),
        ("lock_titled", {}, "keep it under 4 MiB"),
        *(
            ("say_huge", {"how": how}, "keep it under 4 MiB")
            for how in ("debug", "result", "action", "markdown", "html", "text", "warning")
        ),
        ("say_huge", {"how": "kind"}, "an event's kind has 1 to 64 characters"),
        ("leave", {"how": "sys.exit"}, "SystemExit: 3"),
        ("leave", {"how": "KeyboardInterrupt"}, "KeyboardInterrupt"),
        ("leave", {"how": "GeneratorExit"}, "GeneratorExit"),
        ("leave", {"how": "CancelledError"}, "the flow cancelled itself"),
        ("leave", {"how": "StopIteration"}, "StopIteration"),
        ("recurse", {}, "RecursionError"),
        ("stream", {}, "stream returned an async generator, not a result"),
        ("misuse_loop", {"how": "run"}, "asyncio.run() cannot be called from a running event loop"),
        ("misuse_loop", {"how": "run_until_complete"}, "This event loop is already running"),
        ("misuse_loop", {"how": "close"}, "Cannot close a running event loop"),
        ("misuse_loop", {"how": "cancel all"}, "the flow cancelled itself"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    neighbourhood: Neighbourhood, flow: str, inputs: dict[str, Any], words: str
) -> None:
    """The job fails at once."""
    _, outcome = await neighbourhood.run(flow, shared=True, **inputs)

    assert (FAILED, ERROR) == (outcome.state, outcome.reason)
    assert words in outcome.error
    assert outcome.ByteSize() < 200_000
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize(
    ("flow", "inputs", "events"),
    [
        ("threads", {}, None),
        ("fork", {}, []),
        ("fork_in_a_thread", {}, []),
        ("close_streams", {}, ["printed", "after"]),
        ("log_badly", {}, None),
        ("say_strange", {}, None),
        ("return_deep", {}, []),
        ("return_strange", {}, []),
        ("misuse_loop", {"how": "stop"}, []),
        ("misuse_loop", {"how": "cancel others"}, []),
        ("misuse_loop", {"how": "leave tasks"}, None),
        ("run_own_loop", {}, ["on a loop of its own"]),
        ("collect", {}, None),
        ("turn_descriptors", {}, ["printed"]),
    ],
)
async def test_what_is_its_own_affair(
    neighbourhood: Neighbourhood,
    flow: str,
    inputs: dict[str, Any],
    events: list[str] | None,
) -> None:
    """The job runs to its end, and what it said is there."""
    job, outcome = await neighbourhood.run(
        flow, shared=True, file=str(neighbourhood.common_folder() / "file"), **inputs
    )

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    if events is not None:
        assert events == neighbourhood.events(job)
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("context", ["fork", "spawn"])
async def test_pools_work(neighbourhood: Neighbourhood, context: str) -> None:
    """What their processes print goes to the host's log."""
    _, outcome = await neighbourhood.run("pool", shared=True, context=context)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    await neighbourhood.assert_unharmed()


async def test_streams_in_the_place_of_its_own(neighbourhood: Neighbourhood) -> None:
    """Are its own, also while others print."""
    host = neighbourhood.host
    job = neighbourhood.start("replace_streams", shared=True)
    await host.until(lambda: host.locks(job))
    await neighbourhood.assert_unharmed()
    await neighbourhood.answer(job)
    outcome = await host.end(job)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    assert ["['taken', 'taken', 'again']", "after"] == neighbourhood.events(job)
    await neighbourhood.assert_unharmed()


async def test_output_arrives_as_written(neighbourhood: Neighbourhood) -> None:
    """A question is seen while it is asked."""
    host = neighbourhood.host
    job = neighbourhood.start("write", shared=True)
    await host.until(lambda: "Name?" in host.events(job, "stdout"))
    await neighbourhood.answer(job)
    outcome = await host.end(job)

    assert (SUCCEEDED, "") == (outcome.state, outcome.error)
    lines = host.events(job, "stdout")
    assert ["Name?", "Ann", "ready", "one", "two", "Grüße", "b'bytes' lone ?"] == lines[:7]
    assert 100_000 == sum(len(line) for line in lines[7:9])
    assert ["False utf-8 1 True", "\\udfff", "the end"] == lines[9:]


@pytest_asyncio.fixture(loop_scope="module")
async def doomed() -> AsyncIterator[Neighbourhood]:
    """Run a host whose worker a test ends."""
    async with stage(APP) as host:
        neighbourhood = Neighbourhood(host)
        await neighbourhood.move_in(shared=False)
        await neighbourhood.move_in(shared=True)
        yield neighbourhood


@pytest.mark.parametrize(
    ("flow", "inputs", "words"),
    [
        ("leave", {"how": "os._exit"}, "the worker that it shared with other jobs exited with status 3"),
        ("leave", {"how": "SIGSEGV"}, "the worker that it shared with other jobs was killed by SIGSEGV"),
        ("recurse_natively", {}, "the worker that it shared with other jobs was killed by SIGSEGV"),
        ("close_all_descriptors", {}, "the worker that it shared with other jobs"),  # ends, or is ended
    ],
)
async def test_what_ends_the_worker_ends_those_who_chose_it(
    doomed: Neighbourhood, flow: str, inputs: dict[str, Any], words: str
) -> None:
    """In words; all others go on, and new jobs get a new worker."""
    lost = doomed.sharing
    _, outcome = await doomed.run(flow, shared=True, **inputs)
    theirs = await doomed.host.end(lost)

    for found in (outcome, theirs):
        assert (FAILED, LOST) == (found.state, found.reason)
        assert words in found.error
    await doomed.move_in(shared=True)
    await doomed.assert_unharmed()


async def test_what_blocks_the_loop_is_named_and_ended(doomed: Neighbourhood) -> None:
    """New jobs run in another worker meanwhile; a cancel ends it when nothing else runs there."""
    host = doomed.host
    host.cancel(doomed.sharing)
    assert CANCELLED == (await host.end(doomed.sharing)).state
    job = doomed.start("spin", shared=True)
    await host.until(lambda: any("has blocked the event loop" in said for said in host.events(job, "stderr")))
    await doomed.move_in(shared=True)
    await doomed.assert_unharmed()
    host.cancel(job, grace_s=0.2)

    assert CANCELLED == (await host.end(job)).state
    await doomed.assert_unharmed()


async def test_a_hundred_at_once(neighbourhood: Neighbourhood) -> None:
    """Of all sorts, among others that work."""
    rude = [
        neighbourhood.start(flow, shared=True, **inputs)
        for flow, inputs in (
            [("raise_huge", {}), ("say_huge", {"how": "debug"}), ("misuse_loop", {"how": "cancel all"})] * 5
            + [("close_streams", {}), ("say_strange", {}), ("log_badly", {}), ("fork", {})] * 5
        )
    ]
    good = [neighbourhood.start("noop", shared=shared) for shared in (True, False) * 30]

    outcomes = await asyncio.gather(*map(neighbourhood.host.end, good))
    await asyncio.gather(*map(neighbourhood.host.end, rude))

    assert {SUCCEEDED} == {outcome.state for outcome in outcomes}
    await neighbourhood.assert_unharmed()
