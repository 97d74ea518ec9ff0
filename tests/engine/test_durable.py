"""Jobs of the engine live through the end of what runs them, and pay for nothing twice."""

import asyncio
import contextlib
import json
import os
import signal

import psutil
from agentmesh_protos.registry.v1 import agent_pb2, tool_pb2
from agentmesh_protos.runner.v1 import job_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.defined import agent, define_crew, ended, spans, start, task
from tests.engine.providers import Provider
from tests.families import asked, family
from tests.runner.stack import DEADLINE_S, Stack


async def waiting_crew(mesh: Stack, known: MemoryDefinitions, models: Provider) -> job_pb2.Job:
    """Start a crew whose first task is done, and whose second waits for a human."""
    asking = tool_pb2.Tool(
        name="tools/calculator",
        display_name="calculator",
        kind=tool_pb2.TOOL_KIND_BUILTIN,
        enabled=True,
        needs_approval=True,
    )
    model = agent_pb2.Model(provider="openai", model="plain", endpoint=models.openai)
    agents = [agent("a1", model=model), agent("a2", tools=["tools/calculator"])]
    tasks = [task("x", "Think"), task("y", "calculator 6*7", agent_name="a2", after=["x"])]
    job = await start(mesh, define_crew(known, agents, tasks, [asking]), inputs={})
    await mesh.open_locks(job)
    return job


async def finish(mesh: Stack, job: job_pb2.Job) -> tuple[job_pb2.Job, list[job_pb2.Event]]:
    """Answer the lock of another attempt, and wait for the end."""
    await mesh.until(job, "status", "retrying")
    known: set[str] = set()
    async with asyncio.timeout(DEADLINE_S):
        while True:
            (lock,) = await mesh.open_locks(job)
            if lock.name not in known and (await mesh.get(job)).state == job_pb2.JOB_STATE_AWAITING_INPUT:
                break
    await mesh.answer(lock.name, approve=True)
    return await ended(mesh, job)


async def test_a_killed_worker_does_nothing_twice(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """kill -9 of the process in the middle of a crew: another attempt takes it up behind the last finished step."""
    job = await waiting_crew(mesh, known, models)
    # The host forks its worker through the zygote: what holds no other process is one.  Only below our nursery: this
    # process may have servers and meshes of other tests, too.
    commands = asked(psutil.Process().children(), psutil.Process.cmdline)
    (nursery,) = [one for one, command in commands if "agentmesh.host" in command]
    leaves = [one for one, below in asked(family(nursery.pid)[1:], psutil.Process.children) if not below]
    for one in leaves:
        with contextlib.suppress(ProcessLookupError):  # what starts workers has processes that come and go, too
            os.kill(one.pid, signal.SIGKILL)

    job, events = await finish(mesh, job)

    assert job_pb2.JOB_STATE_SUCCEEDED == job.state, job.error
    assert 2 <= job.attempt <= 3
    assert 1 == models.counts["plain"]
    statuses = [event.payload for event in events if event.kind == "status"]
    assert ["queued", "running", "retrying", "queued", "running"] == statuses[:5]
    steps = [json.loads(event.payload)["name"] for event in events if event.kind == "step"]
    assert len(steps) == len(set(steps))
    assert 10 == job.usage.input_tokens - sum(
        json.loads(event.payload)["input_tokens"]
        for event in events
        if event.kind == "usage" and json.loads(event.payload)["input_tokens"] != 10
    )
    assert "42" == (await spans(mesh, job))["task.2.turn.tool.call-0-0"].attributes["result"]
