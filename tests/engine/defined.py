"""Definitions for tests, and jobs of them."""

import json
from collections.abc import Sequence
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, definition_pb2, tool_pb2
from agentmesh_protos.runner.v1 import job_pb2, trace_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.runner.stack import DEADLINE_S, Stack

CALCULATOR = tool_pb2.Tool(
    name="tools/calculator", display_name="calculator", kind=tool_pb2.TOOL_KIND_BUILTIN, enabled=True
)
OFFLINE = agent_pb2.Model(provider="offline")


def agent(name: str = "a1", **more: Any) -> agent_pb2.Agent:
    """Return an agent on the offline model, unless told otherwise."""
    said = {"model": OFFLINE, "display_name": name.title(), "role": f"the {name}", **more}
    return agent_pb2.Agent(name=f"agents/{name}", slug=name, **said)


def define(known: MemoryDefinitions, one: agent_pb2.Agent, tools: Sequence[tool_pb2.Tool] = (), key: str = "") -> str:
    """Let an agent be known; return its target."""
    one.tools.extend(tool.name for tool in tools if tool.name not in one.tools)
    if key:
        one.has_api_key = True
        known.values[one.name] = key
    known.known[one.name] = definition_pb2.Definition(target=one.name, agents=[one], tools=tools)
    return one.name


def define_crew(
    known: MemoryDefinitions,
    agents: Sequence[agent_pb2.Agent],
    tasks: Sequence[crew_pb2.TaskDef],
    tools: Sequence[tool_pb2.Tool] = (),
    **more: Any,
) -> str:
    """Let a crew be known; return its target."""
    crew = crew_pb2.Crew(name="crews/c1", display_name="Crew", agents=[one.name for one in agents], **more)
    known.known[crew.name] = definition_pb2.Definition(
        target=crew.name, crew=crew, agents=agents, task_defs=tasks, tools=tools
    )
    return crew.name


def task(name: str, description: str, agent_name: str = "a1", after: Sequence[str] = ()) -> crew_pb2.TaskDef:
    """Return a task definition."""
    return crew_pb2.TaskDef(
        name=f"taskDefs/{name}",
        description=description,
        agent=f"agents/{agent_name}" if agent_name else "",
        depends_on=[f"taskDefs/{one}" for one in after],
    )


async def start(mesh: Stack, target: str, prompt: str = "hello", **more: Any) -> job_pb2.Job:
    """Start a job."""
    inputs = more.pop("inputs", {"prompt": prompt})
    metadata = more.pop("metadata", mesh.operator)
    request = job_pb2.CreateJobRequest(target=target, inputs_json=json.dumps(inputs), **more)
    job: job_pb2.Job = await mesh.jobs.CreateJob(request, metadata=metadata, timeout=DEADLINE_S)
    return job


async def ended(mesh: Stack, job: job_pb2.Job) -> tuple[job_pb2.Job, list[job_pb2.Event]]:
    """Wait for the end of a job; return it with its log."""
    events = await mesh.events(job)
    return await mesh.get(job), events


def text_of(job: job_pb2.Job) -> str:
    """Return the text that a job answered."""
    assert job.result_json, job.error
    return str(json.loads(job.result_json)["Markdown"]["body"])


async def spans(mesh: Stack, job: job_pb2.Job) -> dict[str, Any]:
    """Return the spans (`trace_pb2.Span`) of a job by id."""
    request = trace_pb2.ListSpansRequest(parent=job.name, page_size=1000)
    answer = await mesh.traces.ListSpans(request, metadata=mesh.operator, timeout=DEADLINE_S)
    return {span.id: span for span in answer.spans}
