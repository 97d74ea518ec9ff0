"""Where jobs are at home."""

import asyncio
import json
import os
import pathlib
import signal

import pytest
from agentmesh_protos.runner.v1 import app_pb2

from tests.host.stage import Stage, stage, until

APP = "tests.host.flows:app"
HOUSE = "tests.host.flows:house"


async def house(host: Stage, *, shared: bool = False) -> dict[str, str]:
    """Run a job that leaves something; return where, and more of it."""
    outcome = await host.end(host.run(HOUSE, shared=shared))
    result: dict[str, str] = json.loads(outcome.result_json)["dict"]
    return result


async def until_gone(path: str) -> None:
    """Wait until a path is not there."""
    await asyncio.to_thread(until, lambda: not os.path.lexists(path))


@pytest.mark.parametrize("fork", [True, False])
async def test_each_job_has_a_home_of_its_own_while_it_runs(fork: bool) -> None:
    """What it leaves there goes with it; it works where the app is."""
    async with stage(APP, fork=fork) as host:
        found = [await house(host) for _ in range(2)]
        for each in found:
            await until_gone(each["home"])

    assert 2 == len({each["home"] for each in found})
    assert {host.folder} == {pathlib.Path(each["home"]).parent for each in found}
    assert [f"{each['home']}/tmp" for each in found] == [each["tmp"] for each in found]
    assert {os.getcwd()} == {each["cwd"] for each in found}


async def test_jobs_of_a_worker_share_its_home() -> None:
    """It goes with the worker."""
    async with stage(APP) as host:
        found = await asyncio.gather(house(host, shared=True), house(host, shared=True))
        os.kill(int(found[0]["pid"]), signal.SIGKILL)
        await until_gone(found[0]["home"])

    assert 1 == len({each["home"] for each in found})


async def test_a_home_that_the_author_has_given_stays(tmp_path: pathlib.Path) -> None:
    """As all that `env_vars` says."""
    bounds = app_pb2.Bounds(write_paths=[str(tmp_path)])
    async with stage(APP, runtime_env={"env_vars": {"HOME": str(tmp_path)}}, bounds=bounds) as host:
        found = await house(host)

    assert str(tmp_path) == found["home"]
    assert host.folder == pathlib.Path(found["tmp"]).parent.parent
