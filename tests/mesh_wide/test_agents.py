"""Agents and crews through the front door: kill -9 of every process amid a crew, and secrets that stay in."""

import contextlib
import functools
import json
import os
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import grpc
import psutil
import pytest
from agentmesh_protos.registry.v1 import agent_pb2, agent_pb2_grpc, crew_pb2, crew_pb2_grpc, tool_pb2, tool_pb2_grpc
from agentmesh_protos.runner.v1 import job_pb2, job_pb2_grpc, trace_pb2, trace_pb2_grpc

from agentmesh.testing import Mesh
from tests.ending import wait_procs
from tests.engine.providers import Provider, provider_aside
from tests.families import asked, family
from tests.mesh_wide import grpcapi, meshes

T = TypeVar("T")
DEADLINE_S = 60.0
KEY = "sk-canary-0c9b1f7e44aa"
TOKEN = "tool-canary-9e2d66b01c"

pytestmark = [pytest.mark.xdist_group("agents"), pytest.mark.timeout(300)]


class World:
    """A mesh, a provider, and a user who calls by gRPC."""

    def __init__(self, mesh: Mesh, models: Provider) -> None:
        self.mesh = mesh
        self.models = models
        self.metadata = (("authorization", f"Bearer {grpcapi.login(mesh.url, 'admin', 'admin', 3600)}"),)
        self.channel = grpc.insecure_channel(mesh.url.removeprefix("http://"))
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call a method, again while the mesh mends itself."""

        def once() -> Any:
            return method(request, metadata=self.metadata, timeout=DEADLINE_S)

        return eventually(once)

    def crew(self) -> str:
        """Add a crew of three tasks, one after the other: two are answered at once, that between waits for the gate."""
        tool = tool_pb2.Tool(
            display_name=f"weather_{time.time_ns()}",
            kind=tool_pb2.TOOL_KIND_HTTP,
            endpoint=self.models.at("/tool"),
            auth=tool_pb2.TOOL_AUTH_BEARER,
            auth_token=TOKEN,
        )
        tools = tool_pb2_grpc.ToolServiceStub(self.channel)
        kept = self.call(tools.CreateTool, tool_pb2.CreateToolRequest(tool=tool, request_id=f"tool-{time.time_ns()}"))

        def agent(model: str, *uses: str) -> agent_pb2.Agent:
            at = agent_pb2.Model(
                provider="openai", model=model, kind=agent_pb2.PROVIDER_KIND_CUSTOM, endpoint=self.models.openai
            )
            return agent_pb2.Agent(display_name=f"{model} {time.time_ns()}", model=at, api_key=KEY, tools=uses)

        tasks = [
            crew_pb2.TaskDef(agent="agents/+0", description="First"),
            crew_pb2.TaskDef(agent="agents/+1", description="Second", depends_on=["taskDefs/+0"]),
            crew_pb2.TaskDef(agent="agents/+2", description="Third", depends_on=["taskDefs/+1"]),
        ]
        request = crew_pb2.CreateCrewRequest(
            crew=crew_pb2.Crew(display_name="Three", memory=True),
            new_agents=[agent("plain"), agent("gate"), agent("tools", kept.name)],
            new_task_defs=tasks,
        )
        return str(self.call(crew_pb2_grpc.CrewServiceStub(self.channel).CreateCrew, request).name)

    def start(self, target: str) -> str:
        """Start a job; return its name."""
        request = job_pb2.CreateJobRequest(target=target, inputs_json="{}", request_id=f"job-{time.time_ns()}")
        return str(self.call(self.jobs.CreateJob, request).name)

    def get(self, name: str) -> job_pb2.Job:
        """Return a job."""
        job: job_pb2.Job = self.call(self.jobs.GetJob, job_pb2.GetJobRequest(name=name))
        return job

    def events(self, name: str) -> list[job_pb2.Event]:
        """Watch a job to its end, across whatever happens to the mesh."""
        found: list[job_pb2.Event] = []

        def watch() -> None:
            request = job_pb2.WatchJobRequest(name=name, after_seq=len(found))
            for answer in self.jobs.WatchJob(request, metadata=self.metadata, timeout=DEADLINE_S):
                found.extend(answer.events)
            assert found, "the log has not begun"
            assert found[-1].payload in ("succeeded", "failed", "cancelled"), "the stream was cut"

        eventually(watch)
        return found

    def process(self, part: str) -> psutil.Process:
        """Return the process of a part."""
        if part in ("worker", "zygote", "host"):
            # Each is forked of the next: the worker that runs the crew, the zygote, the host.
            worker = eventually(self._worker)
            return [worker, *worker.parents()][("worker", "zygote", "host").index(part)]
        if part == "edge":
            names = asked(family(self.mesh.process.pid), psutil.Process.name)
            (envoy,) = [process for process, name in names if "envoy" in name]
            return envoy
        modules = {"gateway": "gateway", "nursery": "agentmesh.host"}
        return eventually(functools.partial(meshes.child, self.mesh, modules.get(part, f"services.{part}")))

    def _worker(self) -> psutil.Process:
        """Return the process that is connected to the provider: the engine's worker."""
        for process, connections in asked(family(self.mesh.process.pid), lambda each: each.net_connections("tcp")):
            if any(connection.raddr and connection.raddr.port == self.models.port for connection in connections):
                return process
        raise AssertionError("nobody talks to the provider")


