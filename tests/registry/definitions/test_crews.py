"""Crews and task definitions: what comes together, who does what, and what must come first."""

import asyncio
from typing import Any

import pytest
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.registry.v1 import crew_pb2 as pb
from google.protobuf import field_mask_pb2

from tests.registry.definitions.conftest import OFFLINE, People, refusal

NOBODY = "01234567-89ab-7cde-8f01-23456789abcd"


def new_crew(**fields: Any) -> pb.CreateCrewRequest:
    """Return a request for a crew of two new agents, the second of whom builds on what the first found."""
    request = pb.CreateCrewRequest(
        crew=pb.Crew(display_name="Marketing", manager_api_key="sk-manager"),
        new_agents=[
            agent_pb2.Agent(display_name="Researcher", model=OFFLINE, api_key="sk-one", tools=["tools/web_search"]),
            agent_pb2.Agent(display_name="Writer", model=OFFLINE),
        ],
        new_task_defs=[
            pb.TaskDef(description="Research {topic}\nwith care", agent="agents/+0"),
            pb.TaskDef(description="Write", agent="agents/+1", depends_on=["taskDefs/+0"], context=["Be brief"]),
        ],
    )
    request.MergeFrom(pb.CreateCrewRequest(**fields))
    return request


def crew_update(name: str, *paths: str, **fields: Any) -> pb.UpdateCrewRequest:
    """Return the request that changes fields of a crew."""
    mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
    return pb.UpdateCrewRequest(crew=pb.Crew(name=name, **fields), update_mask=mask)


def task_update(name: str, *paths: str, **fields: Any) -> pb.UpdateTaskDefRequest:
    """Return the request that changes fields of a task definition."""
    mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
    return pb.UpdateTaskDefRequest(task_def=pb.TaskDef(name=name, **fields), update_mask=mask)


async def tasks_of(people: People, crew: str, **fields: Any) -> pb.ListTaskDefsResponse:
    """Return the first page of a crew's task definitions."""
    request = pb.ListTaskDefsRequest(crew=crew, **fields)
    page: pb.ListTaskDefsResponse = await people.ada("TaskDefService.ListTaskDefs", request)
    return page


async def test_a_crew_comes_with_its_agents_and_tasks(people: People) -> None:
    """Existing agents first, then the new ones; tasks in order; the crew is ACTIVE as its agents are."""
    atlas = await people.ada.agent("Atlas")
    crew = await people.ada("CrewService.CreateCrew", new_crew(crew=pb.Crew(agents=["agents/atlas"])))
    agents = await people.ada("AgentService.ListAgents", agent_pb2.ListAgentsRequest())
    tasks = await tasks_of(people, crew.name)
    got = await people.ada("CrewService.GetCrew", pb.GetCrewRequest(name=crew.name))

    writer, researcher, _ = agents.agents
    assert list(crew.agents) == [atlas.name, researcher.name, writer.name]
    assert (crew.state, crew.process) == (pb.CREW_STATE_ACTIVE, pb.PROCESS_SEQUENTIAL)
    assert crew.has_manager_api_key
    assert researcher.has_api_key
    assert got == crew
    first, second = tasks.task_defs
    assert (first.display_name, first.agent, first.crew) == ("Research {topic}", researcher.name, crew.name)
    assert (list(second.depends_on), list(second.context)) == ([first.name], ["Be brief"])
    assert tasks.total_size == 2


