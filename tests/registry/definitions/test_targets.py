"""Targets: what a job runs, in one answer; and the secrets it needs, which nobody else is told."""

import pathlib

import grpc
import pytest
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, tool_pb2
from agentmesh_protos.registry.v1 import definition_pb2 as pb

from services.registry import app
from tests.registry.conftest import Mesh, Peers
from tests.registry.definitions.conftest import OFFLINE, People, people_of, refusal

CANARIES = ("canary-agent-key", "canary-manager-key", "canary-tool-token")


async def build(people: People) -> tuple[crew_pb2.Crew, agent_pb2.Agent, tool_pb2.Tool]:
    """Add a crew with everything that has a secret."""
    tool = await people.ada.tool(auth=tool_pb2.TOOL_AUTH_BEARER, auth_token=CANARIES[2])
    request = crew_pb2.CreateCrewRequest(
        crew=crew_pb2.Crew(
            display_name="Crew", process=crew_pb2.PROCESS_HIERARCHICAL, manager=OFFLINE, manager_api_key=CANARIES[1]
        ),
        new_agents=[
            agent_pb2.Agent(display_name="Atlas", model=OFFLINE, api_key=CANARIES[0], tools=["tools/calculator"])
        ],
        new_task_defs=[crew_pb2.TaskDef(description="Do it", tools=["tools/lookup", "tools/calculator"])],
        request_id="once",
    )
    crew = await people.ada("CrewService.CreateCrew", request)
    agent = await people.ada("AgentService.GetAgent", agent_pb2.GetAgentRequest(name=crew.agents[0]))
    return crew, agent, tool


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return every file in a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


async def resolve(people: People, target: str, owner: str, *, is_operator: bool = False) -> pb.Definition:
    """Resolve a target as the runner does."""
    request = pb.ResolveTargetRequest(target=target, owner=owner, is_operator=is_operator)
    found: pb.Definition = await people.service("DefinitionService.ResolveTarget", request)
    return found


async def test_a_crew_is_resolved_as_a_whole(people: People) -> None:
    """With agents, tasks, and each tool once."""
    crew, agent, tool = await build(people)
    found = await resolve(people, crew.name, crew.owner)
    task = await people.ada("TaskDefService.ListTaskDefs", crew_pb2.ListTaskDefsRequest(crew=crew.name))

    assert (found.target, found.crew, list(found.agents)) == (crew.name, crew, [agent])
    assert list(found.task_defs) == list(task.task_defs)
    assert [one.name for one in found.tools] == ["tools/calculator", tool.name]


async def test_an_agent_is_resolved_by_id_and_slug(people: People) -> None:
    """For its owner, and for an operator by its id; for nobody else."""
    _, agent, _ = await build(people)
    by_id = await resolve(people, agent.name, agent.owner)
    by_slug = await resolve(people, "agents/atlas", agent.owner)
    for_operator = await resolve(people, agent.name, "users/other", is_operator=True)
    foreign = await refusal(resolve(people, agent.name, "users/other"))
    slug = await refusal(resolve(people, "agents/atlas", "users/other"))
    wrong = await refusal(resolve(people, "flows/x", agent.owner))
    nobody = await refusal(resolve(people, agent.name, ""))

    assert (by_id.target, list(by_id.agents), by_id.HasField("crew")) == (agent.name, [agent], False)
    assert by_id == by_slug == for_operator
    assert (foreign.code, slug.code) == ("NOT_FOUND", "NOT_FOUND")
    assert (wrong.code, wrong.fields) == ("INVALID_ARGUMENT", ("target",))
    assert (nobody.code, nobody.fields) == ("INVALID_ARGUMENT", ("owner",))


