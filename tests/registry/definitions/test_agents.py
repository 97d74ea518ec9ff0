"""Agents: what can be kept, who sees it, and how it changes."""

import asyncio
from typing import Any

import pytest
from agentmesh_protos.registry.v1 import agent_pb2 as pb
from google.protobuf import field_mask_pb2

from tests.registry.definitions.conftest import OFFLINE, People, refusal


def update(agent: pb.Agent, *paths: str, **fields: Any) -> pb.UpdateAgentRequest:
    """Return the request that changes fields of an agent."""
    mask = field_mask_pb2.FieldMask(paths=paths) if paths else None
    return pb.UpdateAgentRequest(agent=pb.Agent(name=agent.name, **fields), update_mask=mask)


async def test_an_agent_comes_back_as_it_was_written(people: People) -> None:
    """Every field, but the key; what the registry adds is there; slug and id lead to it."""
    sent = pb.Agent(
        display_name="Café Noir 咖啡",
        description="Reads\nlines.",
        type=pb.AGENT_TYPE_CODE_REVIEWER,
        role="Reviewer",
        goal="Find bugs",
        backstory="Long ago",
        system_prompt="Be brief.",
        model=pb.Model(provider="openai", model="gpt-4o", temperature=0, max_tokens=4000),
        api_key="sk-canary",
        memory=pb.AgentMemory(enabled=True, window=20),
        tools=["tools/calculator", "tools/web_search"],
        concurrency_limit=2,
        labels={"skill": "python"},
    )
    agent = await people.ada("AgentService.CreateAgent", pb.CreateAgentRequest(agent=sent))
    by_slug = await people.ada("AgentService.GetAgent", pb.GetAgentRequest(name="agents/cafe-noir"))

    expected = pb.Agent()
    expected.CopyFrom(sent)
    expected.ClearField("api_key")
    expected.slug, expected.state, expected.version, expected.etag = "cafe-noir", pb.AGENT_STATE_ACTIVE, 1, "1"
    expected.has_api_key = True
    expected.model.kind = pb.PROVIDER_KIND_CLOUD_API
    expected.name, expected.owner = agent.name, agent.owner
    expected.create_time.CopyFrom(agent.create_time)
    expected.update_time.CopyFrom(agent.create_time)
    assert agent == expected
    assert by_slug == agent
    assert agent.model.HasField("temperature")
    assert agent.owner.startswith("users/")
    assert agent.name.removeprefix("agents/")[14] == "7"


