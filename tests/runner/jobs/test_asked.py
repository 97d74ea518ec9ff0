"""What a job has asked before is told to whoever runs it next, as long as it can be told."""

from services.runner.domain import Birth, Change, LockState, Reason, State
from services.runner.hosts.slots import Capacity
from tests.runner.jobs.test_dispatcher import Runner, new
from tests.runner.jobs.test_dispatcher import runner as runner
from tests.runner.stores.test_stores import lock

LARGE = "x" * (3 * 1024 * 1024)


async def asked(runner: Runner, *states: LockState) -> str:
    """Run a job that has asked something large so often, and these have ended thus; return its id."""
    job = new(1, attempt=1)
    locks = tuple(lock(n, job.job_id, data_json=LARGE, state=state) for n, state in enumerate(states, start=1))
    await runner.store.create([Birth(job=job)], None)
    await runner.store.update(job.job_id, lambda found: Change(job=found, opened=locks))
    await runner.dispatcher.enqueue(job)
    await runner.tasks.settle()
    return job.job_id


async def test_closed_locks_are_not_told(runner: Runner) -> None:
    """Nor do they count, however large they are: another attempt has no use for them."""
    link = runner.serve("h1", Capacity(processes=1))
    job_id = await asked(runner, LockState.CLOSED, LockState.EXPIRED, LockState.CLOSED)

    (message,) = await link.outgoing(link.generation)

    assert State.STARTING == (await runner.store.get(job_id)).state
    assert [("2", LARGE, True)] == [(one.lock_id, one.data_json, one.expired) for one in message.run.asked]


async def test_what_is_too_large_to_be_told_again_ends_the_job(runner: Runner) -> None:
    """It says why."""
    runner.serve("h1", Capacity(processes=1))
    job_id = await asked(runner, LockState.EXPIRED, LockState.EXPIRED, LockState.EXPIRED)

    job = await runner.store.get(job_id)

    assert (State.FAILED, Reason.WORKER_LOST) == (job.state, job.reason)
    assert "its questions and answers are too large to be told again" == job.error
