"""Where in a job something is done: what names steps and spans the same in every attempt."""

import dataclasses

from agentmesh_protos.registry.v1 import agent_pb2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One turn of an agent."""

    name: str
    """Unique within the job: the id of its span, and how its steps begin."""
    parent: str
    """The id of the span that it is a part of; empty for the job."""
    agent: agent_pb2.Agent
    task_def: str = ""
    """`taskDefs/{id}`; empty if it is none's."""