async def test_a_crew_is_added_once(people: People) -> None:
    """Five at once with one id are one crew, and one set of agents and tasks."""
    request = new_crew(request_id="r")
    crews = await asyncio.gather(*(people.ada("CrewService.CreateCrew", request) for _ in range(5)))
    agents = await people.ada("AgentService.ListAgents", agent_pb2.ListAgentsRequest())
    other = await refusal(people.ada("CrewService.CreateCrew", new_crew(request_id="r", crew=pb.Crew(memory=True))))

    assert all(crew == crews[0] for crew in crews)
    assert agents.total_size == 2
    assert (other.code, other.fields) == ("INVALID_ARGUMENT", ("request_id",))


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"crew": pb.Crew(display_name="x" * 201)}, "INVALID_ARGUMENT", "crew.display_name"),
        ({"crew": pb.Crew(description="x" * 2001)}, "INVALID_ARGUMENT", "crew.description"),
        ({"crew": pb.Crew(concurrency_limit=-1)}, "INVALID_ARGUMENT", "crew.concurrency_limit"),
        ({"crew": pb.Crew(manager=agent_pb2.Model())}, "INVALID_ARGUMENT", "crew.manager.provider"),
        ({"crew": pb.Crew(agents=["atlas"])}, "INVALID_ARGUMENT", "crew.agents[0]"),
        ({"crew": pb.Crew(agents=[f"agents/{NOBODY}"])}, "NOT_FOUND", "crew.agents[0]"),
        ({"crew": pb.Crew(labels={"": ""})}, "INVALID_ARGUMENT", "crew.labels"),
        ({"new_agents": [agent_pb2.Agent()]}, "INVALID_ARGUMENT", "new_agents[2].display_name"),
        (
            {"new_agents": [agent_pb2.Agent(display_name="a", tools=["tools/none"])]},
            "NOT_FOUND",
            "new_agents[2].tools[0]",
        ),
        ({"new_agents": [agent_pb2.Agent(display_name="a", api_key=" ")]}, "INVALID_ARGUMENT", "new_agents[2].api_key"),
        ({"new_agents": [agent_pb2.Agent(display_name="a")] * 63}, "INVALID_ARGUMENT", "new_agents"),
        ({"new_task_defs": [pb.TaskDef(agent="agents/+0")]}, "INVALID_ARGUMENT", "new_task_defs[2].description"),
        ({"new_task_defs": [pb.TaskDef(description="a")]}, "INVALID_ARGUMENT", "new_task_defs[2].agent"),
        ({"new_task_defs": [pb.TaskDef(description="a", agent="agents/+2")]}, "NOT_FOUND", "new_task_defs[2].agent"),
        ({"new_task_defs": [pb.TaskDef(description="a", crew="crews/x")]}, "INVALID_ARGUMENT", "new_task_defs[2].crew"),
        (
            {"new_task_defs": [pb.TaskDef(description="a", agent="agents/+0", depends_on=["taskDefs/+2"])]},
            "INVALID_ARGUMENT",
            "new_task_defs[2].depends_on",
        ),
        (
            {"new_task_defs": [pb.TaskDef(description="a", agent="agents/+0", depends_on=["taskDefs/+3"])]},
            "NOT_FOUND",
            "new_task_defs[2].depends_on[0]",
        ),
        (
            {"new_task_defs": [pb.TaskDef(description="a", agent="agents/+0")] * 199},
            "INVALID_ARGUMENT",
            "new_task_defs",
        ),
    ],
)
async def test_all_of_a_crew_or_nothing(people: People, fields: dict[str, Any], code: str, field: str) -> None:
    """A field that is wrong anywhere is named, and neither crew nor agent nor task is added."""
    refused = await refusal(people.ada("CrewService.CreateCrew", new_crew(**fields)))
    agents = await people.ada("AgentService.ListAgents", agent_pb2.ListAgentsRequest(show_deleted=True))
    crews = await people.ada("CrewService.ListCrews", pb.ListCrewsRequest(show_deleted=True))
    tasks = await people.ada("TaskDefService.ListTaskDefs", pb.ListTaskDefsRequest(show_deleted=True))

    assert refused.code == code
    assert field in refused.fields if code == "INVALID_ARGUMENT" else refused.metadata["field"] == field
    assert (agents.total_size, crews.total_size, tasks.total_size) == (0, 0, 0)


