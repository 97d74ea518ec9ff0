"""What is said where a platform gives less, and what is refused then."""

import json
import os
import subprocess
import sys

import pytest
from agentmesh_protos.runner.v1 import job_pb2

from agentmesh.host.confine import Settings, missing, survey
from agentmesh.host.confine.settings import OFF
from tests.host.stage import Stage, stage

APP, NOOP = "tests.host.flows:app", "tests.host.flows:noop"
OLD = "tests.host.confine.old_kernel:pretend"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is nothing of it elsewhere")


async def _runs(host: Stage) -> bool:
    return (await host.end(host.run(NOOP))).state == job_pb2.JOB_STATE_SUCCEEDED


def test_off_gives_nothing() -> None:
    """Each line says what that opens."""
    measures = survey(Settings(isolation=OFF))

    assert not any(measure.given for measure in measures)
    assert all("its secrets included" in measure.note for measure in measures)


async def test_on_an_old_kernel_jobs_run_with_what_there_is() -> None:
    """Nobody has asked for more."""
    async with stage(APP, first=OLD) as host:
        assert await _runs(host)


async def test_what_is_required_and_missing_has_no_app_run() -> None:
    """It is named, with what it takes."""
    async with stage(APP, first=OLD, AGENTMESH_ISOLATION="require") as host:
        assert host.loaded is not None
        error = host.loaded.error

    assert "files: Landlock does not work here: it takes Linux 5.13" in error


async def test_off_runs_jobs_unconfined() -> None:
    """As it says."""
    async with stage(APP, AGENTMESH_ISOLATION="off") as host:
        outcome = await host.end(host.run("tests.hostile.prying:who"))

    found = json.loads(outcome.result_json)["dict"]
    assert ("0", "0") == (found["NoNewPrivs"], found["Seccomp"])


@pytest.mark.skipif(bool(missing(survey(Settings()))), reason="something is missing here")
async def test_what_is_required_and_there_is_no_hindrance() -> None:
    """Jobs run."""
    async with stage(APP, AGENTMESH_ISOLATION="require") as host:
        assert await _runs(host)


@pytest.mark.parametrize("how", ["here", "old", "off"])
def test_the_doctor_says_what_there_is(how: str) -> None:
    """A line a measure; it fails if something is missing."""
    code = "import sys; from agentmesh.cli import main; sys.exit(main())"
    if how == "old":
        code = "from tests.host.confine import old_kernel; old_kernel.pretend(); " + code
    env = {**os.environ, "AGENTMESH_ISOLATION": "off" if how == "off" else "auto"}
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"], capture_output=True, text=True, env=env, check=False
    )
    said = {each["name"]: each for each in map(json.loads, done.stdout.splitlines())}

    expected = survey(Settings(isolation=OFF) if how == "off" else Settings.of({}))
    names = [measure.name for measure in expected]
    assert names == list(said)[: len(names)]  # behind them is what a mesh stands on
    lacking = {name for name, each in said.items() if each["needed"] and not each["given"]}
    assert (1 if lacking else 0) == done.returncode, done.stderr
    lacking &= set(names)
    if how == "here":
        assert {measure.name for measure in missing(expected)} == lacking
    else:
        assert "files" in lacking
