"""The states of a job in the words of a dialect, and back.

A dialect brings a column: its word for each `JobState`, by name.  Back, a word names the set of states that are shown
as it; the sets of a dialect's words cover each state exactly once, so a filter by word neither misses a job nor shows
it twice.  `Words` takes no column that leaves a state out, or has one that there is not.
"""

from collections.abc import Mapping

from agentmesh_protos.registry.v1 import agent_pb2
from agentmesh_protos.runner.v1 import job_pb2

from meshkit.errors import Invalid

_PREFIX = "JOB_STATE_"
STATES: dict[str, int] = {name.removeprefix(_PREFIX): number for name, number in job_pb2.JobState.items() if number}
"""Every state of a job that is ever stored, by name."""
AGENT_STATES: dict[str, int] = {
    "DRAFT": agent_pb2.AGENT_STATE_DRAFT,
    "ACTIVE": agent_pb2.AGENT_STATE_ACTIVE,
    "PAUSED": agent_pb2.AGENT_STATE_PAUSED,
}
"""Every state in which an agent is listed, by name."""

RUNNING = job_pb2.JOB_STATE_RUNNING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
FAILED = job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED

TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})


class Words:
    """One dialect's column, read in both directions."""

    def __init__(
        self, name: str, column: Mapping[str, str], states: Mapping[str, int] = STATES, field: str = "status"
    ) -> None:
        """`column` has a word for every state, by the state's name.  Raises `ValueError` if it does not.

        `states` are those that there are, and `field` is what a filter by word is called.
        """
        if wrong := states.keys() ^ column.keys():
            raise ValueError(f"{name}: these are no states, or have no word: {', '.join(sorted(wrong))}")
        self.name = name
        self.column = dict(column)
        self._field = field
        self._words = {states[state]: word for state, word in column.items()}
        self._states: dict[str, frozenset[int]] = {
            word: frozenset(state for state, other in self._words.items() if other == word) for word in column.values()
        }

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the dialect, in the column's order."""
        return tuple(self._states)

    def word(self, state: int) -> str:
        """Return the word for a `JobState`; `KeyError` for JOB_STATE_UNSPECIFIED, which is never stored."""
        return self._words[state]

    def states(self, word: str) -> frozenset[int]:
        """Return the states that are shown as `word`.  Raises `Invalid`, naming the field, for any other word."""
        try:
            return self._states[word]
        except KeyError:
            remedy = f"must be one of {', '.join(self.words)}"
            raise Invalid(f"{self.name} has no {self._field} {word[:80]!r}", {self._field: [remedy]}) from None

    def of_event(self, payload: str) -> str:
        """Return the word for a status event's payload (`queued`); an unknown payload, of a newer runner, as it is."""
        state = STATES.get(payload.upper())
        return payload if state is None else self._words[state]


def from_name(payload: str) -> int:
    """Return the `JobState` of a status event's payload, such as `queued`.  Raises `KeyError` for any other text."""
    return STATES[payload.upper()]
