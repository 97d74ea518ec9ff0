"""What a client says of an agent, as the registry keeps it."""

from collections.abc import Callable, Mapping
from typing import Any

from agentmesh_protos.registry.v1 import agent_pb2
from google.protobuf import field_mask_pb2

from gateway.dialects.codex import words
from gateway.dialects.codex.shapes import AgentChange, NewAgent
from meshkit.errors import Invalid

_PATHS = {
    "name": "display_name",
    "description": "description",
    "type": "type",
    "model_provider": "model.provider",
    "model_name": "model.model",
    "provider_type": "model.kind",
    "model_endpoint": "model.endpoint",
    "temperature": "model.temperature",
    "max_tokens": "model.max_tokens",
    "api_key": "api_key",
    "system_prompt": "system_prompt",
    "enable_memory": "memory.enabled",
    "conversation_window_size": "memory.window",
    "status": "state",
}
"""Where the registry has what the models of `shapes` call otherwise."""
_STORED: Mapping[str, Callable[[Any], Any]] = {
    "type": lambda number: number + 1,  # in Codex's order, behind UNSPECIFIED
    "provider_type": lambda number: number + 1,
    "status": {words.ACTIVE: agent_pb2.AGENT_STATE_ACTIVE, words.INACTIVE: agent_pb2.AGENT_STATE_PAUSED}.__getitem__,
}
NAMES = {
    path: "".join((first, *(part.title() for part in rest)))
    for path, (first, *rest) in ((path, field.split("_")) for field, path in _PATHS.items())
}
"""What Codex calls the registry's fields, for its complaints."""


def created(sent: NewAgent) -> agent_pb2.Agent:
    """Return a new agent."""
    agent = agent_pb2.Agent()
    for field in sent.model_fields_set:
        _put(agent, field, getattr(sent, field))
    return agent


def changed(sent: AgentChange) -> tuple[agent_pb2.Agent, field_mask_pb2.FieldMask]:
    """Return the fields of a change, and which those are.  Raises `Invalid` for one that archives an agent."""
    if "status" in sent.model_fields_set and sent.status == words.ARCHIVED:
        raise Invalid("an agent is archived by deleting it", {"status": ["call deleteAgent instead"]})
    agent = agent_pb2.Agent(name=f"agents/{sent.id}")
    fields = sent.model_fields_set - {"id"}
    for field in fields:
        _put(agent, field, getattr(sent, field))
    return agent, field_mask_pb2.FieldMask(paths=sorted(_PATHS[field] for field in fields))


def _put(agent: agent_pb2.Agent, field: str, value: Any) -> None:
    if value is None:
        return
    *outer, name = _PATHS[field].split(".")
    setattr(getattr(agent, outer[0]) if outer else agent, name, _STORED.get(field, lambda same: same)(value))