async def test_a_circle_is_refused(people: People) -> None:
    """On creation of a crew, and on a change, over any number of tasks."""
    circle = [
        pb.TaskDef(description="a", agent="agents/+0", depends_on=["taskDefs/+3"]),
        pb.TaskDef(description="b", agent="agents/+0", depends_on=["taskDefs/+2"]),
    ]
    created = await refusal(people.ada("CrewService.CreateCrew", new_crew(new_task_defs=circle)))
    crew = await people.ada("CrewService.CreateCrew", new_crew())
    first, second = (await tasks_of(people, crew.name)).task_defs
    changed = await refusal(
        people.ada("TaskDefService.UpdateTaskDef", task_update(first.name, depends_on=[second.name]))
    )
    itself = await refusal(people.ada("TaskDefService.UpdateTaskDef", task_update(first.name, depends_on=[first.name])))

    assert (created.code, created.fields) == ("INVALID_ARGUMENT", ("new_task_defs[2].depends_on",))
    assert (changed.code, changed.fields) == ("INVALID_ARGUMENT", ("task_def.depends_on",))
    assert (itself.code, itself.fields) == ("INVALID_ARGUMENT", ("task_def.depends_on",))


async def test_two_changes_at_once_make_no_circle(people: People) -> None:
    """Each would be fine alone; one of them is refused."""
    crew = await people.ada("CrewService.CreateCrew", new_crew())
    first, second = (await tasks_of(people, crew.name)).task_defs
    await people.ada("TaskDefService.UpdateTaskDef", task_update(second.name, "depends_on"))
    results = await asyncio.gather(
        people.ada("TaskDefService.UpdateTaskDef", task_update(first.name, depends_on=[second.name])),
        people.ada("TaskDefService.UpdateTaskDef", task_update(second.name, depends_on=[first.name])),
        return_exceptions=True,
    )

    assert sorted(isinstance(result, pb.TaskDef) for result in results) == [False, True]


async def test_a_crew_stands_where_its_agents_stand(people: People) -> None:
    """CONFIGURING with none, with one that is paused, and with one that was deleted, in Get and List alike."""
    agent = await people.ada.agent()
    crew = await people.ada.crew()
    states = [crew.state]

    async def look() -> None:
        got = await people.ada("CrewService.GetCrew", pb.GetCrewRequest(name=crew.name))
        (listed,) = (await people.ada("CrewService.ListCrews", pb.ListCrewsRequest())).crews
        assert got == listed
        states.append(got.state)

    await people.ada("CrewService.UpdateCrew", crew_update(crew.name, agents=["agents/atlas"]))
    await look()
    for state in (agent_pb2.AGENT_STATE_PAUSED, agent_pb2.AGENT_STATE_ACTIVE):
        paused = agent_pb2.UpdateAgentRequest(agent=agent_pb2.Agent(name=agent.name, state=state))
        await people.ada("AgentService.UpdateAgent", paused)
        await look()
    await people.ada("AgentService.DeleteAgent", agent_pb2.DeleteAgentRequest(name=agent.name))
    await look()
    renamed = await people.ada("CrewService.UpdateCrew", crew_update(crew.name, display_name="Still here"))

    names = [pb.CrewState.Name(state).removeprefix("CREW_STATE_") for state in states]
    assert names == ["CONFIGURING", "ACTIVE", "CONFIGURING", "ACTIVE", "CONFIGURING"]
    assert list(renamed.agents) == [agent.name]


