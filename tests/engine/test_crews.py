"""Crews: order, parts that run at the same time, managers, and what is remembered."""

import json

from agentmesh_protos.registry.v1 import crew_pb2, tool_pb2
from agentmesh_protos.runner.v1 import job_pb2, memory_pb2, trace_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.defined import CALCULATOR, agent, define, define_crew, ended, spans, start, task, text_of
from tests.runner.stack import DEADLINE_S, Stack


async def test_tasks_run_in_the_order_of_their_dependencies(mesh: Stack, known: MemoryDefinitions) -> None:
    """A task that needs another's result gets it, and begins when it is there; inputs stand in their places."""
    tasks = [
        task("last", "Write about {topic}", after=["first"]),
        task("first", "Use the calculator to compute 6*7", agent_name="a2"),
    ]
    target = define_crew(known, [agent("a1"), agent("a2", tools=["tools/calculator"])], tasks, [CALCULATOR])

    job, events = await ended(mesh, await start(mesh, target, inputs={"topic": "prime numbers"}))

    assert job_pb2.JOB_STATE_SUCCEEDED == job.state, job.error
    found = await spans(mesh, job)
    first, last = found["task.2"], found["task.1"]
    assert last.start_time.ToNanoseconds() >= first.end_time.ToNanoseconds()
    prompt = found["task.1.turn"].attributes["prompt"]
    assert "Write about prime numbers" in prompt
    assert "calculator: 42" in prompt
    assert 100.0 == job.progress.percent
    assert text_of(job) == first.attributes["result"] or "prime numbers" in text_of(job)
    assert [event for event in events if event.kind == "progress"]


async def test_what_does_not_depend_on_each_other_runs_at_the_same_time(mesh: Stack, known: MemoryDefinitions) -> None:
    """Two tasks wait for a human at once; with a limit of one, the second waits for the first."""
    asking = tool_pb2.Tool(name="tools/t", display_name="calculator", kind=tool_pb2.TOOL_KIND_BUILTIN, enabled=True)
    asking.needs_approval = True
    tasks = [task(name, "calculator 6*7") for name in ("x", "y")]
    target = define_crew(known, [agent("a1", tools=["tools/t"])], tasks, [asking])

    job = await start(mesh, target, inputs={})
    for lock in await mesh.open_locks(job, 2):
        await mesh.answer(lock.name, approve=True)

    job, _ = await ended(mesh, job)
    assert job_pb2.JOB_STATE_SUCCEEDED == job.state, job.error


async def test_a_manager_chooses_and_reviews(mesh: Stack, known: MemoryDefinitions) -> None:
    """In a hierarchical crew the manager names who works on a task, and accepts what comes of it."""
    target = define_crew(
        known,
        [agent("writer"), agent("reckoner", tools=["tools/calculator"])],
        [task("sum", "The Reckoner uses the calculator on 6*7", agent_name="")],
        [CALCULATOR],
        process=crew_pb2.PROCESS_HIERARCHICAL,
    )

    job, _ = await ended(mesh, await start(mesh, target, inputs={}))

    assert "calculator: 42" in text_of(job)
    found = await spans(mesh, job)
    assert ("agents/reckoner", "Manager") == (found["task.1"].agent, found["task.1.choice"].agent_display_name)
    assert found["task.1.review.1"].attributes["result"]["accepted"]


async def test_a_crew_without_tasks_has_one(mesh: Stack, known: MemoryDefinitions) -> None:
    """Its inputs are what it is asked."""
    target = define_crew(known, [agent("a1")], [], description="Be helpful")

    job, _ = await ended(mesh, await start(mesh, target, inputs={"question": "why?"}))

    assert "why?" in text_of(job)


async def test_the_memory_of_a_job_is_found_by_the_next(mesh: Stack, known: MemoryDefinitions) -> None:
    """What came of a task is remembered, found with its ranks, told to the agent, and gone when it is cleared."""
    target = define_crew(known, [agent("a1")], [task("x", "Describe the zebra of {place}")], memory=True)
    await ended(mesh, await start(mesh, target, inputs={"place": "Kenya"}))

    job, _ = await ended(mesh, await start(mesh, target, inputs={"place": "Kenya"}))

    hits = [span for span in (await spans(mesh, job)).values() if span.kind == trace_pb2.SPAN_KIND_MEMORY_HIT]
    assert (1, 1 / 61) == (hits[0].attributes["lexical_rank"], hits[0].attributes["score"])
    asked = memory_pb2.ListMemoryRecordsRequest(scope=target)
    kept = await mesh.memory.ListMemoryRecords(asked, metadata=mesh.operator, timeout=DEADLINE_S)
    assert {memory_pb2.MEMORY_LAYER_SHORT, memory_pb2.MEMORY_LAYER_LONG} <= {record.layer for record in kept.records}
    cleared = memory_pb2.ClearMemoryRequest(scope=target)
    count = (await mesh.memory.ClearMemory(cleared, metadata=mesh.operator, timeout=DEADLINE_S)).deleted_count
    assert len(kept.records) == count
    left = await mesh.memory.ListMemoryRecords(asked, metadata=mesh.operator, timeout=DEADLINE_S)
    assert not left.records


async def test_an_error_of_a_task_ends_the_crew(mesh: Stack, known: MemoryDefinitions) -> None:
    """Tasks that wait for each other are an error that says so."""
    tasks = [task("x", "one", after=["y"]), task("y", "two", after=["x"])]
    target = define_crew(known, [agent("a1")], tasks)

    job, _ = await ended(mesh, await start(mesh, target, inputs={}))

    assert job_pb2.JOB_STATE_FAILED == job.state
    assert "wait for each other" in job.error


async def test_answers_of_the_offline_model_are_the_same_every_time(mesh: Stack, known: MemoryDefinitions) -> None:
    """Text and tokens follow from what is asked."""
    target = define(known, agent("a1"))

    jobs = [(await ended(mesh, await start(mesh, target, "Tell me of Ada")))[0] for _ in range(2)]

    assert text_of(jobs[0]) == text_of(jobs[1])
    assert jobs[0].usage == jobs[1].usage
    assert text_of(jobs[0]).startswith("[offline model]")
    assert json.loads(jobs[0].inputs_json) == {"prompt": "Tell me of Ada"}
