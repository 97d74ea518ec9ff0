"""`kill -9` of the real process at the worst moments: a job still has one payment, and its result reaches the chain."""

import asyncio
import asyncio.subprocess
import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator

import grpc
import pytest

from tests.auth.helpers import AuthMesh, auth_mesh
from tests.payments.escrows import Escrows
from tests.payments.stand import Stand

Running = tuple[Stand, "asyncio.Task[int]"]


@contextlib.asynccontextmanager
async def process(folder: pathlib.Path, auth: AuthMesh, kill: str = "") -> AsyncIterator[Running]:
    """Run the service as a process for the length of the block; yield stubs, and the task that waits for its end."""
    env = dict(
        os.environ,
        AGENTMESH_DATA_DIR=str(folder),
        AGENTMESH_AUTH_ADDRESS=f"127.0.0.1:{auth.port}",
        AGENTMESH_PAYMENTS_ADDRESS="127.0.0.1:0",
        ESCROWS=str(folder / "escrows.json"),
        KILL=kill,
    )
    command = (sys.executable, "-m", "tests.payments.process")
    child = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    ended = asyncio.create_task(child.wait())
    try:
        assert child.stdout is not None
        port = int(await asyncio.wait_for(child.stdout.readline(), 60))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Stand(auth, port, channel, escrows(folder)), ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await ended


def escrows(folder: pathlib.Path) -> Escrows:
    """Return what the provider has by now."""
    return Escrows(path=folder / "escrows.json")


@pytest.mark.parametrize("kill", ["request:before", "request:after"])
async def test_a_crash_around_the_request_makes_one_payment(tmp_path: pathlib.Path, kill: str) -> None:
    """The intent was on disk; the next start finds what was asked for, or asks."""
    async with auth_mesh(tmp_path) as auth:
        async with process(tmp_path, auth, kill) as (stand, ended):
            with pytest.raises(grpc.aio.AioRpcError):
                await stand.create()
            assert await asyncio.wait_for(ended, 60) == -signal.SIGKILL
        before = len(escrows(tmp_path).rows)
        async with process(tmp_path, auth) as (stand, _):
            made = await stand.until_state(f"payments/{1:024x}", "REQUESTED")
            again = await stand.create()

    assert before == (1 if kill == "request:after" else 0)
    assert [row.blockchain_identifier for row in escrows(tmp_path).rows.values()] == [made.blockchain_identifier]
    assert again == made


@pytest.mark.parametrize("kill", ["submit_result:before", "submit_result:after"])
async def test_a_crash_around_the_submit_submits_once(tmp_path: pathlib.Path, kill: str) -> None:
    """The hash was on disk; it is submitted if it was not, and not again if it was."""
    async with auth_mesh(tmp_path) as auth:
        async with process(tmp_path, auth) as (stand, _):
            made = await stand.create()
        escrows(tmp_path).lock(made.blockchain_identifier)
        async with process(tmp_path, auth, kill) as (stand, ended):
            await stand.until_state(made.name, "FUNDS_LOCKED")
            with contextlib.suppress(grpc.aio.AioRpcError):  # the crash may be faster than the answer
                await stand.submit(made.name)
            assert await asyncio.wait_for(ended, 60) == -signal.SIGKILL
        async with process(tmp_path, auth) as (stand, _):
            kept = await stand.get(made.name)
            async with asyncio.timeout(60):
                while escrows(tmp_path).row(made.blockchain_identifier).next_action != "SubmitResultRequested":  # noqa: ASYNC110
                    await asyncio.sleep(0.02)  # it is written by another process: a file has no events

    assert kept.result_hash == "ab" * 32
    assert len(escrows(tmp_path).rows) == 1


async def test_a_crash_in_any_state_forgets_nothing(tmp_path: pathlib.Path) -> None:
    """What was answered was on disk; the process goes on where it was."""
    async with auth_mesh(tmp_path) as auth:
        async with process(tmp_path, auth) as (stand, _):
            waiting = await stand.create(1)
            locked = await stand.create(2)
        escrows(tmp_path).lock(locked.blockchain_identifier)
        async with process(tmp_path, auth) as (stand, _):
            before = await stand.until_state(locked.name, "FUNDS_LOCKED")
        async with process(tmp_path, auth) as (stand, _):
            assert await stand.get(locked.name) == before
            assert await stand.get(waiting.name) == waiting

    assert len(escrows(tmp_path).rows) == 2