async def test_what_cannot_be_run_says_why(people: People) -> None:
    """A draft, a paused and an archived agent; a crew of one, one without any, an archived one; a tool that is gone."""
    tool = await people.ada.tool()
    draft = await people.ada.agent("Draft", model=None)
    paused = await people.ada.agent("Paused", state=agent_pb2.AGENT_STATE_PAUSED)
    gone = await people.ada.agent("Gone")
    bare = await people.ada.agent("Bare", tools=[tool.name])
    crews = [await people.ada.crew([paused.name]), await people.ada.crew(), await people.ada.crew([gone.name])]
    await people.ada("AgentService.DeleteAgent", agent_pb2.DeleteAgentRequest(name=gone.name))
    archived = await people.ada.crew()
    await people.ada("CrewService.DeleteCrew", crew_pb2.DeleteCrewRequest(name=archived.name))
    await people.ada("ToolService.DeleteTool", tool_pb2.DeleteToolRequest(name=tool.name))
    targets = [*(agent.name for agent in (draft, paused, gone, bare)), *(crew.name for crew in (*crews, archived))]
    told = [await refusal(resolve(people, target, draft.owner)) for target in targets]

    assert {(one.code, one.reason, one.metadata["reason"]) for one in told} == {
        ("FAILED_PRECONDITION", "TARGET_NOT_ACTIVE", "TARGET_NOT_ACTIVE")
    }
    assert [one.metadata["resource"] for one in told] == targets
    assert [one.metadata["state"] for one in told] == [
        "DRAFT", "PAUSED", "ARCHIVED", "DRAFT", "CONFIGURING", "CONFIGURING", "CONFIGURING", "ARCHIVED",
    ]  # fmt: skip


async def test_a_tool_that_is_switched_off_is_left_out(people: People) -> None:
    """The agent works without it."""
    off = await people.ada.tool("off", enabled=False)
    agent = await people.ada.agent(tools=[off.name, "tools/calculator"])
    found = await resolve(people, agent.name, agent.owner)

    assert [tool.name for tool in found.tools] == ["tools/calculator"]


async def test_secrets_are_told_to_services_and_lie_sealed(
    people: People, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each by the name of what it is of; no file, answer or log has them in the clear."""
    crew, agent, tool = await build(people)
    bare = await people.ada.agent("Bare")
    request = pb.ResolveSecretsRequest(names=[agent.name, crew.name, tool.name, bare.name])
    told = dict((await people.service("DefinitionService.ResolveSecrets", request)).values)
    wrong = await refusal(
        people.service("DefinitionService.ResolveSecrets", pb.ResolveSecretsRequest(names=["taskDefs/1"]))
    )
    await people.ada("ToolService.DeleteTool", tool_pb2.DeleteToolRequest(name=tool.name))
    await people.ada("CrewService.DeleteCrew", crew_pb2.DeleteCrewRequest(name=crew.name))
    after = dict((await people.service("DefinitionService.ResolveSecrets", request)).values)
    written = b"".join([path.read_bytes() for path in files(tmp_path)] + [capfd.readouterr().out.encode()])
    answers = b"".join(message.SerializeToString() for message in (crew, agent, tool))

    assert told == dict(zip((agent.name, crew.name, tool.name), CANARIES, strict=True))
    assert after == {agent.name: CANARIES[0]}
    assert (wrong.code, wrong.fields) == ("INVALID_ARGUMENT", ("names[0]",))
    assert not [canary for canary in CANARIES if canary.encode() in written + answers]
    assert (tmp_path / "encryption.key").stat().st_mode & 0o777 == 0o600


async def test_secrets_outlive_a_restart_but_not_their_key(peers: Peers) -> None:
    """The next registry opens them; one with another key says to set them anew, and goes on."""
    async with peers.registry() as mesh, grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        people = people_of(mesh, peers, channel)
        agent = await people.ada.agent(api_key=CANARIES[0])
    request = pb.ResolveSecretsRequest(names=[agent.name])
    async with peers.registry() as mesh, grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}") as channel:
        again = await people_of(mesh, peers, channel).service("DefinitionService.ResolveSecrets", request)
    (peers.config.data_dir / "encryption.key").unlink()
    async with (
        app.running(peers.config) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        people = people_of(Mesh.over(channel, peers, port), peers, channel)
        lost = await refusal(people.service("DefinitionService.ResolveSecrets", request))
        renewed = agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name=agent.name, api_key="new"))
        await people.operator("AgentService.UpdateAgent", renewed)
        found = await people.service("DefinitionService.ResolveSecrets", request)

    assert dict(again.values) == {agent.name: CANARIES[0]}
    assert (lost.code, lost.metadata["resource"], lost.metadata["field"]) == (
        "FAILED_PRECONDITION",
        agent.name,
        "api_key",
    )
    assert dict(found.values) == {agent.name: "new"}