async def test_a_change_of_a_crew_leaves_no_task_alone(people: People) -> None:
    """An agent with a task stays, and a crew whose manager chooses becomes sequential only when all are given out."""
    crew = await people.ada("CrewService.CreateCrew", new_crew())
    first, _ = (await tasks_of(people, crew.name)).task_defs
    alone = await refusal(people.ada("CrewService.UpdateCrew", crew_update(crew.name, agents=crew.agents[:1])))
    hierarchical = crew_update(crew.name, process=pb.PROCESS_HIERARCHICAL, manager=OFFLINE)
    changed = await people.ada("CrewService.UpdateCrew", hierarchical)
    await people.ada("TaskDefService.UpdateTaskDef", task_update(first.name, "agent"))
    back = await refusal(people.ada("CrewService.UpdateCrew", crew_update(crew.name, process=pb.PROCESS_SEQUENTIAL)))
    stale = await refusal(people.ada("CrewService.UpdateCrew", crew_update(crew.name, memory=True, etag="1")))
    unknown = await refusal(people.ada("CrewService.UpdateCrew", crew_update(crew.name, "state")))

    assert (alone.code, back.code, stale.code) == ("FAILED_PRECONDITION", "FAILED_PRECONDITION", "ABORTED")
    assert (changed.process, changed.manager.provider) == (pb.PROCESS_HIERARCHICAL, "offline")
    assert (unknown.code, unknown.fields) == ("INVALID_ARGUMENT", ("update_mask",))


async def test_deleting_a_crew_takes_its_tasks(people: People) -> None:
    """Its agents stay; crew and tasks are listed when deleted ones are asked for; a second time is NOT_FOUND."""
    crew = await people.ada("CrewService.CreateCrew", new_crew())
    gone = await people.ada("CrewService.DeleteCrew", pb.DeleteCrewRequest(name=crew.name))
    again = await refusal(people.ada("CrewService.DeleteCrew", pb.DeleteCrewRequest(name=crew.name)))
    changed = await refusal(people.ada("CrewService.UpdateCrew", crew_update(crew.name, memory=True)))
    listed = await people.ada("CrewService.ListCrews", pb.ListCrewsRequest())
    living, all_tasks = await tasks_of(people, crew.name), await tasks_of(people, crew.name, show_deleted=True)
    agents = await people.ada("AgentService.ListAgents", agent_pb2.ListAgentsRequest())
    task = await refusal(people.ada.task(crew=crew.name, agent=agents.agents[0].name))

    assert (gone.state, gone.has_manager_api_key) == (pb.CREW_STATE_ARCHIVED, False)
    assert (again.code, changed.code, task.code) == ("NOT_FOUND", "NOT_FOUND", "NOT_FOUND")
    assert listed.total_size == 0
    assert (living.total_size, all_tasks.total_size, len(all_tasks.task_defs)) == (0, 2, 2)
    assert agents.total_size == 2


async def test_a_task_finds_the_crew_of_its_agent(people: People) -> None:
    """The first one; without any, it is of none, until it is given to one, in which it stays."""
    agent = await people.ada.agent()
    loose = await people.ada.task(agent="agents/atlas")
    crew = await people.ada.crew([agent.name])
    await people.ada.crew([agent.name])
    bound = await people.ada.task(agent=agent.name, display_name="Named")
    moved = await people.ada("TaskDefService.UpdateTaskDef", task_update(loose.name, crew=crew.name))
    stays = await refusal(people.ada("TaskDefService.UpdateTaskDef", task_update(loose.name, "crew")))

    assert (loose.crew, loose.agent) == ("", agent.name)
    assert (bound.crew, bound.display_name) == (crew.name, "Named")
    assert (moved.crew, moved.etag) == (crew.name, "2")
    assert (stays.code, stays.fields) == ("INVALID_ARGUMENT", ("task_def.crew",))


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"description": ""}, "INVALID_ARGUMENT", "task_def.description"),
        ({"description": "x" * 20_001}, "INVALID_ARGUMENT", "task_def.description"),
        ({"description": "a\0"}, "INVALID_ARGUMENT", "task_def.description"),
        ({"display_name": "x" * 201}, "INVALID_ARGUMENT", "task_def.display_name"),
        ({"expected_output": "x" * 20_001}, "INVALID_ARGUMENT", "task_def.expected_output"),
        ({"context": ["x"] * 65}, "INVALID_ARGUMENT", "task_def.context"),
        ({"context": ["x" * 10_001] * 2}, "INVALID_ARGUMENT", "task_def.context"),
        ({"context": ["a", "\0"]}, "INVALID_ARGUMENT", "task_def.context[1]"),
        ({"agent": ""}, "INVALID_ARGUMENT", "task_def.agent"),
        ({"agent": "atlas"}, "INVALID_ARGUMENT", "task_def.agent"),
        ({"agent": f"agents/{NOBODY}"}, "NOT_FOUND", "task_def.agent"),
        ({"agent": "agents/other"}, "INVALID_ARGUMENT", "task_def.agent"),
        ({"tools": ["tools/none"]}, "NOT_FOUND", "task_def.tools[0]"),
        ({"depends_on": [f"taskDefs/{NOBODY}"]}, "NOT_FOUND", "task_def.depends_on[0]"),
        ({"depends_on": ["taskDefs/+0"]}, "NOT_FOUND", "task_def.depends_on[0]"),
        ({"depends_on": ["tasks/1"]}, "INVALID_ARGUMENT", "task_def.depends_on[0]"),
    ],
)
async def test_a_task_that_cannot_be_kept(people: People, fields: dict[str, Any], code: str, field: str) -> None:
    """On creation and on a change alike, named by its field."""
    agent = await people.ada.agent()
    await people.ada.agent("Other")
    crew = await people.ada.crew([agent.name])
    kept = await people.ada.task(crew=crew.name, agent=agent.name)
    values = {"crew": crew.name, "agent": agent.name, **fields}
    created = await refusal(people.ada.task(**values))
    changed = await refusal(people.ada("TaskDefService.UpdateTaskDef", task_update(kept.name, *fields, **fields)))

    for refused in (created, changed):
        assert refused.code == code
        assert refused.fields == (field,) if code == "INVALID_ARGUMENT" else refused.metadata["field"] == field


