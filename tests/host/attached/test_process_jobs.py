"""Jobs in processes of their own, as the runner hears of them."""

import asyncio
import json
import os
import pathlib
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import host_pb2, job_pb2

from tests.host.stage import DEADLINE_S, Stage, stage

APP = "tests.host.flows:app"
FLOWS = "tests.host.flows:"


@pytest_asyncio.fixture
async def host() -> AsyncIterator[Stage]:
    """Run a host of the app."""
    async with stage(APP) as running:
        yield running


async def test_a_short_job_is_one_report(host: Stage) -> None:
    """That it runs is said by its end, if that comes soon enough."""
    jobs: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while not any(1 == len(host.reports[job]) for job in jobs):
            jobs = [host.run(FLOWS + "noop", inputs_json=f'{{"n": {number}}}') for number in range(30)]
            outcomes = [await host.end(job) for job in jobs]

            assert [{"dict": {"n": n}} for n in range(30)] == [json.loads(outcome.result_json) for outcome in outcomes]


async def test_a_host_dials_with_the_badge_that_it_got_last(host: Stage) -> None:
    """The first is handed to it when it starts; the runner renews it on the stream."""
    for badge in ("its second badge", "its third badge"):
        host.say(host_pb2.RunnerMessage(renewal=host_pb2.Renewal(badge=badge)))
    await host.end(host.run(FLOWS + "noop"))
    await host.hang_up()

    assert ["its first badge", "its third badge"] == host.badges[:2]


async def test_a_job_that_says_nothing_is_known_to_run(host: Stage) -> None:
    """There is a report of that alone."""
    job = host.run("asyncio:sleep", inputs_json="{}")
    waiting = host.run(FLOWS + "wait")

    outcome = await host.end(job)
    await host.until(lambda: host.events(waiting))

    assert job_pb2.JOB_STATE_FAILED == outcome.state
    assert ["waiting"] == host.events(waiting)


@pytest.mark.parametrize(("inputs_json", "threads"), [("{}", 0), ('{"thread": true}', 1)])
async def test_a_job_that_leaves_nothing_ends_without_a_watch(host: Stage, inputs_json: str, threads: int) -> None:
    """A thread that sees to the time is for exit handlers and files: it would cost each job a millisecond."""
    job = host.run(FLOWS + "name_threads", inputs_json=inputs_json)
    outcome = await host.end(job)

    assert job_pb2.JOB_STATE_SUCCEEDED == outcome.state
    assert ["a thread is started"] * threads == host.events(job, "stderr")


async def test_a_cancel_ahead_of_the_flow_is_not_lost(host: Stage) -> None:
    """However early it comes, the job ends as CANCELLED."""
    jobs = [host.run(FLOWS + "wait") for _ in range(5)]
    for job in jobs:
        host.cancel(job)

    outcomes = [await host.end(job) for job in jobs]

    assert [job_pb2.JOB_STATE_CANCELLED] * 5 == [outcome.state for outcome in outcomes]


async def test_what_is_not_acknowledged_is_sent_again_in_pieces(host: Stage) -> None:
    """More than one message could carry; each event arrives once, in order, and the jobs go on."""
    host.acknowledging = False
    sizes = '{"count": 60, "size": 400000}'
    jobs = [host.run(FLOWS + "talk", inputs_json=sizes) for _ in range(3)]
    for job in jobs:
        await host.until(lambda job=job: len(host.events(job)) >= 15)  # type: ignore[misc]

    host.acknowledging = True
    await host.hang_up()
    outcomes = [await host.end(job) for job in jobs]

    assert [job_pb2.JOB_STATE_SUCCEEDED] * 3 == [outcome.state for outcome in outcomes]
    for job in jobs:
        assert [str(number) for number in range(60)] == [payload.split()[0] for payload in host.events(job)]
    assert {lease.job for lease in host.hellos[1].leases} == set(jobs)


@pytest.mark.parametrize(
    ("how", "words"),
    [("raise", "ValueError"), ("return", "4 MiB"), ("lock", "4 MiB"), ("event", "4 MiB")],
)
async def test_what_is_too_large_fails_its_job_in_words(host: Stage, how: str, words: str) -> None:
    """Bytes count, not characters; the other jobs of the app do not notice."""
    other = host.run(FLOWS + "wait")
    job = host.run(FLOWS + "too_much", inputs_json=json.dumps({"how": how}))

    outcome = await host.end(job)
    await host.end(host.run(FLOWS + "noop"))

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_ERROR) == (outcome.state, outcome.reason)
    assert words in outcome.error
    assert outcome.ByteSize() < 100_000
    assert 1 == len(host.hellos)
    assert host.outcome(other) is None


