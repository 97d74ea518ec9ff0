"""Codex's enums, in both directions."""

import pytest
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import job_pb2

from gateway.dialects.codex import words
from meshkit.errors import Invalid

STATES = [state for state in job_pb2.JobState.values() if state]


@pytest.mark.parametrize("state", STATES, ids=job_pb2.JobState.Name)
def test_a_state_is_under_one_status(state: int) -> None:
    """By its number, its name and its name in any case."""
    number = words.execution_status(state)
    name = words.EXECUTION_STATUSES[number]

    for said in (str(number), name, name.lower(), name.upper()):
        assert state in words.states(said)
    others = [words.states(other) for other in words.EXECUTION_STATUSES if other != name]
    assert not [found for found in others if state in found]


@pytest.mark.parametrize("status", ["", "5", "-1", "Done", "1.0", "٣", "Pending,Running"])
def test_there_is_no_other_status(status: str) -> None:
    """It says which there are."""
    with pytest.raises(Invalid) as caught:
        words.states(status)
    assert "4 (Cancelled)" in caught.value.fields["status"][0]


def test_agents_have_the_numbers_of_the_document() -> None:
    """Whatever the registry has, what it leaves open too."""
    assert [words.agent_type(stored) for stored in agent_pb2.AgentType.values()] == [4, 0, 1, 2, 3, 4]
    assert [words.provider_type(stored) for stored in agent_pb2.ProviderKind.values()] == [0, 0, 1, 2]
    assert [words.agent_status(state) for state in agent_pb2.AgentState.values() if state] == [1, 0, 1, 2]
