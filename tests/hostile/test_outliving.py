"""What a job has started ends with it, whatever it has done to live on: before its end is told."""

import asyncio
import contextlib
import json
import sys
import uuid
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from tests.host.stage import Stage, stage, until
from tests.hostile.neighbourhood import CANCELLED, FAILED, SUCCEEDED
from tests.hostile.outliving import STARTS

APP = "tests.hostile.outliving:app"
FLOW = "tests.hostile.outliving:outlive"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="nobody else adopts orphans"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Stage]:
    """Run a host of the app."""
    async with stage(APP) as running:
        yield running


def start(host: Stage, how: str, end: str, *, shared: bool = False) -> tuple[str, str]:
    """Start a job; return it, and the name of what is to outlive it."""
    name = f"outliving-{uuid.uuid4()}"
    return host.run(FLOW, shared=shared, inputs_json=json.dumps({"how": how, "name": name, "end": end})), name


def left(name: str) -> list[psutil.Process]:
    """Return what runs under a name."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it is gone this very moment
            if process.status() != psutil.STATUS_ZOMBIE and (process.cmdline() or [""])[0] == name:
                found.append(process)
    return found


@pytest.mark.parametrize("how", STARTS)
async def test_nothing_outlives_the_normal_end_of_a_job(host: Stage, how: str) -> None:
    """Its end is told when all is gone, and it is the one that it said itself."""
    job, name = start(host, how, "return")
    outcome = await host.end(job)

    assert [] == left(name)
    assert (SUCCEEDED, how) == (outcome.state, json.loads(outcome.result_json)["str"])


@pytest.mark.parametrize("how", STARTS)
async def test_nothing_outlives_a_cancel(host: Stage, how: str) -> None:
    """A stop that is told is one."""
    job, name = start(host, how, "wait")
    await host.until(lambda: host.events(job))
    host.cancel(job)
    outcome = await host.end(job)

    assert [] == left(name)
    assert CANCELLED == outcome.state


@pytest.mark.parametrize("end", ["raise", "exit", "kill"])
async def test_nothing_outlives_another_end(host: Stage, end: str) -> None:
    """Nor does a job that crashes leave anything."""
    job, name = start(host, "daemon", end)
    outcome = await host.end(job)

    assert [] == left(name)
    assert FAILED == outcome.state


@pytest.mark.parametrize("end", ["return", "raise", "wait"])
@pytest.mark.parametrize("how", ["fork", "setsid", "nohup", "popen", "spawn", "tree"])
async def test_what_a_shared_job_has_started_ends_with_it(host: Stage, how: str, end: str) -> None:
    """As far as it can be told: not that of the job beside it."""
    living, kept = start(host, "popen", "wait", shared=True)
    await host.until(lambda: host.events(living))
    job, name = start(host, how, end, shared=True)
    if end == "wait":
        await host.until(lambda: host.events(job))
        host.cancel(job)
    outcome = await host.end(job)

    assert [] == left(name)
    assert {"return": SUCCEEDED, "raise": FAILED, "wait": CANCELLED}[end] == outcome.state
    assert 1 == len(left(kept))
    host.cancel(living)
    await host.end(living)
    assert [] == left(kept)


async def test_what_is_nobodys_in_a_worker_ends_when_no_job_is_there(host: Stage) -> None:
    """It cannot be told which job has left it behind."""
    job, name = start(host, "daemon", "return", shared=True)
    await host.end(job)
    await asyncio.to_thread(until, lambda: not left(name))


async def test_what_another_job_has_left_behind_is_its_own(host: Stage) -> None:
    """While it runs: the end of its neighbour takes nothing from it."""
    living, kept = start(host, "daemon", "wait")
    await host.until(lambda: host.events(living))
    job, name = start(host, "daemon", "return")
    await host.end(job)

    assert [] == left(name)
    assert 1 == len(left(kept))
    host.cancel(living)
    await host.end(living)
    assert [] == left(kept)


async def test_a_job_that_says_its_end_and_goes_on_is_ended(host: Stage) -> None:
    """What it said counts, once its process is gone."""
    name = f"outliving-{uuid.uuid4()}"
    job = host.run(f"{APP.split(':')[0]}:say_the_end", inputs_json=json.dumps({"how": "", "name": name}))
    outcome = await host.end(job)

    assert (SUCCEEDED, "said") == (outcome.state, json.loads(outcome.result_json)["str"])
    assert [] == left(name)