def eventually(call: Callable[[], T]) -> T:
    """Return what a call gives, once the mesh is well enough for it."""
    until = time.monotonic() + DEADLINE_S
    while True:
        try:
            return call()
        except (grpc.RpcError, AssertionError, psutil.Error):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run a mesh whose tools may be called on this machine, and a provider."""
    env = {"AGENTMESH_TOOLS_PRIVATE_ENDPOINTS": "allow"}
    with provider_aside() as models, meshes.running(tmp_path_factory.mktemp("agents"), env=env) as mesh:
        made = World(mesh, models)
        yield made
        made.channel.close()


def in_the_middle(world: World) -> str:
    """Start a crew; return the job once its second task waits for the gate."""
    world.models.gate.clear()
    before = world.models.counts["gate"]
    name = world.start(world.crew())

    def asked() -> None:
        assert world.models.counts["gate"] > before, world.get(name)

    eventually(asked)
    return name


PARTS = ("worker", "zygote", "host", "nursery", "runner", "registry", "auth", "payments", "ledger", "gateway", "edge")


@pytest.mark.parametrize("part", PARTS)
def test_a_crew_lives_through_the_end_of_any_process(world: World, part: str) -> None:
    """It completes, the tasks that were finished ran once, and its log has no gap."""
    name = in_the_middle(world)
    counts = dict(world.models.counts)

    victim = world.process(part)
    os.kill(victim.pid, signal.SIGKILL)
    wait_procs([victim], DEADLINE_S)
    world.models.gate.set()
    events = world.events(name)

    job = world.get(name)
    assert job_pb2.JOB_STATE_SUCCEEDED == job.state, job
    assert counts["plain"] == world.models.counts["plain"], "the first task ran twice"
    held = part in ("worker", "zygote", "host", "nursery")
    assert counts["gate"] + held == world.models.counts["gate"]
    assert (2 if held else 1) == job.attempt
    assert list(range(1, len(events) + 1)) == [event.seq for event in events]
    steps = [json.loads(event.payload)["name"] for event in events if event.kind == "step"]
    assert len(set(steps)) == len(steps)


def test_secrets_are_nowhere(world: World, tmp_path: pathlib.Path) -> None:
    """Neither key nor token is in an answer, an event, a file, the mesh's log, or the environment of a process.

    What a tool echoes of its token, no provider of a model is told.
    """
    name = in_the_middle(world)
    environments = []
    for process in family(world.mesh.process.pid):
        with contextlib.suppress(OSError):
            environments.append(pathlib.Path(f"/proc/{process.pid}/environ").read_bytes())
    world.models.gate.set()
    events = world.events(name)

    assert KEY in {call["key"] for call in world.models.calls}
    assert f"Bearer {TOKEN}" in {call["authorization"] for call in world.models.tool_calls}
    assert not [call for call in world.models.calls if TOKEN in str(call)]
    job = world.get(name)
    traces = trace_pb2_grpc.TraceServiceStub(world.channel)
    spans = world.call(traces.ListSpans, trace_pb2.ListSpansRequest(parent=name, page_size=1000))
    agents = agent_pb2_grpc.AgentServiceStub(world.channel)
    listed = world.call(agents.ListAgents, agent_pb2.ListAgentsRequest(page_size=1000))
    tools = tool_pb2_grpc.ToolServiceStub(world.channel)
    shown = world.call(tools.ListTools, tool_pb2.ListToolsRequest(page_size=1000))
    said = [message.SerializeToString() for message in (job, spans, listed, shown, *events)]
    files = [path.read_bytes() for path in world.mesh.data_dir.rglob("*") if path.is_file()]
    for secret in (KEY.encode(), TOKEN.encode()):
        assert not [text for text in (*said, *environments, world.mesh.log().encode()) if secret in text]
        assert not [text for text in files if secret in text]
    assert trace_pb2.COMPLETENESS_COMPLETE == spans.completeness
