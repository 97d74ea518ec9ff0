"""Agents and crews as targets: births, turns, conversations, filters, and completion from outside."""

import asyncio

import grpc
import pytest
from agentmesh_protos.registry.v1 import tool_pb2
from agentmesh_protos.runner.v1 import app_pb2, conversation_pb2, job_pb2, memory_pb2, trace_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.defined import CALCULATOR, agent, define, ended, start, text_of
from tests.runner.stack import DEADLINE_S, Stack

ASKING = tool_pb2.Tool(
    name="tools/calculator",
    display_name="calculator",
    kind=tool_pb2.TOOL_KIND_BUILTIN,
    enabled=True,
    needs_approval=True,
)


async def code_of(call: object) -> grpc.StatusCode:
    """Return how a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    code: grpc.StatusCode = caught.value.code()
    return code


async def test_what_cannot_be_started_is_refused(mesh: Stack, known: MemoryDefinitions) -> None:
    """Unknown targets and conversations, a missing prompt, a budget below nothing: refused, and no job is born."""
    target = define(known, agent())

    assert grpc.StatusCode.NOT_FOUND == await code_of(start(mesh, "agents/none"))
    assert grpc.StatusCode.INVALID_ARGUMENT == await code_of(start(mesh, "agents/../x"))
    assert grpc.StatusCode.INVALID_ARGUMENT == await code_of(start(mesh, target, inputs={"prompt": "  "}))
    assert grpc.StatusCode.INVALID_ARGUMENT == await code_of(start(mesh, target, budget=job_pb2.Budget(tokens=-1)))
    assert grpc.StatusCode.NOT_FOUND == await code_of(start(mesh, target, conversation="conversations/none"))
    listed = await mesh.jobs.ListJobs(job_pb2.ListJobsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    assert not listed.jobs


async def test_the_same_request_is_one_job(mesh: Stack, known: MemoryDefinitions) -> None:
    """Fifty at once with one id: one job."""
    target = define(known, agent())

    jobs = await asyncio.gather(*(start(mesh, target, request_id="same") for _ in range(50)))

    assert 1 == len({job.name for job in jobs})


async def test_a_conversation_goes_on_from_job_to_job(mesh: Stack, known: MemoryDefinitions) -> None:
    """The second answer knows of the first; messages are in order, each with its job."""
    target = define(known, agent())
    request = conversation_pb2.CreateConversationRequest(conversation=conversation_pb2.Conversation(title="Talk"))
    talk = await mesh.talk.CreateConversation(request, metadata=mesh.operator, timeout=DEADLINE_S)

    first, _ = await ended(mesh, await start(mesh, target, "one", conversation=talk.name))
    second, _ = await ended(mesh, await start(mesh, target, "two", conversation=talk.name))

    assert "we have spoken 1 times" in text_of(second)
    asked = conversation_pb2.ListMessagesRequest(parent=talk.name)
    messages = (await mesh.talk.ListMessages(asked, metadata=mesh.operator, timeout=DEADLINE_S)).messages
    assert ["one", text_of(first), "two", text_of(second)] == [message.content for message in messages]
    assert [first.name, first.name, second.name, second.name] == [message.job for message in messages]
    about = conversation_pb2.ListConversationsRequest(target=target)
    found = (await mesh.talk.ListConversations(about, metadata=mesh.operator, timeout=DEADLINE_S)).conversations
    assert [(talk.name, 4, 2)] == [(one.name, one.message_count, one.job_count) for one in found]
    jobs = job_pb2.ListJobsRequest(conversation=talk.name, targets=["agents/-"])
    listed = (await mesh.jobs.ListJobs(jobs, metadata=mesh.operator, timeout=DEADLINE_S)).jobs
    assert [second.name, first.name] == [job.name for job in listed]


async def test_an_agents_jobs_wait_their_turn(mesh: Stack, known: MemoryDefinitions) -> None:
    """Beyond its limit jobs are queued, not refused; the next begins when one ends."""
    target = define(known, agent(concurrency_limit=1), [ASKING])
    jobs = [await start(mesh, target, "calculator 6*7") for _ in range(2)]
    (lock,) = await mesh.open_locks(jobs[0])

    counts = job_pb2.CountJobsRequest(targets=[target])
    (count,) = (await mesh.jobs.CountJobs(counts, metadata=mesh.operator, timeout=DEADLINE_S)).counts
    assert (2, 1, 1) == (count.job_count, count.waiting_count, count.running_count)
    assert (1, 0) == (count.awaiting_input_count, count.awaiting_payment_count)
    assert job_pb2.JOB_STATE_QUEUED == (await mesh.get(jobs[1])).state
    await mesh.answer(lock.name, approve=True)
    (lock,) = await mesh.open_locks(jobs[1])
    await mesh.answer(lock.name, approve=True)

    assert ["calculator: 42" in text_of((await ended(mesh, job))[0]) for job in jobs] == [True, True]


async def test_a_job_is_completed_from_outside(mesh: Stack, known: MemoryDefinitions) -> None:
    """An external job waits for whoever runs it; the same completion again is the same answer, another is refused."""
    job = await start(mesh, define(known, agent()), external=True)
    assert job_pb2.JOB_STATE_PENDING == job.state
    request = job_pb2.CompleteJobRequest(
        name=job.name, state=job_pb2.JOB_STATE_SUCCEEDED, output="done", usage=job_pb2.Usage(input_tokens=7)
    )

    async def complete() -> job_pb2.Job:
        done: job_pb2.Job = await mesh.jobs.CompleteJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
        return done

    first, again = await complete(), await complete()
    request.output = "otherwise"

    assert (job_pb2.JOB_STATE_SUCCEEDED, '{"str":"done"}', 7) == (
        first.state,
        first.result_json,
        first.usage.input_tokens,
    )
    assert first == again
    assert grpc.StatusCode.FAILED_PRECONDITION == await code_of(complete())


async def test_a_job_is_taken_over_from_its_host(mesh: Stack, known: MemoryDefinitions) -> None:
    """A held job is completed by a take-over only; what its host still says is not in the log."""
    job = await start(mesh, define(known, agent(), [ASKING]), "calculator 6*7")
    await mesh.open_locks(job)
    request = job_pb2.CompleteJobRequest(name=job.name, state=job_pb2.JOB_STATE_FAILED, error="given up")
    held = mesh.jobs.CompleteJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    assert grpc.StatusCode.FAILED_PRECONDITION == await code_of(held)

    request.take_over = True
    await mesh.jobs.CompleteJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
    job, events = await ended(mesh, job)

    assert (job_pb2.JOB_STATE_FAILED, "given up") == (job.state, job.error)
    assert ("status", "failed") == (events[-1].kind, events[-1].payload)


async def test_a_stop_stops_an_agent(mesh: Stack, known: MemoryDefinitions) -> None:
    """A job that waits for a human is CANCELLED, and so is one that waits for its turn."""
    target = define(known, agent(concurrency_limit=1), [ASKING])
    jobs = [await start(mesh, target, "calculator 6*7") for _ in range(2)]
    await mesh.open_locks(jobs[0])

    for job in reversed(jobs):
        request = job_pb2.CancelJobRequest(name=job.name)
        stopped = await mesh.jobs.CancelJob(request, metadata=mesh.operator, timeout=DEADLINE_S)
        assert job_pb2.JOB_STATE_CANCELLED == stopped.state


async def test_what_is_of_others_is_not_found(mesh: Stack, known: MemoryDefinitions) -> None:
    """Two users: jobs, traces, conversations and memory of one are NOT_FOUND, or nothing, to the other."""
    target = define(known, agent(), [CALCULATOR])
    mine, theirs = await mesh.user("mine"), await mesh.user("theirs")
    talk = conversation_pb2.CreateConversationRequest(conversation=conversation_pb2.Conversation(title="Mine"))
    own = await mesh.talk.CreateConversation(talk, metadata=mine, timeout=DEADLINE_S)
    job = await start(mesh, target, conversation=own.name, metadata=mine)
    record = memory_pb2.MemoryRecord(scope=target, layer=memory_pb2.MEMORY_LAYER_LONG, content="zebra")
    made = memory_pb2.CreateMemoryRecordRequest(record=record)
    await mesh.memory.CreateMemoryRecord(made, metadata=mine, timeout=DEADLINE_S)
    complete = job_pb2.CompleteJobRequest(name=job.name, state=job_pb2.JOB_STATE_FAILED, take_over=True)
    changed = conversation_pb2.Conversation(name=own.name, title="Theirs")

    calls = [
        mesh.jobs.CompleteJob(complete, metadata=theirs, timeout=DEADLINE_S),
        mesh.traces.ListSpans(trace_pb2.ListSpansRequest(parent=job.name), metadata=theirs, timeout=DEADLINE_S),
        mesh.talk.GetConversation(
            conversation_pb2.GetConversationRequest(name=own.name), metadata=theirs, timeout=DEADLINE_S
        ),
        mesh.talk.ListMessages(
            conversation_pb2.ListMessagesRequest(parent=own.name), metadata=theirs, timeout=DEADLINE_S
        ),
        mesh.talk.UpdateConversation(
            conversation_pb2.UpdateConversationRequest(conversation=changed), metadata=theirs, timeout=DEADLINE_S
        ),
        mesh.talk.DeleteConversation(
            conversation_pb2.DeleteConversationRequest(name=own.name), metadata=theirs, timeout=DEADLINE_S
        ),
        start(mesh, target, conversation=own.name, metadata=theirs),
    ]
    assert {grpc.StatusCode.NOT_FOUND} == {await code_of(call) for call in calls}
    found = memory_pb2.SearchMemoryRequest(scope=target, query="zebra")
    assert not (await mesh.memory.SearchMemory(found, metadata=theirs, timeout=DEADLINE_S)).hits
    assert 1 == len((await mesh.memory.SearchMemory(found, metadata=mine, timeout=DEADLINE_S)).hits)
    found.owner = job.owner
    other = mesh.memory.SearchMemory(found, metadata=theirs, timeout=DEADLINE_S)
    assert grpc.StatusCode.PERMISSION_DENIED == await code_of(other)
    clear = memory_pb2.ClearMemoryRequest(scope=target)
    assert 0 == (await mesh.memory.ClearMemory(clear, metadata=theirs, timeout=DEADLINE_S)).deleted_count


async def test_a_flow_has_no_budget(mesh: Stack) -> None:
    """What is of agents and crews only is refused for a flow, by name."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await start(mesh, "flows/demo", external=True)

    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()


async def test_the_engine_is_nobodys_app(mesh: Stack) -> None:
    """It is in no list, and nobody deploys or removes it."""
    listed = await mesh.apps.ListApps(app_pb2.ListAppsRequest(), metadata=mesh.operator, timeout=DEADLINE_S)
    remove = app_pb2.RemoveAppRequest(name="apps/agents")

    assert not listed.apps
    assert grpc.StatusCode.PERMISSION_DENIED == await code_of(mesh.deploy("agents"))
    removal = mesh.apps.RemoveApp(remove, metadata=mesh.operator, timeout=DEADLINE_S)
    assert grpc.StatusCode.PERMISSION_DENIED == await code_of(removal)
