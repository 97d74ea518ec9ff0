"""One turn of one agent: what it is told, what it may use, and what it answers."""

from collections.abc import Sequence
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2, tool_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, memory_pb2
from pydantic_ai import Agent
from pydantic_ai.exceptions import AgentRunError, UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from agentmesh.engine import models, tools
from agentmesh.engine.place import Place
from agentmesh.engine.recorded import ModelFailed, RecordedModel
from agentmesh.engine.toolbox import Toolbox
from agentmesh.engine.trace import called
from agentmesh.engine.work import Work
from agentmesh.errors import KodosumiError

REQUESTS_MAX = 25
"""Calls of a model in one turn (CrewAI's `max_iter`)."""
TOOL_CALLS_MAX = 50


async def take(
    work: Work,
    place: Place,
    prompt: str,
    *,
    model: agent_pb2.Model,
    key: str,
    allowed: Sequence[tool_pb2.Tool] = (),
    subject: str = "",
    output: Any = str,
) -> Any:
    """Return an agent's answer to a prompt: a text, or an `output` that it must fill.

    `subject` names what memory was asked for it.  Raises `ModelFailed`, `BudgetExceeded`, and `KodosumiError` if the
    agent goes round in circles.
    """
    work.trace.begin(
        place.name,
        "agent_step",
        called(place.agent),
        parent=place.parent,
        agent=place.agent,
        task_def=place.task_def,
        prompt=prompt,
    )
    hits = [hit for recall in work.run.recalls if recall.subject == subject for hit in recall.hits]
    recalled = await work.tracer.step(f"{place.name}.recall", _recall, work, place, hits) if hits else []
    try:
        async with (
            models.opened(model, key, private=work.run.private_models) as wrapped,
            tools.opened(allowed, work) as callables,
        ):
            agent: Agent[None, Any] = Agent(
                RecordedModel(wrapped, work, place, model),
                output_type=output,
                instructions=_instructions(place.agent, recalled),
                toolsets=[Toolbox(callables, work, place)] if callables else [],
                model_settings=_settings(model),
                name=place.agent.slug or None,
                retries=2,
            )
            limits = UsageLimits(request_limit=REQUESTS_MAX, tool_calls_limit=TOOL_CALLS_MAX)
            result = await agent.run(prompt, message_history=_history(work.run.messages), usage_limits=limits)
    except KodosumiError as error:
        work.trace.end(place.name, error=str(error))
        raise
    except AgentRunError as error:
        why = _why(error, called(place.agent))
        work.trace.end(place.name, error=why)
        raise ModelFailed(why) from error
    answer = result.output
    work.trace.end(place.name, result=answer if isinstance(answer, str) else answer.model_dump())
    return answer


def _why(error: AgentRunError, agent: str) -> str:
    if isinstance(error, UnexpectedModelBehavior):
        return f"{agent} gave an answer that cannot be used: {error}"[:1000]
    return f"{agent} came to no answer: {error}"[:1000]


async def _recall(work: Work, place: Place, hits: Sequence[memory_pb2.MemoryHit]) -> list[str]:
    """Return what is remembered; each hit is a span."""
    for number, hit in enumerate(hits, start=1):
        record = hit.record
        work.trace.mark(
            f"{place.name}.memory.{number}",
            "memory_hit",
            record.category or record.type,
            parent=place.name,
            agent=place.agent,
            task_def=place.task_def,
            memory=record.name,
            content=record.content,
            layer=memory_pb2.MemoryLayer.Name(record.layer).removeprefix("MEMORY_LAYER_").lower(),
            type=record.type,
            category=record.category,
            score=hit.score,
            lexical_rank=hit.lexical_rank,
            dense_rank=hit.dense_rank,
            graph_rank=hit.graph_rank,
        )
    return [hit.record.content for hit in hits]


def _instructions(agent: agent_pb2.Agent, recalled: Sequence[str]) -> str:
    lines = [agent.system_prompt or _made(agent)]
    if recalled:
        lines += ["", "What you remember of earlier work:", *(f"- {text}" for text in recalled)]
    return "\n".join(lines)


def _made(agent: agent_pb2.Agent) -> str:
    lines = [f"You are {agent.role or called(agent)}."]
    lines += [agent.backstory] if agent.backstory else []
    lines += [f"Your goal: {agent.goal}"] if agent.goal else []
    return "\n".join(lines)


def _settings(model: agent_pb2.Model) -> ModelSettings:
    settings: ModelSettings = {"timeout": models.SILENT_S}
    if model.HasField("temperature"):
        settings["temperature"] = model.temperature
    if model.HasField("max_tokens"):
        settings["max_tokens"] = model.max_tokens
    return settings


def _history(messages: Sequence[conversation_pb2.Message]) -> list[ModelMessage]:
    history: list[ModelMessage] = []
    for message in messages:
        if message.role == conversation_pb2.MESSAGE_ROLE_USER:
            history.append(ModelRequest(parts=[UserPromptPart(content=message.content)]))
        else:
            history.append(ModelResponse(parts=[TextPart(content=message.content)]))
    return history
