"""A job that may run while its app has no host: it waits for the next one, unless none will come."""

import time

import pytest

from services.runner.apps import App, Apps, AppState
from services.runner.domain import Job, PlacedApp, Reason, State
from services.runner.hosts import Hosts
from services.runner.jobs import Jobs
from services.runner.memory_store import MemoryStore

PLACED = PlacedApp(
    expose="demo", import_path="demo:app", runtime_env_json="", deployments_json="", fork=True, host_id="demo-1"
)


class Runner:
    """The part of a runner that hands out jobs, without hosts."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        hosts = Hosts()
        self.jobs = Jobs(self.store, hosts, cancel_grace_s=1)
        self.apps = Apps(
            self.store, self.jobs, hosts, secret=b"s" * 32, load_timeout_s=1, jobs_per_app=1, lease_s=1, now=time.time
        )

    async def paid(self) -> Job:
        """Keep a job that has just been paid for, put it in the line, and return it as it is then."""
        job = Job(
            job_id="6b0215b8615bb820f3af8475",
            flow="flows/demo",
            owner="users/x",
            state=State.QUEUED,
            created_at=1.0,
            updated_at=1.0,
        )
        await self.store.create(job, [], None)
        self.jobs.enqueue(job)
        await self.jobs.close()  # what that began is done
        return self.store.get(job.job_id)


@pytest.fixture
async def runner() -> Runner:
    """Return a runner that has just started and has not heard of its hosts yet."""
    return Runner()


async def test_just_after_the_start_it_is_found_later(runner: Runner) -> None:
    """Hosts are on their way back: the job is not lost, and is in the line when they are."""
    job = await runner.paid()

    assert State.QUEUED == job.state
    await runner.apps.present(set())  # nobody is there, and no app is placed
    lost = runner.store.get(job.job_id)
    assert (State.FAILED, Reason.WORKER_LOST) == (lost.state, lost.reason)


@pytest.mark.parametrize("state", [AppState.STARTING, AppState.UNHEALTHY])
async def test_while_its_host_is_restarted_it_waits(runner: Runner, state: AppState) -> None:
    """It is in the app's line."""
    await runner.apps.present(set())
    app = runner.apps._apps["demo"] = App(placed=PLACED, state=state)

    job = await runner.paid()

    assert State.QUEUED == job.state
    assert [job.job_id] == app.waiting


async def test_without_an_app_it_is_lost(runner: Runner) -> None:
    """Nothing will ever run it, so it says so."""
    await runner.apps.present(set())

    job = await runner.paid()

    assert (State.FAILED, Reason.WORKER_LOST) == (job.state, job.reason)
    assert "its app was stopped" == job.error


async def test_with_an_app_that_cannot_be_loaded_it_is_lost(runner: Runner) -> None:
    """A line that nobody serves is no place to wait."""
    await runner.apps.present(set())
    runner.apps._apps["demo"] = App(placed=PLACED, state=AppState.FAILED)

    job = await runner.paid()

    assert State.FAILED == job.state
