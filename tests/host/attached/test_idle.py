"""What a host keeps ready for an app that nobody uses."""

import asyncio
import os
import pathlib

import psutil
from agentmesh_protos.runner.v1 import app_pb2, host_pb2, job_pb2

from tests.ending import wait_procs
from tests.host.flows import __name__ as FLOWS  # noqa: N812
from tests.host.stage import DEADLINE_S, Stage, stage


async def asked(host: Stage) -> host_pb2.LockCheck:
    """Ask the app something; return its answer."""
    question = host_pb2.CheckLock(check_id=1, lock="jobs/a/locks/b", title="none", timeout_s=DEADLINE_S)
    host.say(host_pb2.RunnerMessage(check_lock=question))
    answers = await host.until(lambda: host.answers)
    check: host_pb2.LockCheck = answers.pop().lock_check
    return check


async def test_only_what_was_used_is_there() -> None:
    """A question is answered by a handler that is forked for it; no process waits for a job before there was one."""
    async with stage(f"{FLOWS}:app") as host:
        zygote = psutil.Process(host.process.pid).children()[0]

        answer = await asked(host)

        handlers = zygote.children()
        outcome = await host.end(host.run(f"{FLOWS}:noop"))

    assert "no lock 'none' any more" in answer.detail
    assert 1 == len(handlers)
    assert job_pb2.JOB_STATE_SUCCEEDED == outcome.state


async def test_a_handler_that_only_the_mesh_has_asked_is_let_go() -> None:
    """It is there again when somebody asks; one that a user has asked stays."""
    async with stage(f"{FLOWS}:app") as host:
        zygote = psutil.Process(host.process.pid).children()[0]
        found: list[psutil.Process] = []
        async with asyncio.timeout(DEADLINE_S):
            while not found:  # it may have been let go before we look
                call = host_pb2.Call(call_id=1, method="GET", path="/", timeout_s=DEADLINE_S)
                host.say(host_pb2.RunnerMessage(call=call))
                await host.until(lambda: host.answers)
                host.answers.clear()
                found = zygote.children()
        (probed,) = found

        await asyncio.to_thread(wait_procs, [probed], DEADLINE_S)
        answer = await asked(host)

        (kept,) = zygote.children()
        assert not probed.is_running()
        assert kept.pid != probed.pid
    assert "no lock 'none' any more" in answer.detail


async def test_a_handler_that_died_is_replaced() -> None:
    """Also if it had been forked for a question."""
    async with stage(f"{FLOWS}:app") as host:
        await asked(host)
        (handler,) = psutil.Process(host.process.pid).children()[0].children()

        handler.kill()
        async with asyncio.timeout(DEADLINE_S):
            while (answer := await asked(host)).failed:  # asked before the host knew
                assert "the app's handler was killed by SIGKILL" in answer.detail

    assert "no lock 'none' any more" in answer.detail


async def test_an_app_with_a_start_up_is_started_at_once(tmp_path: pathlib.Path) -> None:
    """Nobody has asked it anything: it may have work of its own to do."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    gate.chmod(0o666)
    with open(os.open(gate, os.O_RDWR | os.O_NONBLOCK), "rb") as pipe:
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe, readable.set)
        bounds = app_pb2.Bounds(write_paths=[str(tmp_path)])
        async with (
            stage("tests.host.starting:app", bounds=bounds, AM_TEST_STARTED=str(gate)),
            asyncio.timeout(DEADLINE_S),
        ):
            await readable.wait()
        asyncio.get_running_loop().remove_reader(pipe)
        said = pipe.read1()

    assert b"started" == said
