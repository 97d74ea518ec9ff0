"""Locks of a real runner, on real hosts."""

import asyncio
import contextlib
import json
import pathlib
import time
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from agentmesh_protos.runner.v1 import job_pb2, lock_pb2
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.runner.jobs.test_jobs import kinds
from tests.runner.jobs.test_restart import address, nursery  # noqa: F401  # fixtures
from tests.runner.stack import DEADLINE_S, Stack, stack


@pytest_asyncio.fixture
async def mesh(tmp_path: pathlib.Path) -> AsyncIterator[Stack]:
    """Run the stack with the locking app deployed."""
    async with stack(tmp_path) as running:
        await running.deploy(import_path="tests.runner.samples.locking:app")
        yield running


async def test_an_answer_reaches_the_flow(mesh: Stack) -> None:
    """The job waits, shows its lock, and goes on with what the lease handler made of the answer."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)
    waiting = await mesh.get(job)

    answered = await mesh.answer(lock.name, greeting="hello")
    events = await mesh.events(job)
    done = await mesh.get(job)

    assert job_pb2.JOB_STATE_AWAITING_INPUT == waiting.state
    assert [lock.name] == list(waiting.locks)
    assert ["markdown", "text"] == [element["type"] for element in json.loads(lock.elements_json)]
    assert "Dear Ada" == json.loads(lock.elements_json)[0]["text"]
    assert lock_pb2.LOCK_STATE_ANSWERED == answered.state
    assert {"said": "hello", "to": "Ada"} == json.loads(answered.result_json)
    assert {"dict": {"said": "hello", "to": "Ada"}} == json.loads(done.result_json)
    assert ["debug", "lock", "lease", "debug", "final", "status"] == kinds(events)[4:]
    said = json.loads(events[5].payload)["dict"]
    assert ("greeting", lock.name.rpartition("/")[2], {"who": "Ada"}) == (said["name"], said["lid"], said["data"])


async def test_thirty_answers_with_one_request_id_are_one(mesh: Stack) -> None:
    """Each is told what the first has brought about, and the flow hears of one."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)
    inputs = struct_pb2.Struct()
    inputs.update({"greeting": "hello"})
    request = lock_pb2.AnswerLockRequest(name=lock.name, inputs=inputs, request_id="again")

    answers = await asyncio.gather(
        *(mesh.locks.AnswerLock(request, metadata=mesh.operator, timeout=DEADLINE_S) for _ in range(30))
    )
    events = await mesh.events(job)

    assert {lock_pb2.LOCK_STATE_ANSWERED} == {answer.state for answer in answers}
    assert 1 == len({answer.SerializeToString(deterministic=True) for answer in answers})
    assert 1 == kinds(events).count("lease")


async def test_exactly_one_answer_wins(mesh: Stack) -> None:
    """Of many at once one is taken; the others are told so."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)

    answers = await asyncio.gather(
        *(mesh.answer(lock.name, greeting=word) for word in ("one", "two", "three", "four")), return_exceptions=True
    )
    await mesh.events(job)

    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert 3 == len(lost)
    assert {grpc.StatusCode.FAILED_PRECONDITION} == {error.code() for error in lost}


@pytest.mark.parametrize(("greeting", "message"), [("damn", "Be polite."), ("LOUD", "does not match")])
async def test_a_refused_answer_leaves_the_lock_open(mesh: Stack, greeting: str, message: str) -> None:
    """The lease handler's errors and the form's come back by field; a better answer is taken."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await mesh.answer(lock.name, greeting=greeting)
    still = await mesh.locks.GetLock(
        lock_pb2.GetLockRequest(name=lock.name), metadata=mesh.operator, timeout=DEADLINE_S
    )
    await mesh.answer(lock.name, greeting="hello")

    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    violations = error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(violations)
    assert ["greeting"] == [violation.field for violation in violations.field_violations]
    assert lock_pb2.LOCK_STATE_PENDING == still.state
    assert "final" in kinds(await mesh.events(job))


