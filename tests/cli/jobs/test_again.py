"""Jobs that are found, shown, run again and forgotten, at a real mesh."""

import datetime
import json

import pytest

from agentmesh.cli.jobs.again import RERUN_OF
from agentmesh.cli.terminal import finding
from agentmesh.client import Job, NotFound
from agentmesh.testing import Mesh
from tests.cli.conftest import Cli


@pytest.fixture(scope="module")
def greeted(cli_mesh: Mesh) -> Job:
    """A job that has succeeded."""
    return cli_mesh.client.run("greeter", {"name": "Ada"})


@pytest.fixture(scope="module")
def broken(cli_mesh: Mesh) -> Job:
    """A job that has failed."""
    return cli_mesh.client.run("greeter/broken", {"name": "Ada"})


def listed(done: str) -> set[str]:
    """Return the ids in what `jobs --json` prints."""
    return {json.loads(line)["name"].removeprefix("jobs/") for line in done.splitlines()}


def test_jobs_are_chosen_by_state_flow_and_age(typed: Cli, greeted: Job, broken: Job) -> None:
    """Each option leaves out what it does not mean; a state may be repeated, or listed with commas."""
    both = {greeted.id, broken.id}

    assert {broken.id} == listed(typed("jobs", "--json", "--state", "failed").out) & both
    assert both == listed(typed("jobs", "--json", "-s", "failed,succeeded", "-n", "100").out) & both
    assert {greeted.id} == listed(typed("jobs", "--json", "--flow", "greeter", "-n", "100").out) & both
    assert both == listed(typed("jobs", "--json", "--since", "1d", "-n", "100").out) & both
    assert set() == listed(typed("jobs", "--json", "--since", "2999-01-01").out)


def test_a_job_is_shown_by_the_beginning_of_its_id(typed: Cli, greeted: Job, broken: Job) -> None:
    """What came of it stands last; where it failed is for operators."""
    good, bad = typed("show", greeted.id[:18]), typed("show", broken.id)

    assert 0 == good.code
    assert greeted.name == good.out.splitlines()[0]
    assert "state:     succeeded" in good.out
    assert 'inputs:    {"name": "Ada"' in good.out
    assert "Hello, **Ada**!" == good.out.splitlines()[-1]
    assert "state:     failed (error)" in bad.out
    assert 'raise ValueError("it broke")' in bad.out
    assert greeted.name == json.loads(typed("show", "--json", greeted.name).out)["name"]


def test_a_beginning_of_no_job_or_of_several_is_refused(typed: Cli, greeted: Job, broken: Job) -> None:
    """With the ids that it may mean."""
    several = typed("show", greeted.id[:4])

    assert (2, 2) == (several.code, typed("show", "ffff0000").code)
    assert "jobs begin with" in several.err
    assert "job ffff0000 not found; see `agentmesh jobs`" in typed("watch", "ffff0000").err
    assert f"{greeted.id[:3]} may be many jobs: say four digits" in typed("show", greeted.id[:3]).err


def test_a_job_is_run_again_with_other_inputs(typed: Cli, cli_mesh: Mesh, greeted: Job) -> None:
    """What is typed behind it takes the place of what it had; a label says what it repeats."""
    done = typed("rerun", greeted.id, "--greeting", "Hi")
    again = next(iter(cli_mesh.client.jobs(targets=["greeter"])))

    assert 0 == done.code
    assert "Hi, **Ada**!" == done.out.splitlines()[-1]
    assert greeted.id == again.labels[RERUN_OF]
    assert typed("rerun", greeted.id, "--detach").out.startswith("jobs/")


def test_only_what_failed_is_retried(typed: Cli, cli_mesh: Mesh, greeted: Job, broken: Job) -> None:
    """None is, if one of them did not."""
    refused = typed("retry", broken.id, greeted.id)

    assert (2, "") == (refused.code, refused.out)
    assert "is succeeded, and only what failed is retried: agentmesh rerun runs it once more" in refused.err
    name = typed("retry", broken.id).out.strip()
    assert broken.id == cli_mesh.client.job(name).labels[RERUN_OF]


def test_jobs_are_stopped_and_forgotten_together(typed: Cli, cli_mesh: Mesh) -> None:
    """One that runs is stopped first; then it is not there any more."""
    first, second = (cli_mesh.client.create_job("greeter/slow", {"name": "Ada"}) for _ in range(2))

    assert [f"{job.name} cancelled" for job in (first, second)] == typed("cancel", first.id, second.id).out.splitlines()
    assert 0 == typed("delete", "--yes", first.id, second.id).code
    with pytest.raises(NotFound):
        cli_mesh.client.job(second.name)


def test_a_moment_is_an_age_or_a_date() -> None:
    """A date is one of this place."""
    now = datetime.datetime.now(datetime.UTC)

    assert finding.since("") is None
    assert datetime.timedelta(hours=2) <= now - (finding.since("2h") or now) + datetime.timedelta(minutes=1)
    assert datetime.datetime(2026, 1, 31).astimezone() == finding.since("2026-01-31")
