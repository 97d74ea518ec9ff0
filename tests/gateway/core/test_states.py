"""The words of every dialect for the states of a job, forth and back."""

import pytest
from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import job_pb2

from gateway.core import states
from gateway.core.states import Words
from gateway.dialects import DIALECTS
from meshkit.errors import Invalid

ALL = {value for value in job_pb2.JobState.values() if value != job_pb2.JOB_STATE_UNSPECIFIED}
WORDS = {dialect.name: Words(dialect.name, dialect.states) for dialect in DIALECTS if dialect.states}


def named(*names: str) -> frozenset[int]:
    return frozenset(job_pb2.JobState.Value(f"JOB_STATE_{name}") for name in names)


# From the specification, written down a second time on purpose: word -> states, per dialect.
BACK = {
    "codex": {
        "Pending": named("PENDING", "QUEUED", "STARTING", "AWAITING_PAYMENT"),
        "Running": named("RUNNING", "RETRYING", "PAUSED", "AWAITING_INPUT", "STOPPING"),
        "Completed": named("SUCCEEDED"),
        "Failed": named("FAILED"),
        "Cancelled": named("CANCELLED"),
    },
    "kasal": {
        "queued": named("PENDING", "QUEUED", "STARTING", "AWAITING_PAYMENT"),
        "running": named("RUNNING", "RETRYING", "PAUSED", "AWAITING_INPUT", "STOPPING"),
        "completed": named("SUCCEEDED"),
        "failed": named("FAILED"),
        "stopped": named("CANCELLED"),
    },
    "koda": {
        "queued": named("PENDING", "QUEUED", "STARTING", "AWAITING_PAYMENT"),
        "running": named("RUNNING", "STOPPING"),
        "retrying": named("RETRYING"),
        "paused": named("PAUSED", "AWAITING_INPUT"),
        "completed": named("SUCCEEDED"),
        "failed": named("FAILED", "CANCELLED"),
    },
    "kodosumi": {
        "starting": named("PENDING", "QUEUED", "STARTING"),
        "running": named("RUNNING", "RETRYING", "PAUSED", "AWAITING_PAYMENT", "STOPPING"),
        "awaiting": named("AWAITING_INPUT"),
        "finished": named("SUCCEEDED"),
        "error": named("FAILED", "CANCELLED"),
    },
    "sumi": {
        "running": named("PENDING", "QUEUED", "STARTING", "RUNNING", "RETRYING", "PAUSED", "STOPPING"),
        "awaiting_payment": named("AWAITING_PAYMENT"),
        "awaiting_input": named("AWAITING_INPUT"),
        "completed": named("SUCCEEDED"),
        "failed": named("FAILED", "CANCELLED"),
    },
}
BACK["mip003"] = BACK["sumi"]  # both are what MIP-003 says


@pytest.mark.parametrize("dialect", WORDS.values(), ids=WORDS)
def test_every_state_has_a_word_and_every_word_its_states(dialect: Words) -> None:
    """Forth and back agree with the specification for every state and every word, and with each other."""
    back = BACK[dialect.name]
    assert set(dialect.words) == set(back)
    for word, expected in back.items():
        assert dialect.states(word) == expected
        assert {dialect.word(state) for state in expected} == {word}
    covered = [state for word in dialect.words for state in dialect.states(word)]
    assert sorted(covered) == sorted(ALL), "each state is covered exactly once"


@pytest.mark.parametrize("dialect", WORDS.values(), ids=WORDS)
def test_an_event_s_payload_is_translated_like_its_state(dialect: Words) -> None:
    """The lower-case name in a status event gives the same word as the state; unknown text passes."""
    for state in ALL:
        payload = job_pb2.JobState.Name(state).removeprefix("JOB_STATE_").lower()
        assert states.from_name(payload) == state
        assert dialect.of_event(payload) == dialect.word(state)
    assert dialect.of_event("of a newer runner") == "of a newer runner"


def test_an_unknown_word_is_refused_with_the_words_there_are() -> None:
    """A filter with a foreign word names the field and what it may be."""
    with pytest.raises(Invalid) as caught:
        WORDS["kodosumi"].states("queued")
    assert caught.value.fields == {"status": ["must be one of starting, running, awaiting, finished, error"]}


def test_the_unspecified_state_has_no_word() -> None:
    """JOB_STATE_UNSPECIFIED is never stored, so asking for its word is a bug that shows."""
    with pytest.raises(KeyError):
        WORDS["sumi"].word(job_pb2.JOB_STATE_UNSPECIFIED)


def test_every_dialect_is_tried_here() -> None:
    """One that is added says what its words are, a second time."""
    assert set(BACK) == set(WORDS)


@pytest.mark.parametrize("column", [{}, {**WORDS["sumi"].column, "DREAMING": "running"}])
def test_a_column_is_complete(column: dict[str, str]) -> None:
    """One that leaves states out, or has others, is refused when it is made."""
    with pytest.raises(ValueError, match="no states, or have no word"):
        Words("new", column)


def test_an_agent_s_states_have_words_too() -> None:
    """Each one in which it is listed has one, and a filter by another names its field."""
    words = Words("new", {"DRAFT": "draft", "ACTIVE": "active", "PAUSED": "draft"}, states.AGENT_STATES, field="state")

    assert {agent_pb2.AGENT_STATE_DRAFT, agent_pb2.AGENT_STATE_PAUSED} == words.states("draft")
    assert "active" == words.word(agent_pb2.AGENT_STATE_ACTIVE)
    with pytest.raises(Invalid) as caught:
        words.states("archived")
    assert {"state": ["must be one of draft, active"]} == caught.value.fields