async def test_an_answer_of_none_releases(mesh: Stack) -> None:
    """A lease handler may return nothing."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)

    await mesh.answer(lock.name, greeting="nothing")

    assert "final" in kinds(await mesh.events(job))


async def test_without_a_lease_handler_the_values_are_the_answer(mesh: Stack) -> None:
    """Also those that the form does not have."""
    job = await mesh.create(how="plain")
    (lock,) = await mesh.open_locks(job)

    await mesh.answer(lock.name, a="1", b="2")
    await mesh.events(job)

    assert {"dict": {"a": "1", "b": "2"}} == json.loads((await mesh.get(job)).result_json)


async def test_a_thread_may_ask_too(mesh: Stack) -> None:
    """`lock_sync` waits in a flow that is not async."""
    job = await mesh.create(how="sync")
    (lock,) = await mesh.open_locks(job)

    await mesh.answer(lock.name, greeting="hi")
    await mesh.events(job)

    assert "Bob" in (await mesh.get(job)).result_json


async def test_a_job_may_wait_on_two(mesh: Stack) -> None:
    """It is AWAITING_INPUT until the last has been answered."""
    job = await mesh.create(how="two")
    greeting, plain = await mesh.open_locks(job, 2)

    await mesh.answer(plain.name, a="x")
    between = await mesh.get(job)
    await mesh.answer(greeting.name, greeting="hi")
    await mesh.events(job)

    assert (job_pb2.JOB_STATE_AWAITING_INPUT, [greeting.name]) == (between.state, list(between.locks))
    assert job_pb2.JOB_STATE_SUCCEEDED == (await mesh.get(job)).state


async def test_a_lock_expires_at_its_time(tmp_path: pathlib.Path) -> None:
    """The flow gets a TimeoutError; the job fails for that reason; a late answer is refused."""
    ahead_s = [0.0]
    async with stack(tmp_path, now=lambda: time.time() + ahead_s[0]) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.locking:app")
        job = await mesh.create(timeout=600)
        (lock,) = await mesh.open_locks(job)
        ahead_s[0] = 3600

        await mesh.events(job)
        done = await mesh.get(job)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mesh.answer(lock.name, greeting="late")

    assert job_pb2.JOB_STATE_FAILED == done.state
    assert job_pb2.JOB_REASON_INPUT_TIMEOUT == done.reason
    assert grpc.StatusCode.FAILED_PRECONDITION is caught.value.code()
    assert "expired" in (caught.value.details() or "")


@pytest.mark.parametrize("how", ["leave", "die"])
async def test_a_job_that_ends_closes_its_locks(mesh: Stack, how: str) -> None:
    """Whether it leaves the lock behind or dies with it."""
    job = await mesh.create(how=how)
    lock, plain = await mesh.open_locks(job, 2)
    await mesh.answer(plain.name, a="go")

    await mesh.events(job)
    closed = await mesh.locks.GetLock(
        lock_pb2.GetLockRequest(name=lock.name), metadata=mesh.operator, timeout=DEADLINE_S
    )

    assert lock_pb2.LOCK_STATE_CLOSED == closed.state
    assert [] == list((await mesh.get(job)).locks)


async def test_a_lock_without_a_form_fails_the_job(mesh: Stack) -> None:
    """The message says what to declare."""
    job = await mesh.create(how="unknown")

    await mesh.events(job)

    assert "declare it with @app.lock('no such lock')" in (await mesh.get(job)).error


async def test_strangers_see_no_lock(mesh: Stack) -> None:
    """To get, answer or list it, one must own the job or be an operator."""
    job = await mesh.create()
    (lock,) = await mesh.open_locks(job)
    stranger = await mesh.user("eve")

    for call in (
        mesh.locks.GetLock(lock_pb2.GetLockRequest(name=lock.name), metadata=stranger, timeout=DEADLINE_S),
        mesh.locks.AnswerLock(lock_pb2.AnswerLockRequest(name=lock.name), metadata=stranger, timeout=DEADLINE_S),
        mesh.locks.ListLocks(lock_pb2.ListLocksRequest(job=job.name), metadata=stranger, timeout=DEADLINE_S),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
    listed = await mesh.locks.ListLocks(lock_pb2.ListLocksRequest(), metadata=stranger, timeout=DEADLINE_S)
    assert [] == list(listed.locks)


async def test_a_lock_outlives_the_runner(tmp_path: pathlib.Path, nursery: str, address: str) -> None:  # noqa: F811
    """It is open after a restart, and its answer reaches the job."""
    async with stack(tmp_path, nursery=nursery, address=address) as mesh:
        await mesh.deploy(import_path="tests.runner.samples.locking:app")
        job = await mesh.create()
        (before,) = await mesh.open_locks(job)

    async with stack(tmp_path, nursery=nursery, address=address) as mesh:
        (lock,) = await mesh.open_locks(job)
        await _answer_soon(mesh, lock.name)
        events = await mesh.events(job)

        assert before == lock
        assert ["lease", "debug", "final", "status"] == kinds(events)[-4:]
        assert list(range(1, len(events) + 1)) == [event.seq for event in events]


async def _answer_soon(mesh: Stack, lock: str) -> None:
    """Answer a lock whose host is on its way back."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await mesh.answer(lock, greeting="hello")
                return