async def test_ids_sort_by_creation_and_lists_page(people: People) -> None:
    """Newest first, in pages, with a total; a token is for its filter only."""
    made = [(await people.ada.agent(f"Agent {number}")).name for number in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest(page_size=2, page_token=token))
        seen += [agent.name for agent in page.agents]
        assert page.total_size == 5
        if not (token := page.next_page_token):
            break
        last = token
    other = await refusal(
        people.ada("AgentService.ListAgents", pb.ListAgentsRequest(page_token=last, show_deleted=True))
    )

    assert made == sorted(made)
    assert seen == made[::-1]
    assert (other.code, other.fields) == ("INVALID_ARGUMENT", ("page_token",))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"display_name": ""}, "agent.display_name"),
        ({"display_name": " \t"}, "agent.display_name"),
        ({"display_name": "x" * 201}, "agent.display_name"),
        ({"display_name": "a\0b"}, "agent.display_name"),
        ({"display_name": "a\nb"}, "agent.display_name"),
        ({"description": "x" * 2001}, "agent.description"),
        ({"description": "a\0b"}, "agent.description"),
        ({"role": "x" * 1001}, "agent.role"),
        ({"goal": "x" * 10_001}, "agent.goal"),
        ({"backstory": "x" * 20_001}, "agent.backstory"),
        ({"system_prompt": "x" * 100_001}, "agent.system_prompt"),
        ({"slug": "Atlas"}, "agent.slug"),
        ({"slug": "-a"}, "agent.slug"),
        ({"slug": "a" * 64}, "agent.slug"),
        ({"slug": "01234567-89ab-7cde-8f01-23456789abcd"}, "agent.slug"),
        ({"type": 99}, "agent.type"),
        ({"state": 99}, "agent.state"),
        ({"state": pb.AGENT_STATE_ARCHIVED}, "agent.state"),
        ({"state": pb.AGENT_STATE_ACTIVE, "model": None}, "agent.state"),
        ({"model": pb.Model()}, "agent.model.provider"),
        ({"model": pb.Model(provider="x" * 101)}, "agent.model.provider"),
        ({"model": pb.Model(provider="a", model="x" * 101)}, "agent.model.model"),
        ({"model": pb.Model.FromString(b"\x0a\x01a\x18\x63")}, "agent.model.kind"),  # 99
        ({"model": pb.Model(provider="a", kind=pb.PROVIDER_KIND_LOCAL_ENDPOINT)}, "agent.model.endpoint"),
        ({"model": pb.Model(provider="a", endpoint="not a url")}, "agent.model.endpoint"),
        ({"model": pb.Model(provider="a", endpoint="file:///etc/passwd")}, "agent.model.endpoint"),
        ({"model": pb.Model(provider="a", temperature=2.1)}, "agent.model.temperature"),
        ({"model": pb.Model(provider="a", temperature=float("nan"))}, "agent.model.temperature"),
        ({"model": pb.Model(provider="a", max_tokens=0)}, "agent.model.max_tokens"),
        ({"model": pb.Model(provider="a", max_tokens=1_000_001)}, "agent.model.max_tokens"),
        ({"memory": pb.AgentMemory(window=101)}, "agent.memory.window"),
        ({"memory": pb.AgentMemory(window=-1)}, "agent.memory.window"),
        ({"concurrency_limit": -1}, "agent.concurrency_limit"),
        ({"labels": {str(number): "" for number in range(65)}}, "agent.labels"),
        ({"labels": {"x" * 64: ""}}, "agent.labels"),
        ({"labels": {"": "x"}}, "agent.labels"),
        ({"labels": {"a": "b\0"}}, "agent.labels"),
        ({"tools": ["calculator"]}, "agent.tools[0]"),
        ({"tools": ["tools/calculator", "tools/calculator"]}, "agent.tools"),
        ({"tools": [f"tools/t{number}" for number in range(65)]}, "agent.tools"),
        ({"api_key": "a b"}, "agent.api_key"),
        ({"api_key": "a\r\nX-Evil: 1"}, "agent.api_key"),
        ({"api_key": "x" * 4097}, "agent.api_key"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(people: People, fields: dict[str, Any], wrong: str) -> None:
    """On creation and on a change alike; nothing is kept."""
    agent = await people.ada.agent("Kept", slug="kept")
    created = await refusal(people.ada.agent(**fields))
    paths = [name for name in fields if name != "model" or fields[name] is not None]
    changed = None
    if fields.get("model", OFFLINE) is not None:
        changed = await refusal(people.ada("AgentService.UpdateAgent", update(agent, *paths, **fields)))
    listed = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest())

    assert (created.code, created.fields) == ("INVALID_ARGUMENT", (wrong,))
    assert changed is None or (changed.code, changed.fields) == ("INVALID_ARGUMENT", (wrong,))
    assert list(listed.agents) == [agent]


async def test_slugs_are_derived_and_unique_per_owner(people: People) -> None:
    """The same name again gets a number; a slug that is asked for and taken is refused; another owner is free."""
    slugs = [(await people.ada.agent(name)).slug for name in ("Atlas", "atlas!", "ATLAS", "日本", "Straße")]
    taken = await refusal(people.ada.agent("Other", slug="atlas"))
    bob = await people.bob.agent("Atlas")
    many = [(await people.ada.agent("Many")).slug for _ in range(12)]

    assert slugs == ["atlas", "atlas-2", "atlas-3", "agent", "strasse"]
    assert taken.code == "ALREADY_EXISTS"
    assert bob.slug == "atlas"
    assert len(set(many)) == 12


