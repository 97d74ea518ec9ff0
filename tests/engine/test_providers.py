"""Providers as the engine sees them: streams, tools, limits, failures."""

import json

import pytest
from agentmesh_protos.auth.v1 import auth_pb2
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import job_pb2

from services.runner.peers.memory import MemoryDefinitions
from tests.engine.defined import CALCULATOR, agent, define, ended, spans, start, text_of
from tests.engine.providers import ANSWER, Provider
from tests.runner.stack import Stack

KEY = "sk-canary-7f3a9c-openai"


def at(models: Provider, name: str, provider: str = "openai") -> agent_pb2.Model:
    """Return a model of the test's provider."""
    endpoint = models.anthropic if provider == "anthropic" else models.openai
    return agent_pb2.Model(provider=provider, model=name, kind=agent_pb2.PROVIDER_KIND_CUSTOM, endpoint=endpoint)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_an_answer_is_streamed_and_counted(
    mesh: Stack, known: MemoryDefinitions, models: Provider, provider: str
) -> None:
    """The pieces of an answer are events, in order; tokens are those that the provider says."""
    target = define(known, agent(model=at(models, "plain", provider)), key=KEY)

    job, events = await ended(mesh, await start(mesh, target))

    pieces = [json.loads(event.payload)["text"] for event in events if event.kind == "token"]
    assert ANSWER == "".join(pieces) == text_of(job)
    assert KEY == models.calls[0]["key"]
    assert (job.usage.input_tokens, job.usage.output_tokens) == ((10, 5) if provider == "openai" else (12, 7))


async def test_a_tool_is_called_as_the_model_says(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """The model's call of a tool is carried out, and its result is what the model gets next."""
    target = define(known, agent(model=at(models, "tools")), tools=[CALCULATOR], key=KEY)

    job, _ = await ended(mesh, await start(mesh, target))

    assert "tool: 42" == text_of(job)
    assert 2 == models.counts["tools"]
    call = (await spans(mesh, job))["turn.tool.call_1"]
    assert ("6*7", "42") == (call.attributes["arguments"]["expression"], call.attributes["result"])


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("how", ["limited", "broken", "cut", "garbage"])
async def test_what_fails_once_is_tried_again(
    mesh: Stack, known: MemoryDefinitions, models: Provider, provider: str, how: str
) -> None:
    """A provider that limits, fails, is cut off or talks garbage is asked again; the trace says how often."""
    target = define(known, agent(model=at(models, f"{how}-once", provider)), key=KEY)

    job, events = await ended(mesh, await start(mesh, target))

    assert ANSWER == text_of(job)
    assert 2 == models.counts[f"{how}-once"] == (await spans(mesh, job))["turn.llm.1"].attributes["attempts"]
    resets = [json.loads(event.payload) for event in events if event.kind == "token"]
    assert 1 == sum(bool(piece.get("reset")) for piece in resets)


async def test_a_refusal_is_told_without_the_key(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """What a provider refuses is not tried again, and its words do not carry the key out."""
    target = define(known, agent(model=at(models, "denied")), key=KEY)

    job, events = await ended(mesh, await start(mesh, target))

    assert job_pb2.JOB_STATE_FAILED == job.state
    assert "status 401: the key [REDACTED] is not ours" in job.error
    assert 1 == models.counts["denied"]
    assert not [event for event in events if KEY in event.payload or KEY in event.detail]


async def test_a_provider_that_hangs_ends_with_the_budget(
    mesh: Stack, known: MemoryDefinitions, models: Provider
) -> None:
    """Seconds are a limit too."""
    target = define(known, agent(model=at(models, "hang")), key=KEY)

    job, _ = await ended(mesh, await start(mesh, target, budget=job_pb2.Budget(seconds=0.5)))

    assert (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_REASON_BUDGET_EXCEEDED) == (job.state, job.reason)


async def test_tokens_are_a_budget(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """No call is made that the budget does not cover."""
    target = define(known, agent(model=at(models, "tools")), tools=[CALCULATOR], key=KEY)

    job, _ = await ended(mesh, await start(mesh, target, budget=job_pb2.Budget(tokens=12)))

    assert job_pb2.JOB_REASON_BUDGET_EXCEEDED == job.reason
    assert 1 == models.counts["tools"]


async def test_a_sandbox_calls_nobody(mesh: Stack, known: MemoryDefinitions, models: Provider) -> None:
    """Whoever tries the mesh out gets the offline model, whatever the agent is; no key is asked for."""
    target = define(known, agent(model=at(models, "plain")), key=KEY)
    sandbox = await mesh.user("sandy", tier=auth_pb2.TIER_SANDBOX)

    job, _ = await ended(mesh, await start(mesh, target, metadata=sandbox))

    assert text_of(job).startswith("[offline model]")
    assert not models.calls