@pytest.mark.parametrize(
    "garbage", ["ffffffff00", "0000000004ff", "00000003" + "04ffff", "00000002" + "07ff", "0000000163"]
)
async def test_what_is_no_frame_ends_its_job(host: Stage, garbage: str) -> None:
    """And no other."""
    other = host.run(FLOWS + "wait")
    job = host.run(FLOWS + "garble", inputs_json=json.dumps({"bytes": garbage}))

    outcome = await host.end(job)
    host.cancel(other)

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_WORKER_LOST) == (outcome.state, outcome.reason)
    assert "it was ended" in outcome.error
    assert job_pb2.JOB_STATE_CANCELLED == (await host.end(other)).state


async def test_a_flow_may_fork(host: Stage) -> None:
    """What it forks has the signals of any process, not those of a job."""
    outcomes = [await host.end(host.run(FLOWS + "pool")) for _ in range(3)]

    for outcome in outcomes:
        assert (job_pb2.JOB_STATE_SUCCEEDED, "") == (outcome.state, outcome.error)


async def test_a_stopped_job_is_gone_with_all_it_has_started(host: Stage) -> None:
    """When its end is reported, nothing of it lives any more."""
    jobs = [host.run(FLOWS + "breed") for _ in range(4)]
    for job in jobs:
        await host.until(lambda job=job: host.events(job))  # type: ignore[misc]
    groups = [os.getpgid(int(host.events(job)[0])) for job in jobs]
    for job in jobs:
        host.cancel(job)

    for job, group in zip(jobs, groups, strict=True):
        outcome = await host.end(job)

        assert job_pb2.JOB_STATE_CANCELLED == outcome.state
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


async def test_forks_queue_while_the_zygote_is_busy(host: Stage) -> None:
    """More than the socket to it takes; the host stays attached, and every job ends."""
    zygote = psutil.Process(host.process.pid).children()[0]
    zygote.send_signal(signal.SIGSTOP)
    jobs = [host.run(FLOWS + "noop") for _ in range(400)]
    beats = host.heartbeats
    await host.until(lambda: host.heartbeats > beats + 2)
    zygote.send_signal(signal.SIGCONT)

    outcomes = [await host.end(job) for job in jobs]

    assert {job_pb2.JOB_STATE_SUCCEEDED} == {outcome.state for outcome in outcomes}
    assert 1 == len(host.hellos)


async def test_a_host_without_descriptors_fails_the_job_only() -> None:
    """It says why, and takes jobs again when there are some."""
    async with stage(APP, AM_TEST_NOFILE="60") as host:
        jobs = [host.run(FLOWS + "wait") for _ in range(30)]
        await host.until(lambda: any(host.outcome(job) for job in jobs))
        refused = [job for job in jobs if host.outcome(job)]
        for job in jobs:
            host.cancel(job)
        outcomes = {job: await host.end(job) for job in jobs}
        last = await host.end(host.run(FLOWS + "noop"))

    assert 0 < len(refused) < len(jobs)
    for job in refused:
        assert job_pb2.JOB_REASON_WORKER_LOST == outcomes[job].reason
        assert "could not be started: Too many open files" in outcomes[job].error
    assert job_pb2.JOB_STATE_SUCCEEDED == last.state


async def test_an_answer_of_before_is_not_one_for_now(host: Stage, tmp_path: pathlib.Path) -> None:
    """A runner that was restarted counts its questions from 1 again; each gets its own answer."""
    first = host_pb2.Ask(ask_id=1, path="/", inputs_json="{}", timeout_s=DEADLINE_S)
    second = host_pb2.CheckLock(check_id=1, lock="jobs/a/locks/b", title="none", timeout_s=DEADLINE_S)
    host.say(host_pb2.RunnerMessage(ask=first), host_pb2.RunnerMessage(check_lock=second))
    await host.hang_up()
    host.answers.clear()
    host.say(host_pb2.RunnerMessage(check_lock=second))

    await host.until(lambda: host.answers)
    await asyncio.sleep(0)

    assert [1] == [answer.lock_check.check_id for answer in host.answers]
    assert "no lock 'none' any more" in host.answers[0].lock_check.detail