async def test_a_change_touches_what_the_mask_names(people: People) -> None:
    """Without one, what is set; `*` is everything but a secret; nested paths leave their neighbours."""
    agent = await people.ada.agent("A", api_key="k", description="old", labels={"a": "1"})
    one = await people.ada("AgentService.UpdateAgent", update(agent, description="new"))
    nested = await people.ada("AgentService.UpdateAgent", update(agent, model=pb.Model(temperature=0.5)))
    cleared = await people.ada("AgentService.UpdateAgent", update(agent, "description", "model.temperature"))
    everything = await people.ada("AgentService.UpdateAgent", update(agent, "*", display_name="B", slug="b"))
    unkeyed = await people.ada("AgentService.UpdateAgent", update(agent, "api_key"))

    assert (one.description, one.display_name, one.version, one.etag) == ("new", "A", 2, "2")
    assert (nested.model.provider, nested.model.temperature) == ("offline", 0.5)
    assert cleared.description == ""
    assert not cleared.model.HasField("temperature")
    assert (everything.display_name, everything.slug, dict(everything.labels)) == ("B", "b", {})
    assert everything.state == pb.AGENT_STATE_DRAFT
    assert everything.has_api_key
    assert not unkeyed.has_api_key


@pytest.mark.parametrize(
    "path", ["nothing", "name", "owner", "etag", "has_api_key", "model.nothing", "labels.a", "a.b", ""]
)
async def test_a_path_that_is_no_field_is_refused(people: People, path: str) -> None:
    """It names the mask, and nothing changes."""
    agent = await people.ada.agent()
    refused = await refusal(people.ada("AgentService.UpdateAgent", update(agent, path, "display_name")))

    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("update_mask",))


async def test_an_old_etag_is_a_conflict(people: People) -> None:
    """Of two who read the same, one wins."""
    agent = await people.ada.agent()
    calls = [people.ada("AgentService.UpdateAgent", update(agent, goal=goal, etag="1")) for goal in ("a", "b")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    lost = await refusal(people.ada("AgentService.UpdateAgent", update(agent, goal="c", etag="1")))

    assert sorted(isinstance(result, pb.Agent) for result in results) == [False, True]
    assert lost.code == "ABORTED"


async def test_states_follow_the_model_and_the_caller(people: People) -> None:
    """DRAFT without a model, ACTIVE with its first, PAUSED when told, and never ACTIVE without one."""
    agent = await people.ada.agent(model=None)
    refused = await refusal(people.ada("AgentService.UpdateAgent", update(agent, "state", state=pb.AGENT_STATE_ACTIVE)))
    states = [agent.state]
    for request in (
        update(agent, model=OFFLINE),
        update(agent, state=pb.AGENT_STATE_PAUSED),
        update(agent, goal="x"),
        update(agent, state=pb.AGENT_STATE_ACTIVE),
        update(agent, state=pb.AGENT_STATE_DRAFT),
        update(agent, goal="y"),
        update(agent, "state"),
        update(agent, "model"),
    ):
        states.append((await people.ada("AgentService.UpdateAgent", request)).state)
    drafts = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest(states=[pb.AGENT_STATE_DRAFT]))
    active = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest(states=[pb.AGENT_STATE_ACTIVE]))

    assert refused.code == "FAILED_PRECONDITION"
    assert [pb.AgentState.Name(state).removeprefix("AGENT_STATE_") for state in states] == [
        "DRAFT", "ACTIVE", "PAUSED", "PAUSED", "ACTIVE", "DRAFT", "DRAFT", "ACTIVE", "DRAFT",
    ]  # fmt: skip
    assert (drafts.total_size, len(drafts.agents), active.total_size, len(active.agents)) == (1, 1, 0, 0)


