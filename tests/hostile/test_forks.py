"""What a flow forks is no job: it takes nothing from the process that goes on, and ends where it comes back to it."""

import json
from typing import Any

import pytest
from agentmesh_protos.runner.v1 import host_pb2

from tests.host.stage import DEADLINE_S
from tests.hostile.neighbourhood import SUCCEEDED, Neighbourhood

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def outcome(neighbourhood: Neighbourhood, flow: str, *, shared: bool, **inputs: Any) -> dict[str, Any]:
    """Run a flow that forks; return what it returns."""
    job = neighbourhood.host.run(f"tests.hostile.forks:{flow}", shared=shared, inputs_json=json.dumps(inputs))
    found = await neighbourhood.host.end(job)

    assert (SUCCEEDED, "") == (found.state, found.error)
    result: dict[str, Any] = json.loads(found.result_json)
    return result


async def test_a_fork_does_nothing_of_what_waits_in_its_worker(neighbourhood: Neighbourhood) -> None:
    """Not even what was next: it is other jobs' as well."""
    file = neighbourhood.common_folder() / "done"
    assert {"int": 1} == await outcome(neighbourhood, "come_back", shared=True, file=str(file))
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("flow", ["return_locked", "ask_locked", "return_in_a_pool"])
async def test_a_fork_ends_where_it_comes_back(neighbourhood: Neighbourhood, flow: str, shared: bool) -> None:
    """Whatever threads that it lacks were about to say."""
    assert {"str": "returned"} == await outcome(neighbourhood, flow, shared=shared)
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize("shared", [False, True])
async def test_a_fork_that_waits_does_not_take_what_wakes_its_job(neighbourhood: Neighbourhood, shared: bool) -> None:
    """In a worker it does not even wait."""
    assert {"str": "woken"} == await outcome(neighbourhood, "wait", shared=shared)
    await neighbourhood.assert_unharmed()


@pytest.mark.parametrize(("path", "first"), [("/fork", 2_000_000), ("/fork_in_a_pool", 2_000_100)])
async def test_what_an_app_forks_answers_nobody(neighbourhood: Neighbourhood, path: str, first: int) -> None:
    """Neither the question that it was forked in, nor those that follow."""
    host, numbers = neighbourhood.host, range(first, first + 20)
    for number in numbers:
        call = host_pb2.Call(call_id=number, method="GET", path=path, timeout_s=DEADLINE_S)
        host.say(host_pb2.RunnerMessage(call=call))
        await host.until(lambda number=number: number in {a.call_result.call_id for a in host.answers})  # type: ignore[misc]
    await neighbourhood.assert_unharmed()

    found = [answer.call_result for answer in host.answers if answer.call_result.call_id in numbers]
    assert [(200, b'"answered"')] * len(numbers) == [(answer.status, answer.body) for answer in found]