async def test_a_task_that_is_needed_stays(people: People) -> None:
    """It can be deleted once nothing depends on it; it is then still there by its name."""
    crew = await people.ada("CrewService.CreateCrew", new_crew())
    first, second = (await tasks_of(people, crew.name)).task_defs
    needed = await refusal(people.ada("TaskDefService.DeleteTaskDef", pb.DeleteTaskDefRequest(name=first.name)))
    await people.ada("TaskDefService.DeleteTaskDef", pb.DeleteTaskDefRequest(name=second.name))
    gone = await people.ada("TaskDefService.DeleteTaskDef", pb.DeleteTaskDefRequest(name=first.name))
    again = await refusal(people.ada("TaskDefService.DeleteTaskDef", pb.DeleteTaskDefRequest(name=first.name)))
    got = await people.ada("TaskDefService.GetTaskDef", pb.GetTaskDefRequest(name=first.name))

    assert (needed.code, needed.metadata["needed_by"]) == ("FAILED_PRECONDITION", second.name)
    assert gone.HasField("delete_time")
    assert (again.code, got) == ("NOT_FOUND", gone)


async def test_tasks_page_in_their_order(people: People) -> None:
    """Those of a crew oldest first; all of them newest first."""
    agent = await people.ada.agent()
    crew = await people.ada.crew([agent.name])
    made = [(await people.ada.task(crew=crew.name, agent=agent.name)).name for _ in range(5)]
    orders = []
    for of in (crew.name, ""):
        seen: list[str] = []
        request = pb.ListTaskDefsRequest(crew=of, page_size=2)
        while True:
            page = await people.ada("TaskDefService.ListTaskDefs", request)
            seen += [task.name for task in page.task_defs]
            assert page.total_size == 5
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        orders.append(seen)

    assert orders == [made, made[::-1]]


async def test_a_crew_has_so_many_tasks(people: People) -> None:
    """One more than fits is refused, with the remedy."""
    tasks = [pb.TaskDef(description="a", agent="agents/+0") for _ in range(198)]
    crew = await people.ada("CrewService.CreateCrew", new_crew(new_task_defs=tasks))
    refused = await refusal(people.ada.task(crew=crew.name, agent=crew.agents[0]))

    assert refused.code == "FAILED_PRECONDITION"
    assert refused.metadata["resource"] == crew.name
