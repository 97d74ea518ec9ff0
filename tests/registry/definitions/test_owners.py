"""Whose definitions are whose: two users, an operator, a service."""

from typing import Any

import pytest
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2, definition_pb2, tool_pb2
from google.protobuf.message import Message

from tests.registry.definitions.conftest import People, refusal


async def everything(people: People) -> dict[str, str]:
    """Add one of each as Ada; return their names."""
    agent = await people.ada.agent()
    crew = await people.ada.crew([agent.name])
    task = await people.ada.task(crew=crew.name, agent=agent.name)
    tool = await people.ada.tool()
    return {"agent": agent.name, "crew": crew.name, "task": task.name, "tool": tool.name}


def calls(names: dict[str, str]) -> list[tuple[str, Message]]:
    """Return a call of every method that takes a name, with Ada's."""
    agent, crew, task, tool = (names[noun] for noun in ("agent", "crew", "task", "tool"))
    return [
        ("AgentService.GetAgent", agent_pb2.GetAgentRequest(name=agent)),
        ("AgentService.GetAgent", agent_pb2.GetAgentRequest(name="agents/atlas")),
        ("AgentService.UpdateAgent", agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name=agent, goal="x"))),
        ("AgentService.DeleteAgent", agent_pb2.DeleteAgentRequest(name=agent)),
        ("AgentService.UndeleteAgent", agent_pb2.UndeleteAgentRequest(name=agent)),
        ("CrewService.GetCrew", crew_pb2.GetCrewRequest(name=crew)),
        ("CrewService.UpdateCrew", crew_pb2.UpdateCrewRequest(crew=crew_pb2.Crew(name=crew, memory=True))),
        ("CrewService.DeleteCrew", crew_pb2.DeleteCrewRequest(name=crew)),
        ("TaskDefService.GetTaskDef", crew_pb2.GetTaskDefRequest(name=task)),
        ("TaskDefService.ListTaskDefs", crew_pb2.ListTaskDefsRequest(crew=crew)),
        (
            "TaskDefService.UpdateTaskDef",
            crew_pb2.UpdateTaskDefRequest(task_def=crew_pb2.TaskDef(name=task, display_name="x")),
        ),
        ("TaskDefService.DeleteTaskDef", crew_pb2.DeleteTaskDefRequest(name=task)),
        ("ToolService.GetTool", tool_pb2.GetToolRequest(name=tool)),
        ("ToolService.GetTool", tool_pb2.GetToolRequest(name="tools/lookup")),
        ("ToolService.UpdateTool", tool_pb2.UpdateToolRequest(tool=tool_pb2.Tool(name=tool, description="x"))),
        ("ToolService.DeleteTool", tool_pb2.DeleteToolRequest(name=tool)),
    ]


async def test_a_foreign_name_is_not_found(people: People) -> None:
    """By every method; and it is the same answer as for what does not exist."""
    names = await everything(people)
    codes = {method: (await refusal(people.bob(method, request))).code for method, request in calls(names)}
    lists: dict[str, Any] = {
        "AgentService.ListAgents": agent_pb2.ListAgentsRequest(show_deleted=True),
        "CrewService.ListCrews": crew_pb2.ListCrewsRequest(show_deleted=True),
        "TaskDefService.ListTaskDefs": crew_pb2.ListTaskDefsRequest(show_deleted=True),
    }
    totals = [(await people.bob(method, request)).total_size for method, request in lists.items()]
    tools = await people.bob("ToolService.ListTools", tool_pb2.ListToolsRequest(show_deleted=True))

    assert set(codes.values()) == {"NOT_FOUND"}
    assert totals == [0, 0, 0]
    assert (tools.total_size, len(tools.tools)) == (3, 3)


async def test_a_foreign_reference_is_not_found(people: People) -> None:
    """Nobody ties their own to another's, not even an operator who writes for one of the two."""
    names = await everything(people)
    agent = await people.bob.agent("Bob's")
    crew = await people.bob.crew([agent.name])
    theirs = await people.operator.agent("Operator's")
    update = crew_pb2.UpdateCrewRequest(crew=crew_pb2.Crew(name=crew.name, agents=[agent.name, theirs.name]))
    refused = [
        await refusal(people.bob.agent("a", tools=[names["tool"]])),
        await refusal(people.bob.agent("a", tools=["tools/lookup"])),
        await refusal(people.bob.crew([names["agent"]])),
        await refusal(people.bob.task(agent=names["agent"])),
        await refusal(people.bob.task(crew=names["crew"], agent=agent.name)),
        await refusal(people.bob.task(crew=crew.name, agent=agent.name, tools=[names["tool"]])),
        await refusal(people.bob.task(crew=crew.name, agent=agent.name, depends_on=[names["task"]])),
        await refusal(people.operator("CrewService.UpdateCrew", update)),
    ]

    assert [one.code for one in refused] == ["NOT_FOUND"] * 8
    assert all(one.metadata["field"] for one in refused)


async def test_operators_see_and_change_all(people: People) -> None:
    """By name, and in lists if they ask for all owners; what they change stays its owner's."""
    names = await everything(people)
    own = await people.operator("AgentService.ListAgents", agent_pb2.ListAgentsRequest())
    everyone = await people.operator("AgentService.ListAgents", agent_pb2.ListAgentsRequest(all_owners=True))
    change = agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name=names["agent"], goal="theirs"))
    changed = await people.operator("AgentService.UpdateAgent", change)

    assert (own.total_size, everyone.total_size, everyone.agents[0].name) == (0, 1, names["agent"])
    assert (changed.goal, changed.owner) == ("theirs", everyone.agents[0].owner)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("AgentService.ListAgents", agent_pb2.ListAgentsRequest(all_owners=True)),
        ("CrewService.ListCrews", crew_pb2.ListCrewsRequest(all_owners=True)),
        ("TaskDefService.ListTaskDefs", crew_pb2.ListTaskDefsRequest(all_owners=True)),
        ("ToolService.ListTools", tool_pb2.ListToolsRequest(all_owners=True)),
        ("DefinitionService.ResolveTarget", definition_pb2.ResolveTargetRequest(target="agents/a", is_operator=True)),
        ("DefinitionService.ResolveSecrets", definition_pb2.ResolveSecretsRequest(names=["agents/a"])),
    ],
)
async def test_users_may_not(people: People, method: str, request_: Message) -> None:
    """What is for operators, and what is for services only, which operators are not."""
    assert (await refusal(people.ada(method, request_))).code == "PERMISSION_DENIED"
    if method.startswith("DefinitionService"):
        assert (await refusal(people.operator(method, request_))).code == "PERMISSION_DENIED"


async def test_a_service_by_itself_owns_nothing(people: People) -> None:
    """It sees all, and can add none."""
    agent = await people.ada.agent()
    seen = await people.service("AgentService.GetAgent", agent_pb2.GetAgentRequest(name=agent.name))

    assert seen == agent
    assert (await refusal(people.service.agent())).code == "UNAUTHENTICATED"