async def test_archiving_hides_and_undeleting_brings_back(people: People) -> None:
    """It is still there by id, its slug is free, a change is refused with the remedy; back, it is PAUSED."""
    agent = await people.ada.agent("Atlas", api_key="k")
    gone = await people.ada("AgentService.DeleteAgent", pb.DeleteAgentRequest(name="agents/atlas"))
    by_id = await people.ada("AgentService.GetAgent", pb.GetAgentRequest(name=agent.name))
    by_slug = await refusal(people.ada("AgentService.GetAgent", pb.GetAgentRequest(name="agents/atlas")))
    again = await refusal(people.ada("AgentService.DeleteAgent", pb.DeleteAgentRequest(name=agent.name)))
    changed = await refusal(people.ada("AgentService.UpdateAgent", update(agent, goal="x")))
    listed = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest())
    with_deleted = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest(show_deleted=True))
    taker = await people.ada.agent("Atlas")
    blocked = await refusal(people.ada("AgentService.UndeleteAgent", pb.UndeleteAgentRequest(name=agent.name)))
    await people.ada("AgentService.DeleteAgent", pb.DeleteAgentRequest(name=taker.name))
    back = await people.ada("AgentService.UndeleteAgent", pb.UndeleteAgentRequest(name=agent.name))
    twice = await refusal(people.ada("AgentService.UndeleteAgent", pb.UndeleteAgentRequest(name=agent.name)))

    assert gone.state == pb.AGENT_STATE_ARCHIVED
    assert gone.HasField("delete_time")
    assert by_id == gone
    assert (by_slug.code, again.code, changed.code) == ("NOT_FOUND", "NOT_FOUND", "FAILED_PRECONDITION")
    assert (listed.total_size, with_deleted.total_size, len(with_deleted.agents)) == (0, 1, 1)
    assert taker.slug == "atlas"
    assert (blocked.code, twice.code) == ("ALREADY_EXISTS", "ALREADY_EXISTS")
    assert (back.state, back.has_api_key, back.HasField("delete_time")) == (pb.AGENT_STATE_PAUSED, True, False)


async def test_one_request_adds_one_agent(people: People) -> None:
    """Ten at once with the same id are one; another body with that id is refused; another caller is free."""
    request = pb.CreateAgentRequest(agent=pb.Agent(display_name="A", api_key="k"), request_id="r1")
    agents = await asyncio.gather(*(people.ada("AgentService.CreateAgent", request) for _ in range(10)))
    other = pb.CreateAgentRequest(agent=pb.Agent(display_name="A", api_key="other"), request_id="r1")
    refused = await refusal(people.ada("AgentService.CreateAgent", other))
    bob = await people.bob("AgentService.CreateAgent", request)
    listed = await people.ada("AgentService.ListAgents", pb.ListAgentsRequest())

    assert {agent.name for agent in agents} == {agents[0].name}
    assert all(agent == agents[0] for agent in agents)
    assert (refused.code, refused.fields) == ("INVALID_ARGUMENT", ("request_id",))
    assert bob.name != agents[0].name
    assert listed.total_size == 1


async def test_a_key_goes_to_no_other_provider(people: People) -> None:
    """Nor to another server, nor by way of an agent without a model; another model of the provider has it still."""
    here = pb.Model(provider="openai", model="a", endpoint="https://e.com/v1")
    cases: list[tuple[list[pb.Model | None], bool]] = [
        ([pb.Model(provider="openai", model="b", endpoint="https://e.com/v2")], True),
        ([pb.Model(provider="openai", model="a", endpoint="https://elsewhere.com/v1")], False),
        ([pb.Model(provider="anthropic", model="a", endpoint="https://e.com/v1")], False),
        ([None, pb.Model(provider="openai", model="a", endpoint="https://elsewhere.com/v1")], False),
    ]
    for number, (moves, stays) in enumerate(cases):
        agent = await people.ada.agent(f"Mover {number}", api_key="k", model=here)
        for model in moves:
            given = {} if model is None else {"model": model}
            agent = await people.ada("AgentService.UpdateAgent", update(agent, "model", **given))
        assert stays == agent.has_api_key, moves
