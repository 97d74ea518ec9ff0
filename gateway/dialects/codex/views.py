"""Agents, conversations and executions as Codex shows them."""

from collections.abc import Mapping
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import conversation_pb2, job_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.core import jobs, states
from gateway.dialects.codex import ids, words
from gateway.http.answers import dumps
from meshkit.clock import moment_of

AGENTS, CONVERSATIONS = "agents/", "conversations/"
PROMPT_CHARS_MAX = 200
"""Of a prompt in a list."""
_WINDOW = 10
"""What an agent has that says nothing."""
_MICROS = 1_000_000
_ROLES = {conversation_pb2.MESSAGE_ROLE_USER: "user", conversation_pb2.MESSAGE_ROLE_ASSISTANT: "assistant"}


def moment(time: Timestamp) -> str:
    """Return a time in ISO 8601, in UTC: with six digits of a second, or with none if they are zero."""
    return moment_of(time).replace(tzinfo=None).isoformat() + "Z"


def shortened(prompt: str) -> str:
    """Return a prompt as lists show it: at most 200 code points, and three dots if it has more."""
    return prompt if len(prompt) <= PROMPT_CHARS_MAX else f"{prompt[:PROMPT_CHARS_MAX]}..."


def agent_item(agent: agent_pb2.Agent, executions: int) -> dict[str, Any]:
    """Return an agent as lists show it."""
    return {
        "id": agent.name.removeprefix(AGENTS),
        "name": agent.display_name,
        "description": agent.description,
        "type": words.agent_type(agent.type),
        "modelProvider": agent.model.provider,
        "modelName": agent.model.model,
        "providerType": words.provider_type(agent.model.kind),
        "modelEndpoint": agent.model.endpoint or None,
        "status": words.agent_status(agent.state),
        "createdAt": moment(agent.create_time),
        "updatedAt": moment(agent.update_time),
        "toolCount": len(agent.tools),
        "executionCount": executions,
    }


def agent(agent: agent_pb2.Agent, executions: int) -> dict[str, Any]:
    """Return an agent."""
    model = agent.model
    return {
        **agent_item(agent, executions),
        "temperature": model.temperature if model.HasField("temperature") else None,
        "maxTokens": model.max_tokens if model.HasField("max_tokens") else None,
        "systemPrompt": agent.system_prompt,
        "enableMemory": agent.memory.enabled,
        "conversationWindowSize": agent.memory.window or _WINDOW,
        "hasApiKey": agent.has_api_key,
    }


def execution_item(job: job_pb2.Job, names: Mapping[str, str]) -> dict[str, Any]:
    """Return an execution as lists show it; `names` are those of agents by `agents/{id}`."""
    shown = _execution(job, names)
    return {**shown, "userPrompt": shortened(shown["userPrompt"])}


def execution(job: job_pb2.Job, names: Mapping[str, str]) -> dict[str, Any]:
    """Return an execution, with its whole prompt and what came of it."""
    response = _text(job.result_json) if job.state == states.SUCCEEDED else None
    return {**_execution(job, names), "response": response, "input": jobs.json_object(job.inputs_json)}


def _execution(job: job_pb2.Job, names: Mapping[str, str]) -> dict[str, Any]:
    conversation = job.conversation.removeprefix(CONVERSATIONS)  # other APIs take any text
    counted = job.HasField("usage")
    succeeded = job.state == states.SUCCEEDED
    failed = job.state in states.TERMINAL and not succeeded
    return {
        "id": ids.of_job(job.name),
        "agentId": job.target.removeprefix(AGENTS),
        "agentName": names.get(job.target, ""),
        "conversationId": conversation if ids.is_guid(conversation) else None,
        "userPrompt": str(jobs.json_object(job.inputs_json).get("prompt", "")),
        "status": words.execution_status(job.state),
        "startedAt": moment(job.create_time),
        "completedAt": moment(job.finish_time) if job.HasField("finish_time") else None,
        "inputTokens": job.usage.input_tokens if counted else None,
        "outputTokens": job.usage.output_tokens if counted else None,
        "estimatedCost": job.usage.cost_micros / _MICROS if counted else None,
        # What was asked, and what was answered.
        "messageCount": 2 if succeeded else 1,
        "errorMessage": jobs.failure(job) if failed else None,
    }


def _text(result_json: str) -> str:
    """Return what an agent answered, of typed JSON such as `{"Markdown": {"body": …}}`."""
    value = jobs.json_value(result_json)
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    if isinstance(value, dict) and isinstance(value.get("body"), str):
        value = value["body"]
    return value if isinstance(value, str) else dumps(value)


def conversation_item(conversation: conversation_pb2.Conversation) -> dict[str, Any]:
    """Return a conversation as lists show it."""
    return {
        "id": conversation.name.removeprefix(CONVERSATIONS),
        "title": conversation.title,
        "summary": conversation.summary or None,
        "startedAt": moment(conversation.create_time),
        "lastMessageAt": moment(conversation.last_message_time),
        "messageCount": conversation.message_count,
        "isActive": conversation.active,
        "executionCount": conversation.job_count,
    }


def message(conversation: str, said: conversation_pb2.Message) -> dict[str, Any]:
    """Return one message of the conversation with this GUID."""
    return {
        "id": ids.of_message(conversation, said.index),
        "role": _ROLES[said.role],
        "content": said.content,
        "messageIndex": said.index,
        "createdAt": moment(said.create_time),
        "executionId": ids.of_job(said.job) if said.job else None,
    }
