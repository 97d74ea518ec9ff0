"""Definitions as Kasal shows them: pure functions from the registry's messages to Kasal's."""

from collections.abc import Iterable, Mapping

from agentmesh_protos.dialects.kasal.v1 import agent_pb2 as agent_pb
from agentmesh_protos.dialects.kasal.v1 import crew_pb2 as pb
from agentmesh_protos.dialects.kasal.v1 import task_pb2 as task_pb
from agentmesh_protos.registry.v1 import agent_pb2, crew_pb2

from gateway.dialects.kasal import ids, models
from gateway.dialects.kasal.asking import time_of

PROCESSES = {"sequential": crew_pb2.PROCESS_SEQUENTIAL, "hierarchical": crew_pb2.PROCESS_HIERARCHICAL}
_PROCESS_OF = {number: word for word, number in PROCESSES.items()}


def crew_status(crew: crew_pb2.Crew, *, has_tasks: bool) -> str:
    """Return where a crew stands: `active` once its agents can be run and it has a task."""
    return "active" if has_tasks and crew.state == crew_pb2.CREW_STATE_ACTIVE else "configuring"


def crew_item(crew: crew_pb2.Crew, *, has_tasks: bool) -> pb.CrewItem:
    """Return a crew as lists show it."""
    return pb.CrewItem(
        id=ids.CREW.of(crew.name),
        name=crew.display_name,
        status=crew_status(crew, has_tasks=has_tasks),
        agents_count=len(crew.agents),
        created_at=time_of(crew.create_time),
    )


def crew(
    crew: crew_pb2.Crew, agents: Iterable[agent_pb2.Agent], tasks: Iterable[crew_pb2.TaskDef], words: Mapping[str, str]
) -> pb.Crew:
    """Return a crew with its agents and tasks; `words` say where tasks stand, by name."""
    tasks = list(tasks)
    return pb.Crew(
        id=ids.CREW.of(crew.name),
        name=crew.display_name,
        agents=[agent_item(agent, crew.name) for agent in agents],
        tasks=[task_item(task, words) for task in tasks],
        configuration=pb.Configuration(
            process=_PROCESS_OF.get(crew.process, "sequential"),
            description=crew.description,
            memory=crew.memory,
            status=crew_status(crew, has_tasks=bool(tasks)),
            created_at=time_of(crew.create_time),
            updated_at=time_of(crew.update_time),
        ),
    )


def agent_item(agent: agent_pb2.Agent, crew: str) -> agent_pb.AgentItem:
    """Return an agent of a crew, `crews/{id}`; of none, if that is empty."""
    return agent_pb.AgentItem(
        id=ids.AGENT.of(agent.name),
        name=agent.display_name,
        crew_id=ids.CREW.of_optional(crew),
        model=models.text_of(agent.model),
        status="ready" if agent.state == agent_pb2.AGENT_STATE_ACTIVE else "created",
        role=agent.role,
        goal=agent.goal,
    )


def task_item(task: crew_pb2.TaskDef, words: Mapping[str, str]) -> task_pb.TaskItem:
    """Return a task; `words` say where tasks stand, by name."""
    return task_pb.TaskItem(
        id=ids.TASK.of(task.name),
        description=task.description,
        agent_id=ids.AGENT.of_optional(task.agent),
        status=words.get(task.name, "created"),
        crew_id=ids.CREW.of_optional(task.crew),
        expected_output=task.expected_output,
    )
